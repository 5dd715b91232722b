"""Subscriptions to Sentinels: what is read, and what happens when one goes away."""

import asyncio
from typing import Any

import pytest

from shared.store import primary_watch
from shared.store.primary_watch import SentinelWatch

SUBSCRIBED = b"*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n"


def switched(text: bytes) -> bytes:
    return b"*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$%d\r\n%s\r\n" % (len(text), text)


def sentinel(*messages: bytes) -> Any:
    """A server that takes a subscription, sends messages and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"SUBSCRIBE" not in (data := await reader.read(65536)):
            if not data:
                return
            writer.write(b"+OK\r\n" * data.count(b"CLIENT"))
        writer.write(SUBSCRIBED + b"".join(map(switched, messages)))
        await writer.drain()
        writer.close()

    return serve


async def test_only_the_primary_of_our_name_counts_and_a_sentinel_that_hangs_up_is_asked_again(
    listen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primary_watch, "RETRY_S", 0.01)
    heard: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
    malformed = (b"", b"main", b"main 10.0.0.1 6379 10.0.0.2 \xb2")
    port = await listen(sentinel(b"other 10.0.0.1 1 10.0.0.9 9", *malformed, b"main 10.0.0.1 6379 10.0.0.2 6380"))
    watch = SentinelWatch((("127.0.0.1", 1), ("127.0.0.1", port)), "main", {})
    watch.follow(heard.put_nowait)
    async with asyncio.timeout(60):
        assert [await heard.get() for _ in range(3)] == [("10.0.0.2", 6380)] * 3
    await watch.aclose()
    await watch.aclose()  # a second call does nothing
    assert not watch._tasks

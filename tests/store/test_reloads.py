"""Announcements of reloads reach the other processes, through outages of the store."""

import asyncio

from shared.store.connection import connect
from shared.store.multiplexed import MultiplexedClient
from shared.store.reloads import ReloadListener, announce_reload


async def test_an_announcement_reaches_others_and_not_its_sender(redis_url: str) -> None:
    heard: list[str] = []
    notified = asyncio.Event()

    def listener(name: str) -> ReloadListener:
        async def reload() -> None:
            heard.append(name)
            notified.set()

        return ReloadListener(lambda: connect(redis_url, timeout_s=None), name, reload)

    listeners = [listener("a"), listener("b")]
    for each in listeners:
        each.start()
        await asyncio.wait_for(each.listening.wait(), 20)
    commands = MultiplexedClient(redis_url)
    assert await announce_reload(commands, "a") == 2
    await asyncio.wait_for(notified.wait(), 20)
    assert heard == ["b"]
    for each in listeners:
        await each.aclose()
    await commands.aclose()


async def test_a_store_that_is_away_is_tried_again(redis_url: str) -> None:
    urls = ["redis://127.0.0.1:1/0", redis_url]

    async def reload() -> None:
        """Not called."""

    listener = ReloadListener(lambda: connect(urls.pop(0), timeout_s=None), "a", reload)
    await listener.aclose()  # before its start
    listener.start()
    await asyncio.wait_for(listener.listening.wait(), 20)
    assert urls == []
    await listener.aclose()
    assert not listener.listening.is_set()

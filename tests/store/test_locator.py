"""Finding the primary leaves no socket open, however it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from shared.store.address import parse_address
from shared.store.errors import StoreConnectionError
from shared.store.locator import locator_of
from tests.jobs.conftest import until

Listen = Callable[..., Awaitable[int]]
REPLIES = {
    b"CLUSTER": b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:7\r\n",
    b"SENTINEL": b"-ERR No such master with that name\r\n",
}


class Nodes:
    """Servers that count their open connections and agree on a primary of every slot; as Sentinels they know none."""

    def __init__(self) -> None:
        self.open = self.seen = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.seen += 1
        try:
            while data := await reader.read(65536):
                for command in data.split(b"*")[1:]:
                    writer.write(
                        next((reply for word, reply in REPLIES.items() if word in command.upper()), b"+OK\r\n")
                    )
        finally:
            self.open -= 1

    async def none_open(self) -> bool:
        return self.seen > 0 and self.open == 0


@pytest.mark.parametrize("url", ["redis+cluster://{}", "redis+sentinel://{}/main"])
async def test_no_socket_is_left_by_a_search_that_ends_or_is_given_up(listen: Listen, url: str) -> None:
    nodes = Nodes()
    hosts = ",".join([f"127.0.0.1:{await listen(nodes.answer)}" for _ in range(3)])
    locator = locator_of(parse_address(url.format(hosts)), timeout_s=20)
    for turns in [None] * 40 + list(range(40)):
        search = asyncio.create_task(locator.find())
        if turns is not None:
            for _ in range(turns):
                await asyncio.sleep(0)
            search.cancel()
        with suppress(asyncio.CancelledError, StoreConnectionError):
            await search
    await until(nodes.none_open)


@pytest.mark.parametrize("url", ["redis+cluster://{}", "redis+sentinel://{}/main"])
async def test_those_who_ask_at_the_same_time_share_one_search(listen: Listen, url: str) -> None:
    nodes = Nodes()
    hosts = ",".join([f"127.0.0.1:{await listen(nodes.answer)}" for _ in range(3)])
    locator = locator_of(parse_address(url.format(hosts)), timeout_s=20)
    searches = [asyncio.create_task(locator.find()) for _ in range(50)]
    await asyncio.sleep(0)
    searches[0].cancel()
    found = await asyncio.gather(*searches, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert len(set(map(repr, found[1:]))) == 1
    assert nodes.seen == 3

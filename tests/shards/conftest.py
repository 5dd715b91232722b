"""Connections to the shards of one real server."""

from collections.abc import AsyncIterator, Sequence

import pytest

from shared.store.multiplexed import MultiplexedClient

SHARDS = 4


@pytest.fixture
async def connections(redis_url: str) -> AsyncIterator[Sequence[MultiplexedClient]]:
    made = [MultiplexedClient(redis_url, shard=shard) for shard in range(SHARDS)]
    yield made
    for commands in made:
        await commands.aclose()

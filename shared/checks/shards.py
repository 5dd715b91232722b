"""Checks of shards: their number, and whether what their jobs cost is carried to shard 0."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from shared.checks.findings import Finding, fail, ok, warn
from shared.governance.bookings.carrier import waiting_bookings
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.store.multiplexed import MultiplexedClient
from shared.store.shards import read_shards

MANY: Final = 10_000
"""Bookings of a shard that wait: some seconds of a busy gateway, or nobody carries them."""


async def check_shards_of(
    commands: RedisCommands, others: Sequence[RedisCommands], settings: Settings
) -> list[Finding]:
    """Check the number of shards and their bookings; nothing is found where there is one shard.

    Args:
        commands: A connection to shard 0.
        others: To each of the others, which are asked for their bookings if the number is right.
        settings: The number that is configured.

    Raises:
        StoreConnectionError: The store does not answer.
    """
    stored, wanted = await read_shards(commands), settings.redis.shards
    if stored not in (1, wanted):
        problem = f"the store has {stored} shards, and [redis] shards is {wanted}: API and workers do not start"
        return [fail("store shards", problem, f"set [redis] shards = {stored}")]
    if wanted == 1:
        return []
    if stored == 1:
        return [ok("store shards", f"{wanted} from the next start on: restart all processes together")]
    waiting = await asyncio.gather(*map(waiting_bookings, others))
    if max(waiting) >= MANY:
        problem = f"{max(waiting)} bookings of shard {waiting.index(max(waiting)) + 1} are not in limits and ledger yet"
        return [warn("store shards", problem, "start API or worker processes: they carry them")]
    return [ok("store shards", f"{wanted}; {sum(waiting)} bookings wait for limits and ledger")]


@asynccontextmanager
async def other_shards(url: str, settings: Settings) -> AsyncIterator[Sequence[RedisCommands]]:
    """Connect to the shards other than 0 while the block lasts; with one shard there are none.

    Args:
        url: Of the store.
        settings: Their number.
    """
    others = [
        MultiplexedClient(url, client_name="finops-check", shard=shard) for shard in range(1, settings.redis.shards)
    ]
    try:
        yield others
    finally:
        for commands in others:
            await commands.aclose()

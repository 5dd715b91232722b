"""Waits until submits are in the append-only file, many submits per wait."""

import asyncio
import math

from redis.exceptions import ResponseError

from shared.errors import StoreUnavailable
from shared.jobs import keys
from shared.jobs.scripts import EngineScripts
from shared.store.commands import RedisCommands

SYNC_TIMEOUT_MS = 5000


class DurabilityRefused(ValueError):
    """``durability = "fsync"`` needs a server with WAITAOF (Redis 7.2, Valkey 7.2) and ``appendonly yes``."""


class Durability:
    """Waits until everything written so far is on the server's disk.

    The server writes its log in order: when a write is on disk, so are all before it. One wait therefore serves every
    submit that was answered before it began. https://redis.io/docs/latest/commands/waitaof/

    Args:
        commands: A connection that may block for as long as the disk needs.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._scripts = EngineScripts(commands)
        self._round: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Check once that the server supports it.

        Raises:
            DurabilityRefused: It does not.
            StoreUnavailable: No answer.
        """
        try:
            await self.sync()
        except ResponseError as error:
            raise DurabilityRefused(
                'jobs.durability = "fsync" needs Redis or Valkey 7.2 with appendonly yes; the store replied: '
                + str(error)
            ) from error

    async def sync(self) -> None:
        """Wait until all writes so far are on disk.

        Raises:
            StoreUnavailable: The disk did not answer in time.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._round))
        await asyncio.shield(self._next)

    async def _after(self, running: "asyncio.Task[None] | None") -> None:
        if running is not None:
            await asyncio.wait([running])
        self._round, self._next = self._next, None
        written = ("HINCRBY", keys.CLOCK, "synced", 1)
        replies = await self._scripts.execute_many([written, ("WAITAOF", 1, 0, SYNC_TIMEOUT_MS)])
        if int(replies[1][0]) < 1:
            raise StoreUnavailable("The job store's disk is too slow.", retry_after_s=math.ceil(SYNC_TIMEOUT_MS / 1000))

"""Jobs that wait for a limit's next window, counted by the limit's kind."""

import time
from collections.abc import Mapping
from contextlib import suppress

from shared.jobs import keys
from shared.store.commands import RedisCommands
from shared.store.errors import StoreConnectionError

LIMIT_KINDS = ("budget", "requests", "tokens")
KEPT_S = 31 * 24 * 3600
"""How long a job stays listed that never ran: jobs live for 30 days at most."""


class ParkedJobs:
    """Lists parked jobs in a sorted set for each kind of limit.

    A job that is cancelled, or waits for something else, is not taken off: only those that wait for a time count.

    Args:
        commands: The store.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands

    async def add(self, job_id: str, limit: str) -> None:
        """List a job; if the store does not answer, it is not counted.

        Args:
            job_id: The job.
            limit: The id of the limit that it waits for, ``budget:key:a:1d``.
        """
        kind, now = limit.partition(":")[0], int(time.time())
        others = [("ZREM", keys.parked(each), job_id) for each in LIMIT_KINDS if each != kind]
        with suppress(StoreConnectionError):
            await self._commands.execute_many(
                [
                    *others,
                    ("ZREMRANGEBYSCORE", keys.parked(kind), "-inf", now - KEPT_S),
                    ("ZADD", keys.parked(kind), now, job_id),
                    ("EXPIRE", keys.parked(kind), KEPT_S),
                ],
                retry_safe=True,
            )

    async def remove(self, job_id: str) -> None:
        """Take a job off the lists; if the store does not answer, it stays until it is old, and does not count."""
        with suppress(StoreConnectionError):
            await self._commands.execute_many(
                [("ZREM", keys.parked(kind), job_id) for kind in LIMIT_KINDS], retry_safe=True
            )

    async def count(self) -> Mapping[str, int]:
        """Count the jobs that wait by the kind of limit: one round trip.

        Raises:
            StoreConnectionError: No answer.
        """
        counts = await self._commands.execute_many(
            [("ZINTERCARD", 2, keys.parked(kind), keys.DEFERRED) for kind in LIMIT_KINDS], retry_safe=True
        )
        return dict(zip(LIMIT_KINDS, map(int, counts), strict=True))

"""What an open page of figures needs of the store, in one read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.jobs.model import Job
from shared.jobs.scans import SUMMARY_FIELDS
from shared.jobs.scripts import EngineScripts
from shared.jobs.store import QueueStats, read_stats, read_summary
from shared.store.commands import Argument, RedisCommands

MOST_GROUPS: Final = 1_000
"""Groups of the current hour that the store adds up: 0.5 ms of its time."""
MOST_STRINGS: Final = 100


@dataclass(frozen=True, slots=True)
class HourSums:
    """Calls, failed calls and their cost in micro-USD."""

    calls: int
    errors: int
    cost: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Figures of one moment.

    Attributes:
        stats: Of the queue.
        failed: The newest failed jobs, without results.
        hour: The current hour by the store's clock, as ``2026-11-22T21``.
        sums: Of that hour; None: it has more than ``MOST_GROUPS`` groups.
        strings: The values of the strings that were asked for; None: there is no such key.
    """

    stats: QueueStats
    failed: tuple[Job, ...]
    hour: str
    sums: HourSums | None
    strings: tuple[bytes | None, ...]


class OverviewReader:
    """Reads an ``Overview`` by one script: a single command, however much it holds.

    Args:
        commands: The store.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._scripts = EngineScripts(commands)

    async def read(self, failed: int, strings: Sequence[str] = ()) -> Overview:
        """Read the figures.

        Args:
            failed: Most failed jobs.
            strings: Keys of at most ``MOST_STRINGS`` strings to read with them.

        Raises:
            StoreUnavailable: No answer.
        """
        args: tuple[Argument, ...] = (failed, MOST_GROUPS, len(SUMMARY_FIELDS), *SUMMARY_FIELDS, *strings)
        stats, rows, hour, sums, values = await self._scripts.run("overview", args, retry_safe=True)
        return Overview(
            stats=read_stats(stats),
            failed=tuple(map(read_summary, rows)),
            hour=hour.decode(),
            sums=None if sums is None else HourSums(*map(int, sums)),
            strings=tuple(values),
        )

"""Figures of all processes: calls and failures by provider, waits of jobs by priority, summed per minute in the store.

Each process adds what it counted since the last time, every few seconds, so calls and jobs pay nothing for it. Read by
the alert rules of shares and rates; a process writes only if such a rule is configured.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from shared import clock
from shared.alerts import keys
from shared.background import keep_running
from shared.errors import StoreUnavailable
from shared.jobs.scripts import EngineScripts
from shared.settings.alert_rules import AlertSettings
from shared.store.commands import Command, RedisCommands

WRITE_EVERY_S: Final = 5.0
TTL_S: Final = 70 * 60  # the longest window, an hour, and its neighbours
FIGURES: Final = frozenset({"error_rate", "on_time_share"})
"""The metrics that are taken from these figures."""

Figures = Mapping[str, int]
"""Counts since the process began: ``calls:<provider>``, ``failed:<provider>``, ``wait:<priority>:<bucket>``."""

logger = logging.getLogger("finops.alerts")


def uses_figures(rules: Iterable[AlertSettings]) -> bool:
    """Whether any rule needs the figures of all processes."""
    return any(rule.metric in FIGURES for rule in rules)


class FigureWriter:
    """Adds a process's counts to those of all.

    Args:
        commands: The store.
        read: Returns the process's counts; they only grow.
    """

    def __init__(self, commands: RedisCommands, read: Callable[[], Figures]) -> None:
        self._scripts = EngineScripts(commands, {})
        self._read = read
        self._written: Counter[str] = Counter()

    async def run(self, every_s: float = WRITE_EVERY_S) -> None:
        """Write until cancelled; what an outage of the store delays is written after it."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.write()
            except StoreUnavailable as error:
                logger.debug("figures are written later: %s", error)

    async def close(self) -> None:
        """Write what was counted last, if the store answers."""
        with contextlib.suppress(StoreUnavailable):
            await self.write()

    async def write(self) -> None:
        """Add what was counted since the last time.

        Raises:
            StoreUnavailable: No answer; it may be counted twice if the store had executed it.
        """
        counts = Counter(self._read())
        added = counts - self._written
        if not added:
            return
        key = keys.figures(int(clock.now().timestamp() // 60))
        commands: list[Command] = [("HINCRBY", key, name, count) for name, count in added.items()]
        await self._scripts.execute_many([*commands, ("EXPIRE", key, TTL_S)])
        self._written = counts


class FigureLoop:
    """Writes a process's figures in the background, and once more at its end.

    Args:
        writer: What writes.
        enabled: Whether any rule needs the figures; if not, nothing runs.
    """

    def __init__(self, writer: FigureWriter, *, enabled: bool) -> None:
        self._writer = writer
        self._enabled = enabled
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        if self._enabled:
            self._task = keep_running("figures", self._writer.run)

    async def aclose(self) -> None:
        """Write what was counted last, and end."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None
        await self._writer.close()


async def read_figures(commands: RedisCommands, window_s: int, now_ms: int) -> Counter[str]:
    """Sum the figures of the last minutes: those that began within the window, and the current one.

    Raises:
        StoreUnavailable: No answer.
    """
    last = now_ms // 60_000
    minutes = range(last - -(-window_s // 60) + 1, last + 1)
    scripts = EngineScripts(commands, {})
    replies = await scripts.execute_many([("HGETALL", keys.figures(minute)) for minute in minutes])
    sums: Counter[str] = Counter()
    for fields in replies:
        for name, count in zip(fields[::2], fields[1::2], strict=True):
            sums[name.decode()] += int(count)
    return sums

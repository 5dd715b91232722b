"""Skips what two sets of jobs do not share: both are read in windows of time, and compared in this process.

A list whose conditions hold for many jobs each, but for few together, has to look at every entry of the smaller set. In
a script an entry takes 2 µs, as ids become texts of Lua; here it takes 0.8 µs of the store and 0.4 µs of this process.
"""

import asyncio
import itertools
from collections.abc import Sequence

from shared.jobs import keys
from shared.jobs.positions import Order, Position
from shared.jobs.scripts import EngineScripts
from shared.store.commands import Argument, Command

Window = tuple[bytes, bytes]
"""Two scores: that of its first entries, and that at which the next window begins."""

ENTRIES = 700
"""Of the first set in a window: the store reads both sets' in some 0.6 ms, and their 60 KB go out in one write."""
LARGEST = 2
"""Most entries of either set, in windows' worth: any number of jobs may have been created in one millisecond."""
READERS = 3
"""The store reads some windows while this process compares another: 60 ms of 50,000 entries with two, 50 with three."""
PLANNED = 64
"""Windows whose bounds are asked for together, in 0.5 ms of the store."""


class Skips:
    """Finds the place up to which two sets share no entry.

    Args:
        scripts: On the store.
    """

    def __init__(self, scripts: EngineScripts) -> None:
        self._scripts = scripts

    async def skip(self, first: str, second: str, order: Order, position: Position) -> tuple[Position, int]:
        """Return a position, and the number of windows that lie before it.

        No job between the given position and the returned one is in both sets. Jobs that are as old as the oldest in
        the list of all jobs, or older, are not skipped: indexes may have lost them.

        Args:
            first: The set that is read in order, the smaller one.
            second: The other set.
            order: By creation.
            position: Score and id of an entry of the first set, which may be gone; it was looked at.

        Raises:
            StoreUnavailable: No answer.
        """
        oldest = await self._scripts.execute("ZRANGE", keys.ALL_JOBS, 0, 0, "WITHSCORES", retry_safe=True)
        score = _as_bytes(position[0])
        if not oldest or (order == "asc" and float(score) <= float(oldest[1])):
            return position, 0
        start, skipped = score, 0
        while True:
            windows = await self._plan((first, second), order, score)
            windows = [window for window in windows if float(window[1]) > float(oldest[1])]
            shared_from = await self._first_shared((first, second), order, windows)
            skipped += shared_from
            before = score
            if shared_from:
                score = windows[shared_from - 1][1]
            if shared_from < PLANNED or float(score) == float(before):
                break
        if float(score) == float(start):  # all windows begin and end within one millisecond, that of the position
            return position, 0
        return (score, "~" if order == "desc" else "!"), skipped

    async def _plan(self, sets: Sequence[str], order: Order, score: bytes) -> list[Window]:
        """Return windows from a score on, as long as they are small enough to be read in one piece."""
        first = sets[0]
        before: tuple[Argument, ...] = (b"(" + score, "+inf") if order == "desc" else ("-inf", b"(" + score)
        rank = await self._scripts.execute("ZCOUNT", first, *before, retry_safe=True)
        read = "ZREVRANGE" if order == "desc" else "ZRANGE"
        ranks = range(rank + ENTRIES, rank + ENTRIES * PLANNED + 1, ENTRIES)
        entries = await self._scripts.execute_many([(read, first, at, at, "WITHSCORES") for at in ranks])
        bounds = [score, *(entry[1] for entry in entries if entry)]
        windows = list(itertools.pairwise(bounds))
        counts = await self._scripts.execute_many(
            [("ZCOUNT", name, *_lowest_and_highest(window, order)) for window in windows for name in sets]
        )
        for at in range(len(windows)):
            if max(counts[2 * at : 2 * at + 2]) > LARGEST * ENTRIES:
                return windows[:at]
        return windows

    async def _first_shared(self, sets: Sequence[str], order: Order, windows: Sequence[Window]) -> int:
        """Return the number of the first window in which the sets share an entry; the count of windows if in none."""
        shared_from = len(windows)

        async def read(turn: int) -> None:
            nonlocal shared_from
            for at in range(turn, len(windows), READERS):
                if at > shared_from:
                    return
                ranges = _lowest_and_highest(windows[at], order)
                commands: list[Command] = [("ZRANGEBYSCORE", name, *ranges) for name in sets]
                one, other = await self._scripts.execute_many(commands)
                if not set(one).isdisjoint(other):
                    shared_from = min(shared_from, at)

        await asyncio.gather(*(read(turn) for turn in range(READERS)))
        return shared_from


def _lowest_and_highest(window: Window, order: Order) -> tuple[bytes, bytes]:
    """Return the range of a window's scores; where it ends, the next one begins."""
    begin, end = window
    return (b"(" + end, begin) if order == "desc" else (begin, b"(" + end)


def _as_bytes(score: Argument) -> bytes:
    return score if isinstance(score, bytes) else str(score).encode()

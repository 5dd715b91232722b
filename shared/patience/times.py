"""Times that lanes took to answer, measured per provider and model, as histograms in the store."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.patience import keys
from shared.patience.lanes import Lane
from shared.patience.scripts import scripts_on
from shared.store.commands import Argument, Command, RedisCommands

DAY_S = 86_400
SHORTEST_S = 0.05
LATE = 45
"""Bucket of what was not answered in time; the one before it ends at 55 hours."""
REMEMBERED = 1024
REMEMBERED_S = 30.0


def bucket_of(seconds: float | None) -> int:
    """Return the bucket of a time, each about 1.4 times as long as the one before; None: not answered in time."""
    if seconds is None:
        return LATE
    return min(max(math.ceil(2 * math.log2(max(seconds, SHORTEST_S) / SHORTEST_S) - 1e-9), 0), LATE)


def bound_of(bucket: int) -> float:
    """Return the longest time of a bucket in seconds; infinite for ``LATE``."""
    return math.inf if bucket >= LATE else SHORTEST_S * 2 ** (bucket / 2)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many answers took how long, by bucket."""

    counts: Mapping[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of answers."""
        return sum(self.counts.values())

    def quantile(self, share: float) -> float:
        """Return a time within which at least that share was answered, in seconds; infinite if there is none."""
        left = share * self.total - 1e-9
        for bucket in sorted(self.counts):
            left -= self.counts[bucket]
            if left <= 0:
                return bound_of(bucket)
        return math.inf


@dataclass(frozen=True, slots=True)
class LaneRow:
    """The times of one lane at one model of a provider."""

    lane: str
    model: str
    histogram: Histogram


class LaneTimes:
    """Counts and reads times of today and yesterday.

    Args:
        commands: The store.
        wall: Unix seconds.
        clock: Monotonic seconds, for what is remembered.
    """

    def __init__(
        self,
        commands: RedisCommands,
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scripts = scripts_on(commands)
        self._wall = wall
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Mapping[Lane, Histogram]]] = OrderedDict()

    async def record(self, model: str, lane: Lane, seconds: float | None, *, count: int = 1) -> None:
        """Count answers.

        Args:
            model: The one that answered, as ``provider/model``.
            lane: The lane.
            seconds: From its start; None: it was not answered in time.
            count: How many took so long.

        Raises:
            StoreUnavailable: No answer.
        """
        day, name = int(self._wall() // DAY_S), f"{lane}:{model}"
        lifetime_s = keys.TIMES_DAYS * DAY_S
        args: list[Argument] = [
            keys.times_index(day), name, keys.times(day, name), bucket_of(seconds), lifetime_s, keys.MAX_MODELS,
            count,
        ]  # fmt: skip
        await self._scripts.run("count_time", args)

    async def of(self, model: str) -> Mapping[Lane, Histogram]:
        """Return a model's times by lane; remembered for half a minute.

        Raises:
            StoreUnavailable: No answer.
        """
        now, known = self._clock(), self._known.get(model)
        if known is not None and known[0] > now:
            return known[1]
        found = await self._read([f"{lane}:{model}" for lane in _MEASURED])
        times = dict(zip(_MEASURED, found, strict=True))
        self._known[model] = (now + REMEMBERED_S, times)
        self._known.move_to_end(model)
        if len(self._known) > REMEMBERED:  # names come from callers
            self._known.popitem(last=False)
        return times

    async def rows(self) -> Sequence[LaneRow]:
        """Return all times, by lane and model.

        Raises:
            StoreUnavailable: No answer.
        """
        names: set[str] = set()
        for day in self._days():
            found = await self._scripts.execute("SMEMBERS", keys.times_index(day), retry_safe=True)
            names |= {name.decode() for name in found}
        ordered = sorted(names)
        histograms = await self._read(ordered)
        parts = (name.partition(":") for name in ordered)
        return [LaneRow(lane, model, found) for (lane, _, model), found in zip(parts, histograms, strict=True)]

    def _days(self) -> tuple[int, int]:
        today = int(self._wall() // DAY_S)
        return today, today - 1

    async def _read(self, names: Sequence[str]) -> list[Histogram]:
        if not names:
            return []
        days = self._days()
        reads: list[Command] = [("HGETALL", keys.times(day, name)) for name in names for day in days]
        replies = await self._scripts.execute_many(reads)
        return [_histogram(replies[at : at + len(days)]) for at in range(0, len(replies), len(days))]


_MEASURED = (Lane.NOW, Lane.FLEX, Lane.BATCH)


def _histogram(replies: Sequence[Sequence[bytes]]) -> Histogram:
    counts: dict[int, int] = {}
    for flat in replies:
        for bucket, count in zip(flat[::2], flat[1::2], strict=True):
            counts[int(bucket)] = counts.get(int(bucket), 0) + int(count)
    return Histogram(counts)

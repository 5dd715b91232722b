"""Simulates workers that choose among shards by the tags of `claim.lua` and the rules of `worker/shard_slots.py`."""

import heapq
import itertools
import random
from dataclasses import dataclass, field

from shared.jobs.shard_ids import shard_of
from worker.claims import BATCH
from worker.shard_slots import LOOK_S

LIGHT = "light"
LIGHT_EVERY_S = 0.4  # less than the fair share
RUN_S = (0.02, 0.28)
WARM_S = 2.0
BEFORE_OTHERS = 0.5  # of claim.lua


@dataclass
class Shard:
    """The fair queue of a shard: callers by their tag; each but the light one always has jobs."""

    queue: list[tuple[float, str]] = field(default_factory=list)
    virtual: float = 0.0

    @property
    def head(self) -> float | None:
        return self.queue[0][0] if self.queue else None

    def claim(self, count: int, elsewhere: float) -> list[str]:
        """Take the jobs of the callers that come next."""
        taken: list[str] = []
        while self.queue and len(taken) < count:
            tag, caller = heapq.heappop(self.queue)
            self.virtual = max(self.virtual, tag)
            taken.append(caller)
            if caller != LIGHT:
                heapq.heappush(self.queue, (tag + 1, caller))
        self.virtual = max(self.virtual, elsewhere)
        return taken


@dataclass
class Worker:
    """What a worker process knows."""

    free: int
    heads: dict[int, float | None]
    virtual: float = 0.0
    turned: dict[int, int] = field(default_factory=dict)
    turns: int = 0

    def claim(self, number: int, shard: Shard, count: int) -> list[str]:
        taken = shard.claim(count, self.virtual)
        self.virtual = max(self.virtual, shard.virtual)
        self.heads[number] = shard.head
        self.turns += 1
        self.turned[number] = self.turns
        return taken

    def next_shard(self) -> int | None:
        known = [(head, self.turned.get(number, 0), number) for number, head in self.heads.items() if head is not None]
        return min(known)[2] if known else None


@dataclass
class Simulated:
    """Least and most service of a caller over the fair share; the light caller's waits in seconds, in order."""

    least: float
    most: float
    waits: list[float]

    def wait_ms(self, share: float) -> float:
        return self.waits[min(len(self.waits) - 1, int(len(self.waits) * share))] * 1000


def simulate(shards: int, workers: int, *, slots: int, callers: int, seconds: float, seed: int = 1) -> Simulated:
    """Run workers in simulated time; claims take none."""
    made = Simulation(shards, workers, slots, callers, random.Random(seed))
    return made.run(seconds)


class Simulation:
    """The state of a run."""

    def __init__(self, shards: int, workers: int, slots: int, callers: int, chance: random.Random) -> None:
        self._chance = chance
        self._shards = [Shard() for _ in range(shards)]
        self._names = [f"caller-{number}" for number in range(callers)]
        for name in self._names:
            heapq.heappush(self._shards[shard_of(name, shards)].queue, (0.0, name))
        self._workers = [
            Worker(slots, {number: shard.head for number, shard in enumerate(self._shards)}) for _ in range(workers)
        ]
        self._light = self._shards[shard_of(LIGHT, shards)]
        self._light_tag = 0.0
        self._sent: list[float] = []
        self._served = dict.fromkeys(self._names, 0)
        self._waits: list[float] = []
        self._order = itertools.count()
        self._events: list[tuple[float, int, str, int]] = []

    def run(self, seconds: float) -> Simulated:
        self._plan(WARM_S, "send", 0)
        for number in range(len(self._workers)):
            self._plan(self._chance.uniform(0, LOOK_S), "look", number)
        while self._events[0][0] < seconds + WARM_S:
            now, _, what, number = heapq.heappop(self._events)
            if what == "send":
                first = self._light.virtual if self._light.head is None else min(self._light.virtual, self._light.head)
                tag = max(self._light_tag, first - BEFORE_OTHERS)
                heapq.heappush(self._light.queue, (tag, LIGHT))
                self._light_tag = tag + 1
                self._sent.append(now)
                self._plan(now + LIGHT_EVERY_S, what, number)
                continue
            worker = self._workers[number]
            if what == "look":
                for at, shard in enumerate(self._shards):
                    worker.claim(at, shard, 0)
                self._plan(now + LOOK_S, what, number)
            else:
                worker.free += 1
            self._fill(worker, number, now)
        share = sum(self._served.values()) / len(self._served)
        shares = [served / share for served in self._served.values()]
        return Simulated(min(shares), max(shares), sorted(self._waits))

    def _plan(self, when: float, what: str, number: int) -> None:
        heapq.heappush(self._events, (when, next(self._order), what, number))

    def _fill(self, worker: Worker, number: int, now: float) -> None:
        while worker.free > 0 and (chosen := worker.next_shard()) is not None:
            taken = worker.claim(chosen, self._shards[chosen], min(BATCH, max(1, worker.free // 2)))
            for caller in taken:
                worker.free -= 1
                self._plan(now + self._chance.uniform(*RUN_S), "done", number)
                if caller == LIGHT:
                    self._waits.append(now - self._sent.pop(0))
                elif now >= WARM_S:
                    self._served[caller] += 1

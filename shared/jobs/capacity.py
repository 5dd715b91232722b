"""What the workers of a deployment can do: how many run, their slots, and how long their jobs take.

Each worker adds its own figures to the store once a second, in two commands that its heartbeat carries along, so that
a job costs nothing. Read by ``GET /api/queue/scale``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from shared import clock
from shared.jobs import keys
from shared.jobs.scripts import EngineScripts
from shared.store.commands import Command, RedisCommands

BUCKET_S: Final = 10
BUCKETS: Final = 6
"""Jobs of the last minute are measured."""
ALIVE_BUCKETS: Final = 2
"""A worker that reported in the current bucket or the one before is running."""
TTL_S: Final = BUCKET_S * (BUCKETS + 1)
_RUNS, _RUN_MS, _WORKER = b"runs", b"run_ms", b"worker:"


@dataclass(frozen=True, slots=True)
class Capacity:
    """The workers of a deployment.

    Attributes:
        workers: Workers that run.
        slots: Jobs that they can run at once, all together.
        job_s: Mean duration of the runs that ended in the last minute; None: none ended.
    """

    workers: int
    slots: int
    job_s: float | None


class CapacityReport:
    """One worker's part.

    Args:
        worker_id: The worker.
        slots: Jobs that it runs at once.
    """

    def __init__(self, worker_id: str, slots: int) -> None:
        self._worker = _WORKER + worker_id.encode()
        self._slots = slots
        self._runs = 0
        self._run_s = 0.0

    def ran(self, seconds: float) -> None:
        """Count a run that ended."""
        self._runs += 1
        self._run_s += seconds

    def commands(self) -> list[Command]:
        """Return the commands that write what is new; it counts as written then, a lost write is not repeated."""
        key = keys.capacity(_bucket())
        written: list[Command] = [("HSET", key, self._worker, self._slots)]
        if self._runs:
            written.append(("HINCRBY", key, _RUNS, self._runs))
            written.append(("HINCRBY", key, _RUN_MS, round(self._run_s * 1000)))
            self._runs, self._run_s = 0, 0.0
        return [*written, ("EXPIRE", key, TTL_S)]

    def leave(self) -> list[Command]:
        """Return the commands after which the worker is no longer counted."""
        return [("HDEL", keys.capacity(_bucket() - at), self._worker) for at in range(ALIVE_BUCKETS)]


async def read_capacity(commands: RedisCommands) -> Capacity:
    """Read the figures of all workers.

    Raises:
        StoreUnavailable: No answer.
    """
    now = _bucket()
    replies = await EngineScripts(commands, {}).execute_many(
        [("HGETALL", keys.capacity(now - at)) for at in range(BUCKETS)]
    )
    return _sum([dict(zip(fields[::2], fields[1::2], strict=True)) for fields in replies])


def _sum(buckets: list[dict[bytes, bytes]]) -> Capacity:
    """Add up buckets, the newest first."""
    slots: dict[bytes, int] = {}
    for fields in reversed(buckets[:ALIVE_BUCKETS]):
        slots.update({name: int(value) for name, value in fields.items() if name.startswith(_WORKER)})
    runs = _total(buckets, _RUNS)
    return Capacity(len(slots), sum(slots.values()), _total(buckets, _RUN_MS) / 1000 / runs if runs else None)


def _total(buckets: Iterable[dict[bytes, bytes]], field: bytes) -> int:
    return sum(int(fields.get(field, 0)) for fields in buckets)


def _bucket() -> int:
    return int(clock.now().timestamp() // BUCKET_S)

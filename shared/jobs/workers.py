"""The running workers, as they announce themselves once a second."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import orjson

from shared import clock
from shared.jobs.keys import WORKERS
from shared.jobs.scripts import EngineScripts
from shared.store.commands import Command, RedisCommands

SILENT_MS = 10_000
"""A worker that was silent for so long is gone; it announces itself every second."""
FORGOTTEN_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A worker's own account of itself.

    Attributes:
        id: Its name in lease tokens.
        version: Of the gateway.
        concurrency: Most jobs at once.
        running: Jobs that it holds leases of.
        started_ms: Unix milliseconds by its clock.
        seen_ms: When it wrote this.
        failing_parts: How often its background parts have failed in the last minutes, by name.
    """

    id: str
    version: str
    concurrency: int
    running: int
    started_ms: int
    seen_ms: int
    failing_parts: Mapping[str, int] = field(default_factory=dict)

    def announcement(self) -> tuple[Command, Command]:
        """Return the commands that write it."""
        return ("HSET", WORKERS, self.id, orjson.dumps(asdict(self))), ("EXPIRE", WORKERS, FORGOTTEN_S)

    def to_dict(self) -> dict[str, Any]:
        """Return the document that administrators see."""
        return {
            "id": self.id,
            "version": self.version,
            "concurrency": self.concurrency,
            "running": self.running,
            "started_at": clock.rfc3339_ms(self.started_ms),
            "failing_parts": dict(self.failing_parts),
        }


_FIELDS = frozenset(each.name for each in fields(WorkerRecord))


async def running_workers(commands: RedisCommands) -> list[WorkerRecord]:
    """Return the workers that run, by id; those that ended without a word are forgotten on the way.

    Raises:
        StoreUnavailable: No answer.
    """
    store = EngineScripts(commands)
    flat: Sequence[bytes] = await store.execute("HGETALL", WORKERS, retry_safe=True)
    found = [_read(orjson.loads(raw)) for raw in flat[1::2]]
    oldest_ms = time.time() * 1000 - SILENT_MS
    gone = [worker.id for worker in found if worker.seen_ms < oldest_ms]
    if gone:
        await store.execute("HDEL", WORKERS, *gone, retry_safe=True)
    return sorted((worker for worker in found if worker.seen_ms >= oldest_ms), key=lambda worker: worker.id)


def _read(entry: Mapping[str, Any]) -> WorkerRecord:
    """Return a worker's record, without the fields that only another release knows."""
    return WorkerRecord(**{name: value for name, value in entry.items() if name in _FIELDS})

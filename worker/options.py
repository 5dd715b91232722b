"""The options of a worker process."""

import os
import secrets
import socket
from dataclasses import dataclass, field

from shared.jobs.bodies import AS_THEY_ARE, BodyPolicy
from shared.jobs.model import Priority
from shared.jobs.queue import ALL_PRIORITIES, QueueLimits


def new_worker_id() -> str:
    """Return a unique name: host, process id, and a random part, because process ids are reused."""
    host = "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname())[:40]
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """The options of a worker.

    Attributes:
        concurrency: Jobs at once.
        priorities: Priorities to serve.
        max_run_s: Longest run time; a job's own deadline may be earlier.
        grace_s: How long runs may continue after a stop signal.
        limits: The limits that all processes of a deployment share.
        max_result_bytes: The largest result that is stored.
        bodies: How request bodies and results are stored.
        worker_id: The name in lease tokens and keys.
        version: Of the gateway, for administrators.
    """

    concurrency: int = 1000
    priorities: tuple[Priority, ...] = ALL_PRIORITIES
    max_run_s: float = 3600.0
    grace_s: float = 30.0
    limits: QueueLimits = field(default_factory=QueueLimits)
    max_result_bytes: int = 16 * 1024 * 1024
    bodies: BodyPolicy = AS_THEY_ARE
    worker_id: str = field(default_factory=new_worker_id)
    version: str = ""

    def __post_init__(self) -> None:
        if self.concurrency < 1 or not self.priorities:
            raise ValueError("a worker needs at least one slot and one priority")

"""How a worker works."""

import os
import secrets
import socket
from dataclasses import dataclass, field

from shared.jobs.model import Priority
from shared.jobs.queue import ALL_LANES, QueueLimits


def new_worker_id() -> str:
    """A name that no other worker has: host, process, and something random, as processes come and go."""
    host = "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname())[:40]
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How a worker works.

    Attributes:
        concurrency: Jobs at once.
        lanes: Priorities that it serves.
        max_run_s: How long a run may take; a job's own deadline may be nearer.
        grace_s: How long runs may go on after a signal.
        limits: What all processes agree on.
        worker_id: Its name in tokens and keys.
    """

    concurrency: int = 1000
    lanes: tuple[Priority, ...] = ALL_LANES
    max_run_s: float = 3600.0
    grace_s: float = 30.0
    limits: QueueLimits = field(default_factory=QueueLimits)
    worker_id: str = field(default_factory=new_worker_id)

    def __post_init__(self) -> None:
        if self.concurrency < 1 or not self.lanes:
            raise ValueError("a worker needs at least one slot and one lane")

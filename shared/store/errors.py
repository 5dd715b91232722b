"""Errors of the store's connection and data directory."""

from pathlib import Path
from typing import Final

REFUSALS: Final = {
    "BUSY": "The job store is busy with a long script.",
    "CLUSTERDOWN": "The job store's cluster is down.",
    "LOADING": "The job store is loading its data.",
    "MASTERDOWN": "The job store has lost its primary.",
    "MISCONF": "The job store does not accept writes: it cannot save them to disk.",
    "NOREPLICAS": "The job store does not accept writes: too few replicas are connected.",
    "OOM": "The job store is full.",
    "READONLY": "The job store does not accept writes: it is a replica.",
    "TRYAGAIN": "The job store is moving keys.",
    "UNBLOCKED": "The job store has become a replica.",
    "MOVED": "The job store's keys are on another server.",
    "ASK": "The job store's keys are on another server.",
    "NOPERM": "The job store's user lacks a permission.",
}
"""The first words of server errors that say nothing about the command itself, and what they mean.

Any other error is a fault of the command. https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

MOVED_CODES: Final = frozenset({"ASK", "CLUSTERDOWN", "MASTERDOWN", "MOVED", "NOREPLICAS", "READONLY", "UNBLOCKED"})
"""Codes that mean: ask for the address again.

A primary that is cut off from its replicas or its cluster says so as long as it is, while another has been elected.
"""


class StoreConnectionError(Exception):
    """The store cannot be reached, does not answer in time, or went away with a command in flight.

    A command in flight may or may not have been executed: nobody can know.

    Attributes:
        reason: What happened, for operators; never contains a password.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StoreRefused(StoreConnectionError):
    """The store refused a command for a reason that passes or that its operator can end; nothing was executed.

    Attributes:
        code: The first word of the server's error: a key of `REFUSALS`.
        moved: Whether another server takes the command: the connection has to be replaced.
    """

    def __init__(self, code: str, reason: str, *, moved: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.moved = moved


class DataDirectoryInUse(Exception):
    """Another process runs its store on this data directory.

    Attributes:
        path: The data directory.
        pid: The process that holds it, or None when it left no record.
    """

    def __init__(self, path: Path, pid: int | None) -> None:
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(f"data directory {path} is in use by {holder}; stop it or choose another directory")
        self.path = path
        self.pid = pid

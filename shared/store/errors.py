"""Errors of the store's connection and data directory."""

from pathlib import Path


class StoreConnectionError(Exception):
    """The store cannot be reached, does not answer in time, or went away with a command in flight.

    A command in flight may or may not have been executed: nobody can know.

    Attributes:
        reason: What happened, for operators; never contains a password.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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

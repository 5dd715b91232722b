"""Looking at servers from outside."""

import os
from pathlib import Path

import redis


def is_running(pid: int) -> bool:
    """Whether a process lives; one that ended and waits for its parent to notice does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    try:
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ask(url: str, *command: object) -> object:
    """Send one command, blocking."""
    with redis.Redis.from_url(url) as client:
        return client.execute_command(*command)

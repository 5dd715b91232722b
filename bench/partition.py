"""Cuts a server off from the other servers, as a broken link does: proxies in front of each, which stop forwarding.

Servers connect to each other from addresses of their own, so that a proxy knows them; clients stay with the server that
is cut off, which is the case in which answers are lost. Connections are held, not closed, and go on afterwards.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any

CHUNK_BYTES = 65536


class Partition:
    """Proxies on free ports of 127.0.0.1, in a thread with an event loop of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._joined = asyncio.Event()
        self._joined.set()
        self._cut: set[str] = set()
        self._servers: list[asyncio.Server] = []
        self._copying: set[asyncio.Task[None]] = set()
        self._addresses: set[str] = set()

    def start(self) -> "Partition":
        self._thread.start()
        return self

    def listen(self, port: int, address: str, at: int = 0) -> int:
        """Start a proxy in front of a server.

        Args:
            port: Where the server listens.
            address: From where it connects to other servers: ``127.0.1.7``.
            at: The proxy's port; 0: a free one.

        Returns:
            The proxy's port.
        """
        self._addresses.add(address)
        return int(self._call(self._listen(port, address, at)))

    def know(self, address: str) -> None:
        """Take whoever connects from an address for a server."""
        self._addresses.add(address)

    def cut(self, address: str) -> None:
        """Cut a server off from all other servers."""
        self._run_in_loop(self._set_cut, {address})

    def heal(self) -> None:
        """Forward everything again."""
        self._run_in_loop(self._set_cut, set())

    def stop(self) -> None:
        self._call(self._close())
        self._run_in_loop(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self, port: int, address: str, at: int) -> int:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ends = {address, str(writer.get_extra_info("peername")[0])}
            task = asyncio.current_task()
            assert task is not None
            self._copying.add(task)
            with contextlib.suppress(OSError):
                await self._until_joined(ends)
                onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(self._copy(reader, onward_writer, ends), self._copy(onward_reader, writer, ends))
            writer.close()
            self._copying.discard(task)

        server = await asyncio.start_server(accept, "127.0.0.1", at)
        self._servers.append(server)
        listening: int = server.sockets[0].getsockname()[1]
        return listening

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ends: set[str]) -> None:
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self._until_joined(ends)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async def _until_joined(self, ends: set[str]) -> None:
        """Wait while one end is cut off, and the other is a server too."""
        while self._cut & ends and ends <= self._addresses:
            await self._joined.wait()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in (*self._copying,):
            task.cancel()
        await asyncio.gather(*self._copying, return_exceptions=True)

    def _set_cut(self, cut: set[str]) -> None:
        self._cut = cut
        (self._joined.clear if cut else self._joined.set)()

    def _call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _run_in_loop(self, function: Callable[..., object], *args: object) -> None:
        self._loop.call_soon_threadsafe(function, *args)

"""Serves a test's own ASGI application on a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import uvicorn

from tests.waiting import wait_until


class PromptServer(uvicorn.Server):
    """uvicorn's server, which leaves signals to pytest, and starts and stops as soon as it can.

    The original looks whether it shall stop, and then whether its connections are closed, each tenth of a second: it
    was idle for 0.1 s at the end of each of 2,000 tests.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ready = asyncio.Event()
        self._ended = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def wait_until_ready(self, serving: asyncio.Task[None]) -> None:
        """Return when it serves, or when the task that runs it has ended, e.g. as it cannot start."""
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait((ready, serving), return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()

    def end(self) -> None:
        self.should_exit = True
        self._ended.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._ended.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Do what the original does, in its order."""
        for listening in self.servers:
            listening.close()
        for listener in sockets or ():
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        state, grace_s = self.server_state, self.config.timeout_graceful_shutdown
        with suppress(AssertionError):
            await wait_until(lambda: not (state.connections or state.tasks), 60 if grace_s is None else grace_s)
        for task in list(state.tasks):
            task.cancel()
        await self.lifespan.shutdown()


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[str]:
    """Serve; gives the origin, e.g. `http://127.0.0.1:40123`."""
    guard = socket.create_server(("127.0.0.1", 0))
    server = PromptServer(uvicorn.Config(app, lifespan="off", log_level="error", ws="none", **options))
    task = asyncio.create_task(server.serve(sockets=[guard]))
    await server.wait_until_ready(task)
    try:
        yield f"http://127.0.0.1:{guard.getsockname()[1]}"
    finally:
        server.end()
        await task

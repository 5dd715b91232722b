"""Runs the simulator on a real socket: as a process, or inside the event loop of a test."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from simulator.app import Simulator, create_app
from simulator.faults import read_rule
from simulator.log import Entry, Log
from simulator.model.json_schema import Json

KEEP_ALIVE_S = 75  # longer than any client's pool, so that idle connections never end by surprise
LINGER_OFF = struct.pack("ii", 1, 0)


class BreakableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, whose application may break the connection.

    ASGI has no message for it, so each scope carries `extensions["sim.abort"]`: a function that takes
    whether to send a reset (RST) instead of an ordinary end (FIN). Nothing is logged per request.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection, without uvicorn's line per request."""
        super().connection_made(transport)
        self.access_log = False

    def on_message_begin(self) -> None:
        """Offer the extension to the next request of this connection."""
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]  # the type knows no own extensions
        scope["extensions"] = {"sim.abort": self._break}

    def _break(self, reset: bool) -> None:
        if not reset:
            self.transport.close()
            return
        # With linger on and zero seconds, closing a TCP socket sends RST (POSIX, SO_LINGER).
        raw = self.transport.get_extra_info("socket")
        with socket.socket(fileno=socket.dup(raw.fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
        self.transport.abort()


def _config(app: Simulator, **options: Json) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BreakableProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        **options,
    )


def serve(listener: socket.socket, *, api_keys: Iterable[str] = ()) -> None:
    """Serve a listening socket until a signal ends the process; open requests get one second."""
    app = create_app(api_keys=api_keys)
    config = _config(app, loop="uvloop", log_level="warning", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


class RunningSimulator:
    """A simulator listening on a socket of this process.

    Attributes:
        app: the application, with its `script`, `log` and `store`.
        origin: scheme, host and port, e.g. `http://127.0.0.1:40123`.
        base_url: what a client of the OpenAI wire is given: the origin and `/v1`.
    """

    def __init__(self, app: Simulator, port: int) -> None:
        self.app = app
        self.origin = f"http://127.0.0.1:{port}"
        self.base_url = f"{self.origin}/v1"

    @property
    def log(self) -> Log:
        """The log of received requests."""
        return self.app.log

    @property
    def requests(self) -> list[Entry]:
        """Received requests, the oldest first."""
        return self.app.log.entries

    def script(
        self, *, path: str | None = None, model: str | None = None, times: int | None = None, **behaviour: Json
    ) -> None:
        """Add a rule: `script(model="gpt-*", times=2, status=503)`.

        Args:
            path: glob of paths, with or without `/v1`; None for all.
            model: glob of model names; None for all.
            times: how many requests it answers; None for all.
            behaviour: the names that modifiers of a model name have.

        Raises:
            ValueError: an unknown behaviour or a wrong value.
        """
        rule: dict[str, Any] = {"match": {"path": path, "model": model}, "behaviour": behaviour}
        self.app.script.add(read_rule({**rule, "times": times}))

    def reset(self) -> None:
        """Forget script and log; what is stored stays."""
        self.app.script.clear()
        self.app.log.clear()

    async def wait_until(self, condition: Callable[[Log], bool], timeout_s: float = 20.0) -> None:
        """Wait until the log shows something, e.g. `lambda log: log.open_count == 0`.

        Raises:
            TimeoutError: it did not in time.
        """
        await self.app.log.wait_until(condition, timeout_s)


@contextlib.asynccontextmanager
async def running(*, api_keys: Iterable[str] = (), port: int = 0) -> AsyncIterator[RunningSimulator]:
    """Listen on a free port in this event loop; at the end every connection is closed at once."""
    app = create_app(api_keys=api_keys)
    config = _config(app, log_config=None)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()

    def protocol() -> BreakableProtocol:
        return BreakableProtocol(config=config, server_state=state, app_state={}, _loop=loop)

    server = await loop.create_server(protocol, "127.0.0.1", port)
    try:
        yield RunningSimulator(app, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        if state.tasks:
            await asyncio.wait(set(state.tasks))
        await server.wait_closed()

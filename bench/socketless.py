"""The whole application without sockets: transports that keep what is written stand in place of both ends of a call."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from unittest import mock

from uvicorn.server import ServerState

from api import server
from api.app import create_app
from bench import samples
from shared.providers.transport.dial import Dialer
from shared.settings.model import Settings
from shared.telemetry.logs import configure

AT_ONCE = 32
ANSWER = (
    b"HTTP/1.1 200 OK\r\nserver: nginx/1.22.1\r\ndate: Sun, 22 Nov 2026 23:00:00 GMT\r\ncontent-type: application/json"
    b"\r\ncontent-length: %d\r\nconnection: keep-alive\r\n\r\n%s" % (len(samples.ANSWER), samples.ANSWER)
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


EVENT = _framed(samples.chunk({"content": "tok000001 some"}))
END = _framed(samples.chunk({}, "stop")) + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
SETTINGS = {
    "providers": {"mock": {"wire": "openai", "base_url": "http://127.0.0.1:9/v1", "keys": [{"value": "k"}]}},
    "redis": {"url": "redis://127.0.0.1:9/0"},
}


class Socketless(asyncio.Transport):
    """A transport that hands what is written to somebody."""

    def __init__(self, deliver: Callable[[bytes], None], lost: Callable[[None], None] | None = None) -> None:
        super().__init__()
        self._deliver = deliver
        self._lost = lost

    def write(self, data):
        self._deliver(data)

    def get_extra_info(self, name, default=None):
        return mock.MagicMock() if name == "socket" else default

    def is_closing(self):
        return False

    def abort(self):
        if self._lost is not None:
            asyncio.get_running_loop().call_soon(self._lost, None)

    def close(self): ...

    pause_reading = resume_reading = close

    def get_write_buffer_size(self):
        return 0


class Inside:
    """The application, and callers on one side and a provider on the other, all in this process."""

    def __init__(self, protocol_of: Callable[[], asyncio.Protocol]) -> None:
        self.loop = asyncio.get_running_loop()
        self.upstreams: list[object] = []
        self.left, self.done = 0, asyncio.Event()
        self.callers = [protocol_of() for _ in range(AT_ONCE)]
        for caller in self.callers:
            caller.connection_made(Socketless(self._answered))

    async def dial(self, _origin, connection, _limit_s) -> None:
        connection.connection_made(Socketless(lambda data: self._asked(connection, data), connection.connection_lost))

    def _asked(self, connection, data: bytes) -> None:
        if b'"stream":true' in data:
            self.upstreams.append(connection)
            self.loop.call_soon(connection.data_received, STREAM_HEAD + EVENT)
        else:
            self.loop.call_soon(connection.data_received, ANSWER)

    def _answered(self, data: bytes) -> None:
        self.left -= 1
        if self.left == 0:
            self.done.set()

    async def calls(self, request: bytes) -> float:
        """One call of every caller; us each."""
        self.left = AT_ONCE
        self.done.clear()
        begun = time.thread_time()
        for caller in self.callers:
            caller.data_received(request)
        await self.done.wait()
        took = time.thread_time() - begun
        await asyncio.sleep(0)
        return took / AT_ONCE * 1e6

    async def events(self) -> float:
        """One event of every open stream; us each."""
        self.left = AT_ONCE
        self.done.clear()
        begun = time.thread_time()
        for upstream in self.upstreams:
            upstream.data_received(EVENT)
        await self.done.wait()
        return (time.thread_time() - begun) / AT_ONCE * 1e6


class Outside:
    """The application as if our middleware stood around the framework instead of inside it."""

    def __init__(self, app) -> None:
        self._framework = app
        app.middleware_stack = app.middleware_stack or app.build_middleware_stack()
        chain = app.middleware_stack
        while type(chain).__name__ != "RequestId":
            chain = chain.app
        self._chain = chain

    async def __call__(self, scope, receive, send) -> None:
        scope["app"] = self._framework
        await self._chain(scope, receive, send)


@contextlib.asynccontextmanager
async def application(tables: dict[str, object], *, outside: bool = False) -> AsyncIterator[Inside]:
    """The whole application with these tables of its configuration, without sockets."""
    settings = Settings.model_validate({**SETTINGS, **tables})
    app = create_app(settings)
    with open(os.devnull, "w") as nowhere:
        configure(settings.log, "api", nowhere)
        logging.getLogger("finops").setLevel(logging.INFO)
        config = server.server_config(app, settings)
        async with app.router.lifespan_context(app):
            config.load()
            if outside:
                config.loaded_app = Outside(app)
            state = ServerState()
            inside = Inside(lambda: config.http_protocol_class(config, state, {}))
            with mock.patch.object(Dialer, "dial", lambda _self, *arguments: inside.dial(*arguments)):
                yield inside


def request_bytes(body: str) -> bytes:
    head = "POST /openai/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\n"
    return f"{head}Authorization: Bearer x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

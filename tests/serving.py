"""Serves a test's own ASGI application on a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from tests.waiting import wait_until


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[str]:
    """Serve; gives the origin, e.g. `http://127.0.0.1:40123`."""
    guard = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error", ws="none", **options))
    task = asyncio.create_task(server.serve(sockets=[guard]))
    await wait_until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{guard.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task

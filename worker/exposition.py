"""A minimal HTTP server for a worker's metrics and health checks."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from shared.telemetry.metrics import Metrics

READ_TIMEOUT_S = 5.0
MAX_HEAD_BYTES = 8 * 1024
_ACCEPT = re.compile(rb"\r\naccept:([^\r\n]*)", re.IGNORECASE)


@asynccontextmanager
async def serve_metrics(metrics: Metrics, host: str, port: int, ready: Callable[[], bool]) -> AsyncIterator[int]:
    """Serve ``/metrics``, ``/health/live`` and ``/health/ready``.

    Args:
        ready: Returns whether the worker takes jobs now.

    Yields:
        The port, chosen by the system when 0 was given.

    Raises:
        OSError: The port is taken.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(READ_TIMEOUT_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await _response(head, metrics, ready))
                    await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(answer, host, port, limit=MAX_HEAD_BYTES)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _response(head: bytes, metrics: Metrics, ready: Callable[[], bool]) -> bytes:
    method, _, target = head.partition(b" ")
    path = target.partition(b" ")[0].partition(b"?")[0]
    if method not in {b"GET", b"HEAD"}:
        return _message(HTTPStatus.METHOD_NOT_ALLOWED, b"method not allowed; use GET\n")
    match path:
        case b"/metrics":
            # In a thread: the process collector reads files.
            found = _ACCEPT.search(head)
            accept = found[1].decode("latin-1") if found else ""
            return _message(HTTPStatus.OK, *await asyncio.to_thread(metrics.exposition, accept))
        case b"/health/live":
            return _message(HTTPStatus.OK, b"live\n")
        case b"/health/ready" if ready():
            return _message(HTTPStatus.OK, b"ready\n")
        case b"/health/ready":
            return _message(HTTPStatus.SERVICE_UNAVAILABLE, b"the job store is unavailable\n")
        case _:
            return _message(HTTPStatus.NOT_FOUND, b"not found; available: /metrics, /health/live, /health/ready\n")


def _message(status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8") -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {content_type}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body

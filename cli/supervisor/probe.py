"""Asks a process of this machine whether it serves."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

PROBE_TIMEOUT_S = 2.0


async def until_answering(url: str) -> None:
    """Wait until a URL of this machine answers 200."""
    while True:
        with suppress(OSError, ValueError):  # not listening yet, no answer in time (TimeoutError), or not HTTP
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                if await _status_of(url) == 200:
                    return
        await asyncio.sleep(0.02)


async def _status_of(url: str) -> int:
    """GET a URL and return the status of the answer.

    By hand, as this is all the HTTP that the supervisor speaks: importing httpx costs it 0.3 s of its start.

    Raises:
        OSError: There is no connection.
        ValueError: The answer is not HTTP.
    """
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        status_line = (await reader.readline()).split(maxsplit=2)
        return int(status_line[1]) if len(status_line) > 1 else 0
    finally:
        writer.close()

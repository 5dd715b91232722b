"""The client that measures: as little of its own as possible, so that what is measured is the gateway."""

from contextlib import AsyncExitStack
from typing import Any, Self

import click
import orjson

from shared.providers.transport import Origin, Timeouts, UpstreamTransport, encode_headers

PATIENCE_S = 60.0


class BenchClient:
    """One server, over our own transport: a call costs a tenth of what it costs through httpx.

    Args:
        url: Scheme, host and port.
        key: Sent as a bearer token.
    """

    def __init__(self, url: str, key: str = "") -> None:
        self._origin = Origin.parse(url)
        self._transport = UpstreamTransport()
        self._timeouts = Timeouts(connect_s=5, total_s=PATIENCE_S)
        own = [(b"authorization", f"Bearer {key}".encode())] if key else []
        self._post_headers = encode_headers([(b"content-type", b"application/json"), *own])
        self._get_headers = encode_headers([(b"x-bf-async-wait", b"10"), *own])
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Nothing is opened yet."""
        self._exits.push_async_callback(self._transport.aclose)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._exits.aclose()

    async def get(self, path: str) -> Any:  # noqa: ANN401 - any document
        """A document; of a job, when it has ended."""
        return orjson.loads(await self._send("GET", path, self._get_headers, b""))

    async def post(self, path: str, body: bytes) -> bytes:
        """The answer to a request, unread."""
        return await self._send("POST", path, self._post_headers, body)

    async def _send(self, method: str, path: str, headers: bytes, body: bytes) -> bytes:
        reply = await self._transport.send(self._origin, method, path.encode(), headers, body, timeouts=self._timeouts)
        answer = await reply.read()
        if reply.status >= 400:
            raise click.ClickException(f"{method} {path} was answered {reply.status}: nothing was measured")
        return answer

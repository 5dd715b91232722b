"""The transport: exchanges with upstreams over pooled connections, for ready-made bytes and for httpx."""

import asyncio
import math
import ssl
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

import httpx

from shared.providers.transport.connection import Connection
from shared.providers.transport.dial import Dialer
from shared.providers.transport.exchange import Exchange
from shared.providers.transport.head import encode_headers, encode_request
from shared.providers.transport.origin import Limits, Origin, Timeouts
from shared.providers.transport.pool import OriginPool, OriginStats
from shared.providers.transport.proxies import NO_PROXIES, Proxies, Proxy
from shared.providers.transport.response import RawResponse
from shared.providers.transport.upload import PIECE_BYTES, Body, begin_with, encode_head, send_pieces

_DEFAULT_LIMITS = Limits()


class UpstreamTransport(httpx.AsyncBaseTransport):
    """An HTTP/1.1 client that belongs to the event loop it is first used in.

    Args:
        limits: Connections per origin and how long unused ones are kept.
        ssl_context: Replaces the default, which verifies against the system's authorities.
        proxies: Chooses the proxy of an origin.
    """

    def __init__(
        self,
        limits: Limits = _DEFAULT_LIMITS,
        ssl_context: ssl.SSLContext | None = None,
        proxies: Proxies = NO_PROXIES,
    ) -> None:
        self._limits = limits
        self._dialer = Dialer(ssl_context, proxies)
        self._proxies = proxies
        self._pools: dict[Origin, OriginPool] = {}
        self._closed = False

    def send(
        self,
        origin: Origin,
        method: str,
        target: bytes,
        headers: bytes | Sequence[tuple[bytes, bytes]],
        body: bytes,
        *,
        timeouts: Timeouts,
    ) -> Coroutine[Any, Any, RawResponse]:
        """Send ready-made bytes in one write and wait for the head of the answer; the bytes are made at once.

        The transport adds `content-length`, and where missing `host` and `accept-encoding: identity`.
        Cancelling the call closes the connection. A used connection that turns out closed before any byte of an
        answer is replaced once.

        Args:
            origin: Where to.
            method: Upper case; not CONNECT.
            target: Path and query, percent-encoded.
            headers: Pairs, or a block made once by `encode_headers`.
            body: May be empty.
            timeouts: For this attempt, retried connection included.

        Raises:
            MalformedRequest: The arguments cannot be sent (a `ValueError`, too); nothing was written.
            httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout: No connection; nothing was written.
            httpx.WriteTimeout, httpx.ReadTimeout: A limit of `timeouts` ran out.
            httpx.RemoteProtocolError, httpx.ReadError: Closed, reset, or no valid HTTP/1.1.
        """
        if self._proxies.forwards:
            target, headers = self._forwarded(origin, target, headers)
        large = len(body) > PIECE_BYTES
        payload = encode_request(method, target, origin.authority, headers, body, with_body=not large)
        rest = body if large else b""
        return self._exchange(origin, payload, timeouts, head_only=method == "HEAD", rest=rest)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer for `httpx.AsyncClient`; its four timeouts are honoured, headers go out as they are.

        Raises:
            httpx.UnsupportedProtocol: Neither http nor https.
            MalformedRequest: The request cannot be sent (an `httpx.LocalProtocolError`).
            httpx.TransportError: As `send`.
        """
        try:
            origin = Origin.of(request.url)
        except ValueError as error:
            raise httpx.UnsupportedProtocol(str(error)) from error
        timeouts = _read_timeouts(request.extensions.get("timeout", {}))
        head, body = encode_head(request, self._forwarding_proxy(origin)), Body(request)
        head_only = request.method == "HEAD"
        if body.replayable:
            payload = head + await body.read()
            raw = await self._exchange(origin, payload, timeouts, head_only=head_only)
        else:
            raw = await self._stream(origin, head, body, timeouts, head_only=head_only)
        extensions = {"http_version": b"HTTP/1.1", "reason_phrase": raw.reason}
        return httpx.Response(raw.status, headers=raw.headers, stream=_Stream(raw), extensions=extensions)

    def stats(self) -> dict[Origin, OriginStats]:
        """Connections per origin that has any."""
        return {origin: pool.stats() for origin, pool in self._pools.items()}

    async def aclose(self) -> None:
        """Close everything; requests in progress fail."""
        self._closed = True
        for pool in list(self._pools.values()):
            await pool.aclose()

    async def _exchange(
        self, origin: Origin, payload: bytes, timeouts: Timeouts, *, head_only: bool, rest: bytes = b""
    ) -> RawResponse:
        pool = self._pool(origin)
        total_at = pool.time() + timeouts.total_s
        connection = pool.take_idle() or await pool.open(timeouts, total_at)
        exchange = Exchange(timeouts, total_at, head_only=head_only, sending=bool(rest))
        try:
            if rest:
                await begin_with(connection, exchange, payload, rest)
            else:
                connection.begin(exchange, payload)
            await connection.wait_head(exchange)
        except (httpx.ReadError, httpx.RemoteProtocolError):
            if not exchange.stale:
                raise
            connection = await self._pool(origin).open(timeouts, total_at)
            exchange = Exchange(timeouts, total_at, head_only=head_only, sending=bool(rest))
            await begin_with(connection, exchange, payload, rest)
            await connection.wait_head(exchange)
        return RawResponse(connection, exchange)

    async def _stream(
        self, origin: Origin, head: bytes, body: Body, timeouts: Timeouts, *, head_only: bool
    ) -> RawResponse:
        pool = self._pool(origin)
        total_at = math.inf
        connection: Connection = pool.take_idle() or await pool.open(timeouts, total_at)
        exchange = Exchange(timeouts, total_at, head_only=head_only, sending=True)
        connection.begin(exchange, head)
        await send_pieces(connection, exchange, body)
        await connection.wait_head(exchange)
        return RawResponse(connection, exchange)

    def _forwarding_proxy(self, origin: Origin) -> Proxy | None:
        """Return the proxy that is sent whole requests: that of plain HTTP; one for https only carries a tunnel."""
        return self._proxies.of(origin) if origin.scheme == "http" and self._proxies.forwards else None

    def _forwarded(
        self, origin: Origin, target: bytes, headers: bytes | Sequence[tuple[bytes, bytes]]
    ) -> tuple[bytes, bytes | Sequence[tuple[bytes, bytes]]]:
        """Return target and headers as the proxy of plain HTTP wants them, if there is one (RFC 9112, 3.2.2)."""
        proxy = self._forwarding_proxy(origin)
        if proxy is None:
            return target, headers
        if proxy.headers:
            block = headers if isinstance(headers, bytes) else encode_headers(headers)
            headers = block + encode_headers(proxy.headers)
        return b"http://%b%b" % (origin.authority, target), headers

    def _forget(self, origin: Origin) -> None:
        self._pools.pop(origin, None)

    def _pool(self, origin: Origin) -> OriginPool:
        pool = self._pools.get(origin)
        if pool is None:
            if self._closed:
                raise RuntimeError("the transport was closed")
            pool = OriginPool(
                asyncio.get_running_loop(),
                self._limits,
                partial(self._dialer.dial, origin),
                partial(self._forget, origin),
            )
            self._pools[origin] = pool
        return pool


class _Stream(httpx.AsyncByteStream):
    """A raw response's body as httpx wants it."""

    def __init__(self, raw: RawResponse) -> None:
        self._raw = raw

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._raw.chunks():
            yield chunk

    async def aclose(self) -> None:
        await self._raw.aclose()


def _read_timeouts(given: Mapping[str, float | None]) -> Timeouts:
    def limit_s(name: str) -> float:
        value = given.get(name)
        return math.inf if value is None else value

    return Timeouts(
        connect_s=limit_s("connect"),
        first_byte_s=limit_s("read"),
        idle_s=limit_s("read"),
        write_s=limit_s("write"),
        pool_s=limit_s("pool"),
    )

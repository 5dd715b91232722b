"""Requests as httpx hands them over: whole bodies, and bodies produced while they are sent."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import httpx

from shared.providers.transport.connection import Connection
from shared.providers.transport.exchange import Exchange
from shared.providers.transport.head import MalformedRequest, encode_headers, encode_request_line
from shared.providers.transport.origin import Origin
from shared.providers.transport.proxies import Proxy

PIECE_BYTES = 256 * 1024
_LAST_CHUNK = b"0\r\n\r\n"


def encode_head(request: httpx.Request, proxy: Proxy | None = None) -> bytes:
    """Make the head of the request's own headers.

    Only one notion of the body's length may be sent (RFC 9112, 6.2); httpx itself adds a second one to plain bytes
    that the caller wants chunked. A proxy of plain HTTP is sent the whole URL (RFC 9112, 3.2.2).

    Raises:
        MalformedRequest: Something in it cannot be sent.
    """
    headers = request.headers.raw
    if "transfer-encoding" in request.headers:
        headers = [pair for pair in headers if pair[0].lower() != b"content-length"]
    target = request.url.raw_path
    if proxy is not None:
        target = b"http://%b%b" % (Origin.of(request.url).authority, target)
        headers = [*headers, *proxy.headers]
    line = encode_request_line(request.method, target)
    return b"%b%b\r\n" % (line, encode_headers(headers))


class Body:
    """A request body, framed as its headers say, and checked against them."""

    def __init__(self, request: httpx.Request) -> None:
        self._request = request
        self._chunked = _is_chunked(request)
        self._left = 0 if self._chunked else _declared_length(request)

    @property
    def replayable(self) -> bool:
        """Whether the body is plain bytes, which can be sent twice."""
        return isinstance(self._request.stream, httpx.ByteStream)

    async def read(self) -> bytes:
        """All of it, framed."""
        return b"".join([piece async for piece in self.pieces()])

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Piece by piece, framed.

        Raises:
            MalformedRequest: Longer or shorter than declared.
        """
        stream = self._request.stream
        if not isinstance(stream, httpx.AsyncByteStream):
            raise MalformedRequest("an asynchronous transport needs an asynchronous body")
        async for piece in stream:
            if piece:
                yield self._frame(piece)
        if self._left:
            raise MalformedRequest("the body is shorter than its content-length")
        if self._chunked:
            yield _LAST_CHUNK

    def _frame(self, piece: bytes) -> bytes:
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(piece), piece)
        self._left -= len(piece)
        if self._left < 0:
            raise MalformedRequest("the body is longer than its content-length")
        return piece


async def send_pieces(connection: Connection, exchange: Exchange, body: Body) -> None:
    """Send a body while it is being produced, until its end or until the upstream has answered.

    An upstream that answers early (413, say) does not want the rest.

    Raises:
        httpx.WriteTimeout: The upstream stopped taking it.
    """
    async with aclosing(body.pieces()) as pieces:
        await _send(connection, exchange, pieces)


async def begin_with(connection: Connection, exchange: Exchange, payload: bytes, rest: bytes) -> None:
    """Write a request: its beginning in one write, and the rest of a large body in pieces, as ``send_pieces`` does.

    One write of 50 MB holds the loop for 50 ms, and for longer under TLS.

    Raises:
        httpx.WriteTimeout: The upstream stopped taking it.
    """
    connection.begin(exchange, payload)
    if not rest:
        return

    async def pieces() -> AsyncGenerator[bytes, None]:
        for at in range(0, len(rest), PIECE_BYTES):
            yield rest[at : at + PIECE_BYTES]

    async with aclosing(pieces()) as each:
        await _send(connection, exchange, each)


async def _send(connection: Connection, exchange: Exchange, pieces: AsyncIterator[bytes]) -> None:
    try:
        async for piece in pieces:
            await connection.write(exchange, piece)
            if exchange.head_done or exchange.error is not None:
                return
    except BaseException:
        connection.abandon(exchange, httpx.WriteError("the request was not finished"))
        raise
    exchange.sending = False


def _is_chunked(request: httpx.Request) -> bool:
    coding = request.headers.get("transfer-encoding")
    if coding is not None and coding.strip().lower() != "chunked":
        raise MalformedRequest("transfer-encoding can only be chunked")
    return coding is not None


def _declared_length(request: httpx.Request) -> int:
    declared = request.headers.get("content-length", "0")
    if not (declared.isascii() and declared.isdigit()):
        raise MalformedRequest("content-length must be one decimal number")
    return int(declared)

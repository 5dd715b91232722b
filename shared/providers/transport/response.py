"""The raw response: status, headers, and the body in pieces or at once."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx

from shared.providers.transport.connection import Connection
from shared.providers.transport.exchange import Exchange

DEFAULT_MAX_BYTES = 64 * 1024 * 1024


class BodyTooLarge(httpx.RemoteProtocolError):
    """The body is longer than the caller was ready to hold; the connection was closed."""


class RawResponse:
    """The answer to one request; read it once, with `read` or `chunks`, or close it.

    Attributes:
        status: 200 to 999.
        headers: Names as they were sent, in order; `header` looks one up.
        reason: The reason phrase, possibly empty.
    """

    __slots__ = ("_by_name", "_connection", "_exchange", "_taken", "headers", "reason", "status")

    def __init__(self, connection: Connection, exchange: Exchange) -> None:
        self._connection = connection
        self._exchange = exchange
        self._taken = False
        self._by_name: dict[bytes, bytes] | None = None
        self.status = exchange.status
        self.headers = exchange.headers
        self.reason = exchange.reason

    @property
    def complete(self) -> bool:
        """Whether the upstream has sent all of it; the connection is free again then."""
        return self._exchange.complete

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, whatever its case, or None."""
        found = self._by_name
        if found is None:
            found = self._by_name = {sent.lower(): value for sent, value in reversed(self.headers)}
        return found.get(name.lower())

    async def read(self, max_bytes: int = DEFAULT_MAX_BYTES) -> bytes:
        """Wait for the whole body.

        Raises:
            BodyTooLarge: It is longer than `max_bytes`.
            httpx.ReadTimeout: The upstream fell silent, or the total time ran out.
            httpx.RemoteProtocolError, httpx.ReadError: It was cut short or is malformed.
            httpx.StreamConsumed: It was read before.
        """
        exchange = self._take_up()
        if not exchange.complete:
            self._refuse_declared(max_bytes)
            exchange.whole = True
            self._connection.resume(exchange)
        while True:
            if exchange.queued > max_bytes:
                self._refuse(max_bytes)
            if exchange.complete:
                return exchange.drain()
            if exchange.error is not None:
                raise exchange.error
            await self._connection.wait_body(exchange)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives: every network read at once, several joined if the caller was busy meanwhile.

        While more than 256 KB are unread the socket is left alone, so that the upstream has to wait.
        Leaving the loop before the end closes the connection.

        Raises:
            httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.ReadError, httpx.StreamConsumed: As `read`.
        """
        exchange = self._take_up()
        try:
            while True:
                if exchange.queued:
                    piece = exchange.drain()
                    self._connection.resume(exchange)
                    yield piece
                elif exchange.complete:
                    return
                elif exchange.error is not None:
                    raise exchange.error
                else:
                    await self._connection.wait_body(exchange)
        finally:
            self._let_go()

    async def more(self) -> bytes:
        """The next piece of the body, empty at its end; as ``chunks``, but leaving it leaves the connection open.

        A cancelled wait does so too: whoever gives the answer up closes it.

        Raises:
            httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.ReadError: As `read`.
        """
        self._taken = True
        exchange = self._exchange
        while not exchange.queued:
            if exchange.complete:
                return b""
            if exchange.error is not None:
                raise exchange.error
            await self._connection.wait_body(exchange, keep=True)
        piece = exchange.drain()
        self._connection.resume(exchange)
        return piece

    def limit_silence(self, idle_s: float) -> None:
        """From now on allow the upstream so much silence within the body."""
        self._exchange.timeouts = replace(self._exchange.timeouts, idle_s=idle_s)

    async def aclose(self) -> None:
        """As ``close``."""
        self.close()

    def close(self) -> None:
        """Want no more of it; before the end this closes the connection, so the upstream can stop working."""
        self._taken = True
        self._let_go()
        self._exchange.drain()

    def _take_up(self) -> Exchange:
        if self._taken:
            raise httpx.StreamConsumed
        self._taken = True
        return self._exchange

    def _let_go(self) -> None:
        if not self._exchange.complete:  # a connection is free again once the answer is complete
            self._connection.abandon(self._exchange, httpx.ReadError("the response was closed"))

    def _refuse_declared(self, max_bytes: int) -> None:
        declared = self.header(b"content-length")
        if declared is not None and int(declared) > max_bytes:
            self._refuse(max_bytes)

    def _refuse(self, max_bytes: int) -> None:
        self._let_go()
        message = f"the response is longer than {max_bytes} bytes"
        raise BodyTooLarge(message)

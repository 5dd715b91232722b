"""Asks a proxy for a tunnel with CONNECT (RFC 9110, 9.3.6), over which the caller then speaks TLS to the origin."""

import asyncio
from typing import cast

import httpx

from shared.providers.transport.head import encode_headers
from shared.providers.transport.origin import Origin
from shared.providers.transport.proxies import Proxy

MAX_HEAD_BYTES = 16 * 1024
_END = b"\r\n\r\n"


class Tunnel(asyncio.Protocol):
    """The connection to a proxy until the tunnel stands; then another protocol takes its transport over.

    Attributes:
        transport: The connection's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.transport: asyncio.Transport
        self._head = bytearray()
        self._answered: asyncio.Future[bytes] = loop.create_future()

    async def ask(self, origin: Origin, proxy: Proxy) -> None:
        """Ask for a tunnel to the origin.

        Raises:
            httpx.ConnectError: The proxy refused, or sent no valid answer.
        """
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        target = f"{host}:{origin.port}".encode("ascii")
        headers = encode_headers([(b"host", target), *proxy.headers])
        self.transport.write(b"CONNECT %b HTTP/1.1\r\n%b\r\n" % (target, headers))
        status = _status(await self._answered)
        if not 200 <= status < 300:
            reason = "its credentials are not accepted" if status == 407 else f"it answered {status}"
            raise httpx.ConnectError(f"the proxy {proxy.host}:{proxy.port} opened no tunnel: {reason}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Collect the head of the answer; nothing may follow it before the tunnel is used."""
        self._head += data
        at = self._head.find(_END)
        if at < 0 and len(self._head) <= MAX_HEAD_BYTES:
            return
        if at < 0 or len(self._head) > at + len(_END):
            self._fail("the proxy sent no valid answer to CONNECT")
        else:
            self._answered.set_result(bytes(self._head[:at]))

    def connection_lost(self, _error: Exception | None) -> None:
        """Say that there will be no answer."""
        self._fail("the proxy closed the connection")

    def _fail(self, message: str) -> None:
        if not self._answered.done():
            self._answered.set_exception(httpx.ConnectError(message))
            self._answered.exception()  # looked at: nobody may wait for it any more


def _status(head: bytes) -> int:
    """The status of an answer's head; 0: it is not valid."""
    version, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    code = rest[:3]
    return int(code) if version.startswith(b"HTTP/1.") and len(code) == 3 and code.isdigit() else 0

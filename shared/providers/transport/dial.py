"""Opening sockets: name lookup, the fastest of several addresses, TLS with verification."""

import asyncio
import ipaddress
import math
import ssl
from typing import Any

import httpx

from shared.providers.transport.connection import Connection
from shared.providers.transport.origin import Origin

_NEXT_ADDRESS_AFTER_S = 0.25  # RFC 8305, 5: try the next address without waiting for the first to fail


class Dialer:
    """Opens connections; one TLS context for all of them.

    The default context trusts the system's authorities, checks host names and offers HTTP/1.1 only.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl_context = ssl_context

    async def dial(self, origin: Origin, connection: Connection, limit_s: float) -> None:
        """Open a socket to the origin for this connection, TLS included, within `limit_s`.

        Raises:
            httpx.ConnectTimeout: Not within the time.
            httpx.ConnectError: Name unknown, refused, unreachable, or the certificate is not trusted.
        """
        try:
            async with asyncio.timeout(None if limit_s == math.inf else limit_s):
                await self._dial(origin, connection)
        except TimeoutError as error:
            message = f"no connection to {origin.host}:{origin.port} within {limit_s:g} s"
            raise httpx.ConnectTimeout(message) from error
        except OSError as error:
            message = f"no connection to {origin.host}:{origin.port}: {error}"
            raise httpx.ConnectError(message) from error

    async def _dial(self, origin: Origin, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {}
        # uvloop tries addresses in turn. An address needs no race, and cancelling one may leak its winner's socket.
        if isinstance(loop, asyncio.BaseEventLoop) and not _is_address(origin.host):
            options["happy_eyeballs_delay"] = _NEXT_ADDRESS_AFTER_S
        if origin.scheme == "https":
            options["ssl"] = await self._context()
            options["server_hostname"] = origin.host
        await loop.create_connection(lambda: connection, origin.host, origin.port, **options)

    async def _context(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            # Reads the system's certificates, for which the event loop should not wait.
            self._ssl_context = await asyncio.to_thread(_default_context)
        return self._ssl_context


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _default_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context

"""Opening sockets: name lookup, the fastest of several addresses, proxies, TLS with verification."""

import asyncio
import ipaddress
import math
import ssl
from collections.abc import Callable
from typing import Any

import httpx

from shared.providers.transport.connection import Connection
from shared.providers.transport.origin import Origin
from shared.providers.transport.proxies import NO_PROXIES, Proxies, Proxy
from shared.providers.transport.tunnel import Tunnel

_NEXT_ADDRESS_AFTER_S = 0.25  # RFC 8305, 5: try the next address without waiting for the first to fail


class Dialer:
    """Opens connections; one TLS context for all of them.

    The default context trusts the system's authorities (``SSL_CERT_FILE`` replaces them), checks host names and offers
    HTTP/1.1 only.

    Args:
        ssl_context: Replaces the default, for origins; a proxy is spoken to with the default one.
        proxies: Chooses the proxy of an origin.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None, proxies: Proxies = NO_PROXIES) -> None:
        self._ssl_context = ssl_context
        self._default_context: ssl.SSLContext | None = None
        self._proxies = proxies

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
        proxy = self._proxies.of(origin)
        if proxy is not None:
            await self._dial_through(proxy, origin, connection)
            return
        context = await self._context() if origin.scheme == "https" else None
        await _connect(lambda: connection, origin.host, origin.port, context)

    async def _dial_through(self, proxy: Proxy, origin: Origin, connection: Connection) -> None:
        """Connect to a proxy; for https, make a tunnel through it and speak TLS with the origin."""
        to_proxy = await self._proxy_context() if proxy.scheme == "https" else None
        if origin.scheme == "http":
            await _connect(lambda: connection, proxy.host, proxy.port, to_proxy)
            return
        loop = asyncio.get_running_loop()
        tunnel = Tunnel(loop)
        await _connect(lambda: tunnel, proxy.host, proxy.port, to_proxy)
        try:
            await tunnel.ask(origin, proxy)
            context = await self._context()
            transport = await loop.start_tls(tunnel.transport, connection, context, server_hostname=origin.host)
        except BaseException:
            tunnel.transport.abort()
            raise
        if transport is None:  # pragma: no cover - asyncio, when the peer is gone at the very end of the handshake
            raise httpx.ConnectError(f"the proxy {proxy.host}:{proxy.port} closed the tunnel")
        connection.connection_made(transport)

    async def _context(self) -> ssl.SSLContext:
        return self._ssl_context or await self._proxy_context()

    async def _proxy_context(self) -> ssl.SSLContext:
        if self._default_context is None:
            # Reads the system's certificates, for which the event loop should not wait.
            self._default_context = await asyncio.to_thread(client_context)
        return self._default_context


async def _connect(
    protocol: Callable[[], asyncio.BaseProtocol], host: str, port: int, context: ssl.SSLContext | None
) -> None:
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {}
    # uvloop tries addresses in turn. An address needs no race, and cancelling one may leak its winner's socket.
    if isinstance(loop, asyncio.BaseEventLoop) and not _is_address(host):
        options["happy_eyeballs_delay"] = _NEXT_ADDRESS_AFTER_S
    if context is not None:
        options["ssl"] = context
        options["server_hostname"] = host
    await loop.create_connection(protocol, host, port, **options)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def client_context(ca_file: str = "", client_cert: str = "", client_key: str = "") -> ssl.SSLContext:
    """Make a TLS context. It reads files: call it before the event loop serves, or in a thread.

    Args:
        ca_file: Authorities, in PEM, that are trusted in place of the system's.
        client_cert: Certificate chain, in PEM, that is presented to servers which ask for one.
        client_key: Its private key, in PEM and without a passphrase; empty: it stands in ``client_cert``.

    Raises:
        OSError: A file cannot be read, or does not hold what it should (``ssl.SSLError``).
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    context.set_alpn_protocols(["http/1.1"])
    if client_cert:
        context.load_cert_chain(client_cert, client_key or None, password=_no_passphrase)
    return context


def _no_passphrase() -> str:
    """Answer OpenSSL, which would ask at the terminal otherwise."""
    return ""

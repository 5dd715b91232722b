"""Origin, timeouts and connection limits of requests."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Self

import httpx

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Scheme, host and port: what connections are pooled by.

    A tuple, because its hash is computed on every request.

    Attributes:
        scheme: `http` or `https`.
        host: Lower-case name or address; internationalised names in their ASCII form, IPv6 without brackets.
        port: The TCP port, never implied.
    """

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, base_url: str) -> Self:
        """Take the origin of a URL; its path and query are left aside.

        Raises:
            ValueError: Not an absolute http or https URL, or one that carries credentials.
        """
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            message = f"not a valid URL: {error}"
            raise ValueError(message) from error
        if url.userinfo:
            raise ValueError("credentials do not belong in a base URL; use a header")
        return cls.of(url)

    @classmethod
    def of(cls, url: httpx.URL) -> Self:
        """Take the origin of a parsed URL.

        Raises:
            ValueError: Neither http nor https, or without a host or a possible port.
        """
        scheme, host = url.scheme, url.raw_host.decode("ascii")
        if scheme not in _DEFAULT_PORTS:
            message = f"scheme {scheme!r} is not supported: http or https is needed"
            raise ValueError(message)
        if not host:
            raise ValueError("the URL names no host")
        port = _DEFAULT_PORTS[scheme] if url.port is None else url.port
        if not 0 < port < 65536:
            message = f"port {port} does not exist"
            raise ValueError(message)
        return cls(scheme, host, port)

    @property
    def authority(self) -> bytes:
        """The `Host` header's value: the port only where it is not the scheme's own (RFC 9110, 7.2)."""
        return _authority(self)


@lru_cache(maxsize=1024)
def _authority(origin: Origin) -> bytes:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    if origin.port != _DEFAULT_PORTS[origin.scheme]:
        host = f"{host}:{origin.port}"
    return host.encode("ascii")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits of one attempt, in seconds; `math.inf` is no limit.

    Attributes:
        connect_s: Name lookup, TCP connect and TLS handshake together.
        first_byte_s: From the request sent to the whole response head.
        idle_s: Silence of the upstream while someone waits for the next piece of the body.
        total_s: The whole attempt, body included, however fast or slow the caller reads.
        write_s: An upload that makes no progress at all.
        pool_s: Waiting for a connection when the origin's limit is reached.
    """

    connect_s: float = 5.0
    first_byte_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = math.inf
    write_s: float = 60.0
    pool_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Connection limits of an origin.

    Attributes:
        max_connections: Open or opening, per origin; further requests wait.
        max_idle_s: Age at which an unused connection is closed.
    """

    max_connections: int = 1000
    max_idle_s: float = 30.0

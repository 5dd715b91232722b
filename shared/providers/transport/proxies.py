"""Which proxy a connection goes through: a configured one, or that of the environment.

The variables are those of curl and of Python's own clients: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and
``NO_PROXY``, in lower case first.
"""

import base64
import ipaddress
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from shared.providers.transport.origin import Origin

DIRECT = "direct"
"""The value of ``providers.<name>.proxy`` that means no proxy, whatever the environment says."""

VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Proxy(NamedTuple):
    """An HTTP proxy.

    Attributes:
        scheme: ``http`` or ``https``: how the proxy itself is spoken to.
        host: Its name or address.
        port: Its TCP port.
        authorization: The value of ``Proxy-Authorization``; empty without credentials.
    """

    scheme: str
    host: str
    port: int
    authorization: bytes = b""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The header that a request to the proxy itself needs."""
        return [(b"proxy-authorization", self.authorization)] if self.authorization else []


def parse_proxy(url: str) -> Proxy:
    """Read a proxy's URL; without a scheme, as curl takes it, it is http.

    Raises:
        ValueError: It is not the URL of an HTTP proxy. The message does not repeat credentials.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not a valid URL") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"{parts.scheme[:16]}:// is not supported; use an http:// or https:// proxy")
    if not host or not host.isascii() or port == 0:
        raise ValueError("names no host")
    authorization = b""
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        authorization = b"Basic " + base64.b64encode(credentials)
    return Proxy(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], authorization)


class Proxies:
    """Chooses the proxy of an origin.

    Plain HTTP to this machine is never proxied: that is where model servers listen, and no proxy reaches them.

    Args:
        by_scheme: The proxy for ``http`` and for ``https`` origins.
        bypassed: Hosts that are called directly, as in ``NO_PROXY``: ``*``, names, whose subdomains are included,
            addresses, networks, each with ``:port`` or without.
    """

    def __init__(self, by_scheme: Mapping[str, Proxy], bypassed: str = "") -> None:
        self._by_scheme = dict(by_scheme)
        self._bypassed = [entry.strip().lower() for entry in bypassed.split(",") if entry.strip()]

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> "Proxies":
        """Take the proxies that the environment names.

        Raises:
            ValueError: A variable that is used holds no usable URL; the message names it.
        """
        by_scheme = {}
        for scheme in _DEFAULT_PORTS:
            name, url = _first(environ, f"{scheme.upper()}_PROXY", "ALL_PROXY")
            if url:
                try:
                    by_scheme[scheme] = parse_proxy(url)
                except ValueError as error:
                    raise ValueError(f"{name} {error}") from None
        return cls(by_scheme, _first(environ, "NO_PROXY")[1])

    @classmethod
    def always(cls, url: str) -> "Proxies":
        """Take one proxy for every origin, or none for ``direct``.

        Raises:
            ValueError: The URL is not usable.
        """
        if url == DIRECT:
            return cls({})
        proxy = parse_proxy(url)
        return cls({"http": proxy, "https": proxy})

    @property
    def forwards(self) -> bool:
        """Whether there is a proxy for plain HTTP, which is sent whole requests instead of being a tunnel."""
        return "http" in self._by_scheme

    def of(self, origin: Origin) -> Proxy | None:
        """Return the proxy for an origin; None: it is called directly."""
        proxy = self._by_scheme.get(origin.scheme)
        if proxy is None or (origin.scheme == "http" and _is_this_machine(origin.host)):
            return None
        return None if any(_matches(entry, origin) for entry in self._bypassed) else proxy


NO_PROXIES = Proxies({})


def _first(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    """The first variable that is set, in lower case first as curl looks, and its value."""
    for name in names:
        for spelled in (name.lower(), name):
            if environ.get(spelled, "").strip():
                return spelled, environ[spelled].strip()
    return "", ""


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _matches(entry: str, origin: Origin) -> bool:
    """Whether an entry of ``NO_PROXY`` names the origin."""
    if entry == "*":
        return True
    host, port = _split_port(entry)
    if port and port != str(origin.port):
        return False
    try:
        return ipaddress.ip_address(origin.host) in ipaddress.ip_network(host, strict=False)
    except ValueError:  # one of them is a name
        name = host.removeprefix("*").lstrip(".")
        return bool(name) and (origin.host == name or origin.host.endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, str]:
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return host, rest.removeprefix(":")
    host, colon, port = entry.rpartition(":")
    return (host, port) if colon and port.isdigit() and ":" not in host else (entry, "")

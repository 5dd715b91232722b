"""The address of a client: its connection's, or the one that a trusted proxy reports in ``X-Forwarded-For``."""

import ipaddress
from collections.abc import Iterable

from api.http.request_context import Scope

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# A proxy adds one entry; what a hostile client sent before that is not worth more than this.
MAX_ENTRIES = 32


class ClientAddresses:
    """Finds the address that a request comes from.

    Args:
        trusted_proxies: Networks whose ``X-Forwarded-For`` is believed (``server.trusted_proxies``); empty: none.
    """

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        self._trusted: tuple[Network, ...] = tuple(ipaddress.ip_network(entry) for entry in trusted_proxies)

    def of(self, scope: Scope) -> str:
        """Return the client's address; empty for a connection that has none (a Unix socket).

        The entries of ``X-Forwarded-For`` are read from the right, where the nearest proxy wrote: the first one that
        is not a trusted proxy itself is the client. What stands left of it is the client's own claim.
        """
        client = scope.get("client")
        peer: str = client[0] if client else ""
        if not self._trusted or not self._is_trusted(_parsed(peer)):
            return peer
        found = peer
        for entry in reversed(_entries(scope)):
            address = _parsed(_without_port(entry))
            if address is None:
                break
            found = str(address)
            if not self._is_trusted(address):
                break
        return found

    def _is_trusted(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def _entries(scope: Scope) -> list[str]:
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return [entry.strip() for entry in ",".join(lines).split(",")][-MAX_ENTRIES:]


def _without_port(entry: str) -> str:
    """Remove the port that some proxies add: ``192.0.2.1:4711``, ``[2001:db8::1]:4711``."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    host, _, port = entry.partition(":")
    return host if port.isdigit() and "." in host else entry


def _parsed(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address

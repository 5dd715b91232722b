"""Resolves callback hosts to public addresses, so that no caller can reach the operator's network (SSRF)."""

import asyncio
import ipaddress
import socket
from concurrent.futures import Executor

MAX_ADDRESSES = 3

# Own lists beside `is_global`, whose answers differ between patch versions of Python. Sources:
# https://www.iana.org/assignments/iana-ipv4-special-registry and .../iana-ipv6-special-registry
_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")  # the only unicast space that is assigned: all else is refused
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in ("2001:2::/48", "2001:10::/28", "2001:20::/28", "2001:db8::/32", "3fff::/20")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


class PrivateAddress(Exception):
    """At least one address of the host is not public."""


async def resolve(host: str, port: int, threads: Executor | None = None) -> tuple[str, ...]:
    """Resolve a host to at most three addresses.

    Args:
        host: A name or an address.
        port: The port to connect to.
        threads: Where to run the blocking look-up; default: the loop's. One that never ends keeps a thread.

    Raises:
        OSError: The host does not resolve.
        ValueError: It is not a valid host name.
    """
    found = await asyncio.get_running_loop().run_in_executor(threads, _look_up, host, port)
    if not found:
        raise OSError("the host has no address")
    return found


async def resolve_public(host: str, port: int, threads: Executor | None = None) -> tuple[str, ...]:
    """Resolve a host to checked addresses; connect to these, because a second look-up may answer differently.

    Raises:
        PrivateAddress: One of its addresses is private, local, reserved or multicast.
        OSError: The host does not resolve.
        ValueError: It is not a valid host name.
    """
    addresses = await resolve(host, port, threads)
    if not all(map(is_public, addresses)):
        raise PrivateAddress(host)
    return addresses[:MAX_ADDRESSES]


def is_public(address: str) -> bool:
    """Tell whether an IP address is public; IPv4 addresses embedded in IPv6 must be public too."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return _is_public_v4(ip)
    if ip.ipv4_mapped is not None:
        return _is_public_v4(ip.ipv4_mapped)
    if ip in _NAT64:  # where DNS64 is used, every IPv4 host has such an address
        return _is_public_v4(_low_v4(ip))
    if ip not in _GLOBAL_V6 or any(ip in network for network in _REFUSED_V6):
        return False
    return all(map(_is_public_v4, _embedded_v4(ip)))


def _is_public_v4(ip: ipaddress.IPv4Address) -> bool:
    return ip.is_global and not any(ip in network for network in _REFUSED_V4)


def _embedded_v4(ip: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    """Return the addresses inside 6to4, Teredo and ISATAP addresses."""
    embedded = ip.teredo or (() if ip.sixtofour is None else (ip.sixtofour,))
    return (*embedded, _low_v4(ip)) if int(ip) >> 32 & 0xFFFFFFFF in _ISATAP else tuple(embedded)


def _low_v4(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)


def _look_up(host: str, port: int) -> tuple[str, ...]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))

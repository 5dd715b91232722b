"""Resolves callback hosts to public addresses, so that no caller can reach the operator's network (SSRF)."""

import asyncio
import ipaddress
import socket


class PrivateAddress(Exception):
    """At least one address of the host is not public."""


async def resolve_public(host: str, port: int) -> str:
    """Resolve a host to a checked address; connect to this address, because a second lookup may answer differently.

    Raises:
        PrivateAddress: One of its addresses is private, local, reserved or multicast.
        OSError: The host does not resolve.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses:
        raise OSError("the host has no address")
    for address in addresses:
        if not is_public(address):
            raise PrivateAddress(host)
    return addresses[0]


def is_public(address: str) -> bool:
    """Tell whether an IP address is public; IPv4 addresses embedded in IPv6 are checked as IPv4."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast

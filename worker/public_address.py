"""Where a name leads, and whether a callback may go there: no caller reaches into the operator's network through us."""

import asyncio
import ipaddress
import socket


class PrivateAddress(Exception):
    """The name leads, or also leads, to an address that is not public."""


async def resolve_public(host: str, port: int) -> str:
    """An address of the host, checked, to be connected to as it is: asking the name again might answer otherwise.

    Raises:
        PrivateAddress: One of its addresses is private, local, reserved or multicast.
        OSError: The name leads nowhere.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses:
        raise OSError("the name has no address")
    for address in addresses:
        if not is_public(address):
            raise PrivateAddress(host)
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet; an IPv4 address dressed as IPv6 counts as what it is."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast

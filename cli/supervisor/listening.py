"""Listening sockets, opened by the supervisor and served by its children: they survive a child's death."""

import errno
import os
import random
import socket
from contextlib import suppress

import click

_QUIET_PORTS = range(20_000, 32_000)
TRIES = 50


def open_listeners(host: str, port: int, count: int) -> list[socket.socket]:
    """Open ``count`` sockets on one address; several share it by SO_REUSEPORT, and the kernel spreads connections.

    Args:
        port: 0 chooses a free one.

    Raises:
        click.ClickException: The address is in use, or does not belong to this machine.
    """
    family, address = _resolve(host, port)
    first = _bind(family, address, shared=False)
    if count == 1:
        return [first]
    # Bound alone first: with SO_REUSEPORT another gateway of the same user on that port would go unnoticed.
    address = (address[0], first.getsockname()[1])
    first.close()
    return [_bind(family, address, shared=True) for _ in range(count)]


def url_of(listener: socket.socket) -> str:
    """Return the URL at which a client on this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - the wildcard is compared, not bound
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free at the moment.

    Raises:
        click.ClickException: No free port was found.
    """
    with open_free_port() as listener:
        return int(listener.getsockname()[1])


def open_free_port() -> socket.socket:
    """Listen on a free port of 127.0.0.1.

    It is outside the ephemeral range (32768 and above), from which the system assigns ports: there another process
    would take it, sooner or later, while its user does not listen.

    Raises:
        click.ClickException: No free port was found.
    """
    for port in random.sample(_QUIET_PORTS, TRIES):
        with suppress(click.ClickException):
            return _bind(socket.AF_INET, ("127.0.0.1", port), shared=False)
    raise click.ClickException("found no free port on 127.0.0.1")


def _resolve(host: str, port: int) -> tuple[int, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise click.ClickException(f"unknown host {host!r}: {error.strerror}") from None
    family, _, _, _, address = found[0]
    return family, (str(address[0]), int(address[1]))


def _bind(family: int, address: tuple[str, int], *, shared: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        host, port = address
        if error.errno == errno.EADDRINUSE:
            raise click.ClickException(
                f"port {port} of {host} is in use; stop what listens there, or choose another port (--port 0: any)"
            ) from None
        raise click.ClickException(f"cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}") from None
    listener.setblocking(False)
    return listener

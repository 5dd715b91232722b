"""Processes that are started ahead: they import while their supervisor still finds out what they are to do.

Of the time until `finops serve` is ready, imports of the API are the largest part; the supervisor's own settings and
store take half as long again. Such a process loads what its command needs, then waits on a socket for its orders:
arguments, environment and file descriptors. If the supervisor ends first, so does it.
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Self

from cli.supervisor import ORDERS_OPTION

# -P: a folder called cli in the working directory is not ours.
CLI = (sys.executable, "-P", "-m", "cli")
_LENGTH_BYTES = 8
_MOST_DESCRIPTORS = 16


class StartedAhead:
    """The supervisor's side of one process. Use `with`: at the end, a process that got no orders is gone.

    Args:
        command: Its command line, to which ``--orders-fd`` is appended; orders add arguments to it.

    Attributes:
        command: The same.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = tuple(command)
        self._ours, theirs = socket.socketpair()
        self._ordered = False
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                [*command, ORDERS_OPTION, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C reaches only the supervisor
            )

    def __enter__(self) -> Self:
        """Return the process."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, unless it has orders: then its supervisor ends it."""
        self._ours.close()
        if not self._ordered:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        import asyncio  # noqa: PLC0415 - this process starts before the loop's modules are loaded

        return await asyncio.to_thread(self._process.wait)

    def order(self, command: Sequence[str], environ: Mapping[str, str], inherited: Sequence[int]) -> None:
        """Let it do what a process with this command line would; blocks until it has read that.

        Args:
            command: Begins as its own command line does.
            environ: Replaces its environment.
            inherited: File descriptors; they have the same numbers there.

        Raises:
            OSError: It has ended.
        """
        orders = {
            "arguments": list(command[len(self.command) :]),
            "environ": dict(environ),
            "inherited": list(inherited),
        }
        text = json.dumps(orders).encode()
        socket.send_fds(self._ours, [len(text).to_bytes(_LENGTH_BYTES)], list(inherited))
        self._ours.sendall(text)
        self._ordered = True


def receive_orders(descriptor: int, environ: MutableMapping[str, str] = os.environ) -> list[str]:
    """Wait for orders: take over their environment and descriptors, and return their arguments.

    Raises:
        SystemExit: The supervisor ended without orders.
    """
    with socket.socket(fileno=descriptor) as control:
        head, descriptors, _, _ = socket.recv_fds(control, _LENGTH_BYTES, _MOST_DESCRIPTORS)
        text = _read(control, int.from_bytes(head))
    if not text:
        sys.exit(0)
    orders: dict[str, Any] = json.loads(text)
    environ.clear()
    environ.update(orders["environ"])
    _renumber(descriptors, orders["inherited"])
    return [str(argument) for argument in orders["arguments"]]


def _read(control: socket.socket, length: int) -> bytes:
    """Read so many bytes; fewer only if the other side ends."""
    parts = []
    while length and (part := control.recv(length)):
        parts.append(part)
        length -= len(part)
    return b"" if length else b"".join(parts)


def _renumber(descriptors: Sequence[int], wanted: Sequence[int]) -> None:
    """Give descriptors the numbers that they have in the supervisor; a number may be that of another one here."""
    spare = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, max(wanted) + 1) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for descriptor, number in zip(spare, wanted, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)

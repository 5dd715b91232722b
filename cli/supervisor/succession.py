"""Successors of running processes, and the sockets on which an API process asks for a reload."""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from cli.supervisor.children import Child

if TYPE_CHECKING:
    from shared.settings.differences import Change

READ_BYTES = 4096


async def start_successor(old: Child, report: Callable[[str], None], timeout_s: float) -> Child:
    """Start a process like another one, on the same socket, and wait until it serves.

    Raises:
        click.ClickException: It ended, or did not serve in time; it is stopped again.
    """
    reading, writing = os.pipe()
    command = (*old.plan.command, "--ready-fd", str(writing))
    child = Child(replace(old.plan, command=command, inherited=(*old.plan.inherited, writing)), report)
    try:
        await child.start()
        await _until_ready(child, reading, timeout_s)
    except BaseException:
        await child.stop(0.0)
        raise
    finally:
        os.close(reading)
        os.close(writing)
    child.plan = old.plan  # for its restarts: nobody waits for it then
    return child


async def _until_ready(child: Child, descriptor: int, timeout_s: float) -> None:
    """Wait until a child has written to its end of a pipe.

    Raises:
        click.ClickException: It ended, or did not serve in time.
    """
    ready, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(descriptor, ready.set)
    waits = {asyncio.create_task(ready.wait()), asyncio.create_task(child.died())}
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(descriptor)
        for task in waits:
            task.cancel()
        await asyncio.wait(waits)
    if not ready.is_set():
        raise click.ClickException(f"{child.plan.name} did not start with the new configuration; the old one stays")


Answer = Callable[["list[Change]"], Awaitable[None]]
Reload = Callable[[Answer], Awaitable[Any]]


class ControlSocket:
    """A stream between an API process, and its successors, and the supervisor.

    Args:
        reload: Reloads the configuration; it calls its argument with what changes before it stops any process.
    """

    def __init__(self, reload: Reload) -> None:
        self._reload = reload
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._task = asyncio.create_task(self._serve(), name="control")

    @property
    def descriptor(self) -> int:
        """The end that the child inherits."""
        return self._theirs.fileno()

    async def aclose(self) -> None:
        """Close both ends."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._ours.close()
        self._theirs.close()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while await loop.sock_recv(self._ours, READ_BYTES):
            try:
                await self._reload(self._answer)
            except click.ClickException as error:
                await self._send({"error": error.message})

    async def _answer(self, changes: "list[Change]") -> None:
        await self._send({"changes": [change.to_dict() for change in changes]})

    async def _send(self, answer: dict[str, Any]) -> None:
        with suppress(OSError):  # the process that asked has ended
            await asyncio.get_running_loop().sock_sendall(self._ours, json.dumps(answer).encode() + b"\n")

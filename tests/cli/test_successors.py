"""Successors of supervised processes, and the socket on which one asks for a reload."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator

import click
import pytest

from cli.supervisor.children import Child, ChildPlan
from cli.supervisor.succession import Answer, ControlSocket, start_successor
from shared.settings.differences import Change

# Stands for an API process: a descriptor to write to is its last argument once it has a predecessor.
READY = "import os, sys; len(sys.argv) > 1 and os.write(int(sys.argv[-1]), b'1'); os.read(os.pipe()[0], 1)"
DEAD = "raise SystemExit(3)"


def child(program: str) -> Child:
    command = (sys.executable, "-I", "-S", "-c", program)
    return Child(ChildPlan(name="api", command=command, environ=dict(os.environ)), lambda text: None)


async def test_a_successor_serves_before_it_takes_the_place_of_the_old_one() -> None:
    old = child(READY)
    await old.start()
    new = await start_successor(old, lambda text: None, 30)
    try:
        assert new.pid not in {None, old.pid}
        assert new.plan == old.plan
    finally:
        await asyncio.gather(old.stop(5), new.stop(5))


async def test_a_successor_that_does_not_start_is_stopped_and_reported() -> None:
    with pytest.raises(click.ClickException, match="api did not start with the new configuration; the old one stays"):
        await start_successor(child(DEAD), lambda text: None, 30)


@pytest.fixture
async def asked() -> AsyncIterator[tuple[ControlSocket, list[str]]]:
    outcomes: list[str] = ["change", "refuse"]

    async def reload(answer: Answer) -> None:
        if outcomes.pop(0) == "refuse":
            raise click.ClickException("not valid")
        await answer([Change("jobs.max_attempts", "2", "5")])

    control = ControlSocket(reload)
    yield control, outcomes
    await control.aclose()


async def test_a_request_on_the_socket_reloads_and_is_answered(asked: tuple[ControlSocket, list[str]]) -> None:
    control, _ = asked
    reader, writer = await asyncio.open_connection(sock=control._theirs.dup())
    try:
        writer.write(b"reload\n")
        change = {"setting": "jobs.max_attempts", "before": "2", "after": "5"}
        assert json.loads(await reader.readline()) == {"changes": [change]}
        writer.write(b"reload\n")
        assert json.loads(await reader.readline()) == {"error": "not valid"}
    finally:
        writer.close()
        await writer.wait_closed()

"""Processes that are started ahead get their arguments, environment and descriptors later, as if started then."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator

import psutil
import pytest

from cli.supervisor.ahead import StartedAhead, receive_orders
from cli.supervisor.children import Child, ChildPlan
from tests.served import MEASURED_FINOPS, clean_environ
from tests.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

OBEY = """
import os, sys
from cli.supervisor.ahead import receive_orders
arguments = receive_orders(int(sys.argv[2]))
os.write(int(arguments[0]), f"{arguments[1]} {os.environ['GREETED']} {'PATH' in os.environ}".encode())
"""
COMMAND = (sys.executable, "-c", OBEY)


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def obedient() -> Iterator[StartedAhead]:
    with StartedAhead(COMMAND) as ahead:  # here, as it blocks
        yield ahead


@pytest.fixture
def ended() -> Iterator[StartedAhead]:
    with StartedAhead((sys.executable, "-c", "")) as ahead:
        psutil.Process(ahead.pid).wait(30)
        yield ahead


async def test_a_child_started_ahead_gets_its_orders_and_is_started_anew_after_its_end(obedient: StartedAhead) -> None:
    reports: list[str] = []
    reading, writing = os.pipe()
    command = (*COMMAND, str(writing), "hello")
    plan = ChildPlan(name="child", command=command, environ={"GREETED": "world"}, inherited=(writing,))
    child = Child(plan, reports.append, obedient)
    await child.start()
    assert await asyncio.to_thread(os.read, reading, 100) == b"hello world False"
    await child.died()
    await wait_until(lambda: child.starts > 1)
    await child.stop(0)
    assert "exit code 0" in reports[0]
    os.close(reading)
    os.close(writing)


async def test_a_child_started_ahead_is_stopped_like_any_other(obedient: StartedAhead) -> None:
    child = Child(ChildPlan(name="child", command=(*COMMAND, "0", ""), environ={}), lambda text: None, obedient)
    await child.start()
    await child.stop(0)
    assert child.pid is None


def test_an_api_that_is_ordered_with_an_invalid_configuration_says_so_and_ends(
    capfd: pytest.CaptureFixture[str],
) -> None:
    command = (*MEASURED_FINOPS, "api")
    with StartedAhead(command) as ahead:
        ahead.order([*command, "--fd", "0"], clean_environ(FINOPS_PORT="many"), (1,))
        assert asyncio.run(ahead.wait()) == 2
    assert "server.port: must be a whole number" in capfd.readouterr().err


async def test_a_process_that_ended_before_its_orders_is_replaced(ended: StartedAhead) -> None:
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    child = Child(ChildPlan(name="child", command=command, environ=dict(os.environ)), lambda text: None, ended)
    await child.start()
    assert child.pid not in {None, ended.pid}
    await child.stop(0)


def test_a_process_without_orders_is_gone_at_the_end() -> None:
    with StartedAhead(COMMAND) as ahead:
        pid = ahead.pid
        assert ahead.returncode is None
    assert ahead.returncode == -signal.SIGKILL
    assert not psutil.pid_exists(pid)


def test_descriptors_keep_the_numbers_of_the_supervisor_even_if_they_are_taken(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = sockets
    first, second = os.pipe()
    spare = [os.dup(first), os.dup(second)]
    orders = b'{"arguments": ["--fd", "7"], "environ": {"A": "1"}, "inherited": [%d, %d]}' % (spare[1], spare[0])
    socket.send_fds(ours, [len(orders).to_bytes(8)], [second, first])
    ours.sendall(orders)
    environ = {"B": "2"}
    try:
        assert receive_orders(os.dup(theirs.fileno()), environ) == ["--fd", "7"]
        assert environ == {"A": "1"}
        os.write(spare[1], b"x")
        assert os.read(spare[0], 1) == b"x"
    finally:
        for descriptor in (first, second, *spare):
            os.close(descriptor)


@pytest.mark.parametrize("sent", [b"", (100).to_bytes(8) + b"{"])
def test_a_process_whose_supervisor_ends_without_orders_ends_too(
    sockets: tuple[socket.socket, socket.socket], sent: bytes
) -> None:
    ours, theirs = sockets
    ours.sendall(sent)
    ours.close()
    with pytest.raises(SystemExit) as ended:
        receive_orders(os.dup(theirs.fileno()))
    assert ended.value.code == 0

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from cli.supervisor import children
from cli.supervisor.children import Child, ChildPlan
from cli.supervisor.lifeline import VARIABLE, Lifeline, hold_lifeline
from tests.waiting import wait_until, wait_until_sync

pytestmark = pytest.mark.process

SLEEP = "import time; time.sleep(60)"
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open({!r}, "w").close()
time.sleep(60)
"""

Start = Callable[..., Coroutine[Any, Any, Child]]


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
async def start(reports: list[str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    monkeypatch.setattr(children, "FIRST_BACKOFF_S", 0.01)
    started: list[Child] = []

    async def start(code: str) -> Child:
        plan = ChildPlan(name="child", command=(sys.executable, "-c", code), environ=dict(os.environ))
        child = Child(plan, reports.append)
        started.append(child)
        await child.start()
        return child

    yield start
    for child in started:
        await child.stop(0)


async def test_a_child_that_dies_is_restarted_and_reported(start: Start, reports: list[str]) -> None:
    child = await start(SLEEP)
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await child.died()
    await wait_until(lambda: child.pid not in {None, first})
    assert child.starts == 2
    assert reports == ["child ended unexpectedly (killed by SIGKILL); restarting it in 0.01 s"]


async def test_the_restart_back_off_grows(start: Start, reports: list[str]) -> None:
    child = await start("raise SystemExit(3)")
    await wait_until(lambda: child.starts >= 3)
    assert "(exit code 3); restarting it in 0.01 s" in reports[0]
    assert "in 0.02 s" in reports[1]


async def test_the_back_off_starts_over_after_a_healthy_run(
    start: Start, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "HEALTHY_AFTER_S", 0.0)
    child = await start("raise SystemExit(3)")
    await wait_until(lambda: child.starts >= 4, 20)
    assert all("in 0.01 s" in report for report in reports)


async def test_a_stopped_child_is_not_restarted(start: Start, reports: list[str]) -> None:
    child = await start(SLEEP)
    await child.stop(10)
    assert child.pid is None
    assert (child.starts, reports) == (1, [])
    await child.stop(10)


async def test_a_deaf_child_is_killed_when_its_grace_is_over(start: Start, tmp_path: Path) -> None:
    deaf = tmp_path / "deaf"
    child = await start(DEAF.format(str(deaf)))
    await wait_until(deaf.exists)
    await child.stop(0.1)
    assert child.pid is None


async def test_a_child_can_be_stopped_between_its_death_and_the_next_start(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "FIRST_BACKOFF_S", 30.0)
    child = await start("pass")
    assert await child.died() == 0
    await asyncio.wait_for(child.stop(0), 5)
    assert child.starts == 1


async def test_a_child_that_was_never_started_is_stopped_already() -> None:
    plan = ChildPlan(name="none", command=("true",), environ={})
    await Child(plan, print).stop(1)


WATCHED = """
import signal, sys
from cli.supervisor.lifeline import hold_lifeline
signal.signal(signal.SIGTERM, lambda *_: {on_term})
watcher = hold_lifeline()
print("holding", flush=True)
watcher.join()
signal.pause()
"""


@pytest.mark.parametrize(("on_term", "code", "grace_s"), [("sys.exit(7)", 7, 20), ("None", 1, 0.3)])
def test_a_child_ends_when_its_supervisor_is_gone_orderly_or_after_its_grace(
    on_term: str, code: int, grace_s: float
) -> None:
    lifeline = Lifeline()
    child = subprocess.Popen(
        [sys.executable, "-c", WATCHED.format(on_term=on_term)],
        env=os.environ | lifeline.variable(grace_s),
        pass_fds=[lifeline.reading_end],
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"holding\n"
        assert child.poll() is None
        lifeline.close()
        assert child.wait(30) == code


def test_a_process_without_a_supervisor_holds_no_lifeline() -> None:
    assert hold_lifeline({}) is None


def test_the_lifeline_is_not_handed_on_to_grandchildren() -> None:
    lifeline = Lifeline()
    os.set_inheritable(lifeline.reading_end, True)
    copy = os.dup(lifeline.reading_end)
    os.set_inheritable(copy, True)
    environ = {VARIABLE: f"{copy}:60"}
    watcher = hold_lifeline(environ)
    assert watcher is not None
    assert watcher.daemon
    assert environ == {}
    wait_until_sync(watcher.is_alive)
    assert not os.get_inheritable(copy)
    # It is left watching: ending the lifeline would end this process. The thread is a daemon.

"""SIGHUP reloads, or stops a process whose terminal was closed; `nohup` is obeyed."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from shared import hangup


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, handler)


@pytest.mark.parametrize(
    ("terminal", "expected"), [([False], "reload"), ([True, True], "reload"), ([True, False], "stop")]
)
async def test_a_hangup_stops_only_where_the_terminal_was_closed(
    monkeypatch: pytest.MonkeyPatch, terminal: list[bool], expected: str
) -> None:
    monkeypatch.setattr(hangup, "_has_terminal", lambda: terminal.pop(0))
    called: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    hangup.on_hangup(lambda: called.set_result("reload"), lambda: called.set_result("stop"))
    os.kill(os.getpid(), signal.SIGHUP)
    assert await asyncio.wait_for(called, 20) == expected


async def test_an_ignored_hangup_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    hangup.on_hangup(lambda: None, lambda: None)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize("there", [True, False])
def test_a_terminal_is_what_can_be_opened(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr(hangup, "TERMINAL", "/dev/null" if there else "/nowhere")
    assert hangup._has_terminal() is there

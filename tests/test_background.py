import asyncio
import ctypes
import logging
import sys

import pytest

from shared.background import keep_running, map_large_blocks
from shared.governance.keys.presence import KeyPresence


async def test_a_part_that_fails_is_logged_and_started_again_until_it_returns(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.background.RESTART_S", 0)
    runs: list[int] = []

    async def run() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise KeyError("no store error")

    with caplog.at_level(logging.ERROR):
        task = keep_running("subscription", run)
        await task
    assert len(runs) == 3
    assert task.get_name() == "finops-subscription"
    assert [(record.message, record.part, record.failures) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("a background part failed", "subscription", 1),
        ("a background part failed", "subscription", 2),
    ]


async def test_a_cancelled_part_is_not_started_again() -> None:
    started = asyncio.Event()

    async def run() -> None:
        started.set()
        await asyncio.Event().wait()

    task = keep_running("subscription", run)
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class BrokenOnce:
    """Virtual keys whose second look-up fails in a way that nobody foresaw."""

    def __init__(self) -> None:
        self.asked = 0
        self.again = asyncio.Event()

    async def any(self) -> bool:
        self.asked += 1
        if self.asked == 2:
            raise TypeError("a reply of another shape")
        if self.asked == 3:
            self.again.set()
        return self.asked > 2


async def test_keys_are_followed_on_after_an_unforeseen_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.governance.keys.presence.CHECK_S", 0)
    monkeypatch.setattr("shared.background.RESTART_S", 0)
    ring = BrokenOnce()
    presence = KeyPresence(ring)  # type: ignore[arg-type]
    await presence.start()
    await ring.again.wait()
    await asyncio.sleep(0)
    assert presence.exists
    await presence.aclose()


def test_large_blocks_are_mapped_with_glibc_and_nothing_happens_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    glibc = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
    assert map_large_blocks() is glibc
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert map_large_blocks() is False

import asyncio
import logging

import pytest

from tests.waiting import wait_until
from worker import watched
from worker.watched import MAX_FAILURES, WatchedParts


async def test_a_part_that_fails_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    runs: list[int] = []
    again = asyncio.Event()

    async def run() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise KeyError("no store error")
        if len(runs) == 2:
            return  # ends without an error, which it never should
        again.set()
        await asyncio.Event().wait()

    gave_up: list[bool] = []
    parts = WatchedParts(lambda: gave_up.append(True), restart_s=0)
    with caplog.at_level(logging.ERROR):
        parts.start("outbox", run)
        await again.wait()
        await parts.aclose()
    assert len(runs) == 3
    assert not gave_up
    assert {record.message for record in caplog.records} == {"a background part failed", "a background part ended"}


async def test_a_part_that_keeps_failing_ends_the_worker() -> None:
    runs: list[int] = []
    gave_up: list[bool] = []

    async def run() -> None:
        runs.append(1)
        raise RuntimeError

    parts = WatchedParts(lambda: gave_up.append(True), restart_s=0)
    parts.start("batches", run)
    await wait_until(lambda: gave_up)
    await parts.aclose()
    assert len(runs) == MAX_FAILURES


async def test_failures_before_a_calm_time_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "CALM_S", -1.0)
    runs: list[int] = []
    gave_up: list[bool] = []

    async def run() -> None:
        runs.append(1)
        raise RuntimeError

    parts = WatchedParts(lambda: gave_up.append(True), restart_s=0)
    parts.start("batches", run)
    await wait_until(lambda: len(runs) > 2 * MAX_FAILURES)
    await parts.aclose()
    assert not gave_up


async def test_nothing_to_watch_ends_at_once() -> None:
    await WatchedParts(lambda: None).aclose()

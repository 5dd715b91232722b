"""Waiting for a fact: the only place in the tests that looks again and again."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

INTERVAL_S = 0.01
# Most facts are there at once: 400 servers of tests end 2 ms after they were asked to.
FIRST_INTERVAL_S = 0.0005


async def wait_until(predicate: Callable[[], Any | Awaitable[Any]], timeout_s: float = 20.0) -> Any:
    """Wait until a predicate, plain or async, holds; returns what it returned, fails when it is late."""
    give_up_at, interval_s = time.monotonic() + timeout_s, FIRST_INTERVAL_S
    while True:
        held = predicate()
        if inspect.isawaitable(held):
            held = await held
        if held:
            return held
        if time.monotonic() > give_up_at:
            raise AssertionError(f"not within {timeout_s:g} s: {_show(predicate)}")
        await asyncio.sleep(interval_s)
        interval_s = min(2 * interval_s, INTERVAL_S)


def wait_until_sync(predicate: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """`wait_until` for tests without an event loop."""
    give_up_at = time.monotonic() + timeout_s
    while not (held := predicate()):
        if time.monotonic() > give_up_at:
            raise AssertionError(f"not within {timeout_s:g} s: {_show(predicate)}")
        time.sleep(INTERVAL_S)
    return held


def _show(predicate: Callable[[], Any]) -> str:
    try:
        return inspect.getsource(predicate).strip()
    except (OSError, TypeError):
        return repr(predicate)

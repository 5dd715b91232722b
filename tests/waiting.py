"""Waiting for a fact: the only place in the tests that looks again and again."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

# Most facts of one process are there at once: a server ends 2 ms after it was asked to.
SHORTEST_PAUSE_S = 0.0005
PAUSE_S = 0.01
# What other processes do takes seconds, and whoever asks them 100 times a second takes a third of a core from them.
PAUSE_FOR_PROCESSES_S = 0.05
LONGEST_PAUSE_S = 0.1


async def wait_until(predicate: Callable[[], Any | Awaitable[Any]], timeout_s: float = 20.0) -> Any:
    """Wait until a predicate, plain or async, holds; returns what it returned, fails when it is late."""
    give_up_at = time.monotonic() + timeout_s
    for pause_s in _pauses(PAUSE_S):
        began = time.monotonic()
        held = predicate()
        if inspect.isawaitable(held):
            held = await held
        if held:
            return held
        _check_time(predicate, timeout_s, give_up_at)
        await asyncio.sleep(_at_least_as_long(pause_s, began))
    return None


def wait_until_sync(predicate: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """`wait_until` for tests without an event loop, which wait for other processes."""
    give_up_at = time.monotonic() + timeout_s
    for pause_s in _pauses(PAUSE_FOR_PROCESSES_S):
        began = time.monotonic()
        if held := predicate():
            return held
        _check_time(predicate, timeout_s, give_up_at)
        time.sleep(_at_least_as_long(pause_s, began))
    return None


def _pauses(longest_s: float) -> Iterator[float]:
    pause_s = SHORTEST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, longest_s)


def _at_least_as_long(pause_s: float, began: float) -> float:
    """The pause, longer if the predicate took long: it shall not be most of what the machine does."""
    return max(pause_s, min(time.monotonic() - began, LONGEST_PAUSE_S))


def _check_time(predicate: Callable[[], Any], timeout_s: float, give_up_at: float) -> None:
    if time.monotonic() > give_up_at:
        raise AssertionError(f"not within {timeout_s:g} s: {_show(predicate)}")


def _show(predicate: Callable[[], Any]) -> str:
    try:
        return inspect.getsource(predicate).strip()
    except (OSError, TypeError):
        return repr(predicate)

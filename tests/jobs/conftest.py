"""Fixtures of the job engine's tests: a queue, a store and an event log, on every kind of server."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.jobs.events import EventLog
from shared.jobs.model import Claim, NewJob, Outcome, State
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.store import JobStore
from shared.store.commands import RedisCommands
from shared.store.hash_tag import engine_tag
from tests.waiting import wait_until

DONE = Outcome(state=State.COMPLETED, status_code=200, result=b'{"ok":true}', meta={"provider": "sim"})
BROKEN = Outcome(state=State.FAILED, status_code=502, error={"message": "no", "type": "upstream_error"})


def new_job(**changes: Any) -> NewJob:
    fields = {"id": str(uuid.uuid4()), "request_type": "chat.completions", "model": "sim/fast", "payload": b'{"a":1}'}
    return NewJob(**{**fields, **changes})


async def claim_one(queue: JobQueue, worker: str = "w1") -> Claim:
    (claim,) = (await queue.claim(worker, 1)).claims
    return claim


async def key_names(commands: RedisCommands) -> list[str]:
    """Return the names of all keys, as callers write them: without a cluster's hash tag."""
    return [engine_tag().plain(name).decode() for name in await commands.execute("KEYS", "*")]


async def until(condition: Callable[[], Awaitable[Any]], timeout_s: float = 20.0) -> Any:
    """Wait until a condition's answer is true, and return it."""
    return await wait_until(condition, timeout_s)


@pytest.fixture
def queue(commands: RedisCommands) -> JobQueue:
    return JobQueue(commands, QueueLimits(lease_s=600))  # no lease ends because the machine is slow


@pytest.fixture
def quick(commands: RedisCommands) -> JobQueue:
    """A queue with very short leases."""
    return JobQueue(commands, QueueLimits(lease_s=0.02, max_attempts=2))


@pytest.fixture
def store(commands: RedisCommands) -> JobStore:
    return JobStore(commands)


@pytest.fixture
def log(commands: RedisCommands) -> EventLog:
    return EventLog(commands)

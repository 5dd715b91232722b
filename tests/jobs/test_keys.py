"""Every key is in the table, has the same name in Python and Lua, and expires."""

import re

from shared.governance.keyspace import LEDGER
from shared.jobs import keys
from shared.jobs.model import Priority, State
from shared.jobs.queue import JobQueue
from shared.jobs.scripts import engine_scripts
from shared.jobs.store import JobStore
from shared.keyspace import ALL_KEYS
from shared.store.commands import RedisCommands
from tests.jobs.conftest import BROKEN, DONE, claim_one, key_names, new_job

PATTERNS = {re.compile(re.sub(r"<\w+>", "[^:]+", key.pattern) + r"\Z"): key for key in ALL_KEYS}
KINDS = {b"zset": "sorted set"}


async def assert_every_key_is_known(commands: RedisCommands) -> None:
    """Fail for a key that is not in the table, has another type, or lacks an expiry."""
    for name in await key_names(commands):
        found = [key for pattern, key in PATTERNS.items() if pattern.match(name)]
        assert len(found) == 1, name
        kind = await commands.execute("TYPE", name)
        assert KINDS.get(kind, kind.decode()) == found[0].kind, name
        if not found[0].permanent:
            assert await commands.execute("PTTL", name) > 0, name


async def live_a_life(queue: JobQueue, store: JobStore) -> None:
    """Exercise every kind of key."""
    for options in (
        {"owner": "a", "idempotency_key": "k", "webhook": "w", "deadline_s": 60.0, "max_concurrent": 1, "group": "g"},
        {"owner": "a", "priority": Priority.HIGH},
        {"priority": Priority.LOW},
        {"delay_s": 60.0},
        {"owner": "b"},
    ):
        await queue.submit(new_job(**options))
    first, second = (await queue.claim("w1", 2)).claims
    await store.finish(first, DONE, [("delta", b"{}")])
    await store.finish(second, BROKEN)
    await queue.release([await claim_one(queue)])
    await claim_one(queue)


async def test_every_key_is_in_the_table_and_expires(queue: JobQueue, store: JobStore, commands: RedisCommands) -> None:
    await live_a_life(queue, store)
    await assert_every_key_is_known(commands)


async def test_deleted_jobs_leave_no_keys(queue: JobQueue, store: JobStore, commands: RedisCommands) -> None:
    for _ in range(3):
        await queue.submit(new_job(owner="a", max_concurrent=2))
    for job in (await store.list("a")).jobs:
        await store.cancel(job.id)
        await store.delete(job.id)
    await queue.claim("w", 1)
    left = set(await key_names(commands))
    assert {name.split(":")[1] for name in left} <= {"dedupe", "jobs", "caller", "owner"}
    lists = {name for name in left if name.split(":")[1] == "jobs" and ":index:" not in name}
    assert lists == {keys.CLOCK, keys.ALL_JOBS}  # ids stay in lists for a day, as cursors


def test_python_and_lua_build_the_same_names() -> None:
    prelude = engine_scripts()["prelude"].source
    for name in (
        keys.CLOCK, keys.LEASES, keys.DEFERRED, keys.DEADLINES, keys.WAITING, keys.DEAD, keys.ALL_JOBS, LEDGER,
        keys.LIVE, keys.COSTS, keys.CANCEL_CHANNEL, keys.WEBHOOK_OUTBOX, *keys.ARQ_QUEUES.values(),
    ):  # fmt: skip
        assert f"'{name}'" in prelude
    for built, parts in (
        (keys.job("ID"), "'finops:job:' .. id"),
        (keys.payload("ID"), "'finops:job:' .. id .. ':payload'"),
        (keys.events("ID"), "'finops:job:' .. id .. ':events'"),
        (keys.signal("ID"), "'finops:job:' .. id .. ':signal'"),
        (keys.caller("ID"), "'finops:caller:' .. name"),
        (keys.group_ended("ID"), "'finops:group:' .. group .. ':ended'"),
        (keys.owner_jobs("ID"), "'finops:owner:' .. owner .. ':jobs'"),
        (keys.ended_jobs(State.FAILED).replace("failed", "ID"), "'finops:jobs:' .. state"),
        (keys.index(7).replace("7", "ID"), "'finops:jobs:index:' .. number"),
        (keys.wake(Priority.LOW).replace("low", "ID"), "'finops:wake:' .. priority"),
        (keys.priority_callers(Priority.LOW).replace("low", "ID"), "'finops:lane:' .. priority .. ':callers'"),
        (
            keys.priority_ready(Priority.LOW, "ID").replace("low", "ID"),
            "'finops:lane:' .. priority .. ':ready:' .. name",
        ),
    ):
        assert f"return {parts} end" in prelude
        assert built == "".join(part if quote else "ID" for part, quote in _literals(parts))


def _literals(expression: str) -> list[tuple[str, bool]]:
    return [(part.strip("'"), part.startswith("'")) for part in expression.split(" .. ")]


def test_hostile_idempotency_keys_stay_inside_theirs() -> None:
    assert re.fullmatch(r"finops:idem:[0-9a-f]{40}:[0-9a-f]{40}", keys.idempotency("a:b", "x\r\n:*"))
    assert keys.idempotency("a", "bc") != keys.idempotency("ab", "c")
    assert keys.dedupe("a", "bc") != keys.dedupe("ab", "c")


def test_a_signals_channel_names_its_job() -> None:
    assert keys.job_of_signal(keys.signal("abc")) == "abc"

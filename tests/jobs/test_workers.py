"""Workers announce themselves, and are forgotten when they fall silent."""

import time
from dataclasses import replace

import orjson

from shared.jobs.keys import WORKERS
from shared.jobs.workers import SILENT_MS, WorkerRecord, running_workers
from shared.store.commands import RedisCommands

AHEAD_MS = 60_000


async def test_running_workers_are_listed_and_silent_ones_forgotten(commands: RedisCommands) -> None:
    now_ms = int(time.time() * 1000)
    one = WorkerRecord(id="b", version="1.2", concurrency=10, running=3, started_ms=0, seen_ms=now_ms + AHEAD_MS)
    one = replace(one, failing_parts={"outbox": 2})
    silent = replace(one, id="a", seen_ms=now_ms - SILENT_MS - 1)
    for worker in (one, silent, replace(one, id="c")):
        await commands.execute_many(worker.announcement())
    entry = orjson.loads(await commands.execute("HGET", WORKERS, "c"))
    await commands.execute("HSET", WORKERS, "c", orjson.dumps({**entry, "of_a_newer_release": 1}))
    found = [worker.to_dict() for worker in await running_workers(commands)]
    assert [worker["id"] for worker in found] == ["b", "c"]
    assert found[0] == {
        "id": "b", "version": "1.2", "concurrency": 10, "running": 3, "started_at": "1970-01-01T00:00:00.000Z",
        "failing_parts": {"outbox": 2},
    }  # fmt: skip
    assert sorted(await commands.execute("HKEYS", WORKERS)) == [b"b", b"c"]
    assert 0 < await commands.execute("TTL", WORKERS) <= 60

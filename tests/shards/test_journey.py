"""Jobs over four shards of one real server: the whole life of jobs through the API, and what they cost."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from shared.jobs.shard_ids import shard_of_id
from tests.api.conftest import ADMIN_KEY, CHAT, Gateway, Start, sim, start  # noqa: F401 - fixtures
from tests.waiting import wait_until

SHARDS = 4
ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
KEYS = {f"team-{n}": f"sk-bf-team-{n}-0123456789" for n in range(8)}


@pytest.fixture
async def gateway(start: Start, redis_url: str) -> Gateway:  # noqa: F811 - the fixture
    return await start(
        redis={"url": redis_url, "shards": SHARDS},
        prices={"sim/gpt-4o": {"input": 1.0, "output": 4.0}},
        virtual_keys={name: {"value": value, "budget": {"limit_usd": 10}} for name, value in KEYS.items()},
    )


async def test_jobs_of_many_callers_live_and_are_paid_for_once(gateway: Gateway) -> None:
    ids = [
        await gateway.submit(authorization=f"Bearer {value}", idempotency_key=f"{name}-{n}")
        for name, value in KEYS.items()
        for n in range(2)
    ]
    assert len({shard_of_id(job_id, SHARDS) for job_id in ids}) == SHARDS
    assert await gateway.worker.work_off() == len(ids)
    for (_name, value), pair in zip(KEYS.items(), (ids[at : at + 2] for at in range(0, 16, 2)), strict=True):
        for job_id in pair:
            assert (await gateway.poll(job_id, authorization=f"Bearer {value}")).status_code == 200

    async def booked() -> Any:
        calls = (await gateway.http.get("/api/logs?limit=100", headers=ADMIN)).json()["data"]
        return calls if len(calls) >= len(ids) else None

    assert Counter(call["job_id"] for call in await wait_until(booked)) == Counter(ids)

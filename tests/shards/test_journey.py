"""A gateway over four shards of one real server answers as one over a single shard."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import RequestLimited, StoreUnavailable
from shared.jobs.operation import Action, Operation, OperationStatus, Scope
from shared.jobs.operations import OperationStore, mint_operation_id
from shared.jobs.shard_ids import mint_job_id, shard_of_id
from shared.jobs.sharded.operations import ShardedOperations, sum_operations
from shared.jobs.store import JobStore
from tests.api.conftest import ADMIN_KEY, CHAT, Gateway, Start, sim, start  # noqa: F401 - fixtures
from tests.jobs.conftest import new_job
from tests.waiting import wait_until
from worker.operation_turns import OperationTurns

SHARDS = 4
ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
KEYS = {f"team-{n}": f"sk-bf-team-{n}-0123456789" for n in range(8)}
FAILING = {**CHAT, "model": "sim/gpt-4o@status=418"}


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name]}"}


@pytest.fixture
async def gateway(start: Start, redis_url: str) -> Gateway:  # noqa: F811 - the fixture
    return await start(
        redis={"url": redis_url, "shards": SHARDS},
        prices={"sim/gpt-4o": {"input": 1.0, "output": 4.0}},
        ledger={"unpriced": "allow"},
        virtual_keys={name: {"value": value, "budget": {"limit_usd": 10}} for name, value in KEYS.items()},
    )


async def submit_all(gateway: Gateway, per_key: int, json: Any = CHAT) -> list[str]:
    """Submit jobs of all keys, one after the other: their creation is in this order, or at the same time."""
    return [await gateway.submit(json, **bearer(name)) for _ in range(per_key) for name in KEYS]


async def pages(gateway: Gateway, path: str, headers: dict[str, str], **query: str) -> list[str]:
    """Return the ids of all pages of a list."""
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        answer = (await gateway.http.get(path, headers=headers, params={"limit": "3", **query, **after})).json()
        found += [job["id"] for job in answer["data"]]
        if not answer["has_more"]:
            return found
        after = {"after": answer["last_id"]}


async def created(gateway: Gateway, ids: list[str]) -> list[tuple[int, str]]:
    jobs = [await gateway.services.store.get(job_id) for job_id in ids]
    return sorted((job.created_ms, job.id) for job in jobs if job is not None)


async def test_jobs_of_many_callers_live_and_are_paid_for_once(gateway: Gateway) -> None:
    ids = await submit_all(gateway, 2)
    assert {shard_of_id(job_id, SHARDS) for job_id in ids} == set(range(SHARDS))
    await gateway.services.queue.check_durability()
    assert await gateway.worker.work_off() == len(ids)
    for job_id, name in zip(ids, [*KEYS, *KEYS], strict=True):
        assert (await gateway.poll(job_id, **bearer(name))).status_code == 200

    async def booked() -> Any:
        calls = (await gateway.http.get("/api/logs?limit=100", headers=ADMIN)).json()["data"]
        return calls if len(calls) >= len(ids) else None

    assert Counter(call["job_id"] for call in await wait_until(booked)) == Counter(ids)

    async def carried() -> bool:
        return "finops_limit_bookings 0.0" in (await gateway.http.get("/metrics", headers=ADMIN)).text

    await wait_until(carried)


async def test_lists_are_merged_by_creation_whatever_the_page(gateway: Gateway) -> None:
    ids = [job_id for _, job_id in await created(gateway, await submit_all(gateway, 2))]
    assert await pages(gateway, "/api/jobs", ADMIN, order="asc") == ids
    assert await pages(gateway, "/api/jobs", ADMIN) == ids[::-1]
    assert await pages(gateway, "/api/jobs", ADMIN, status="completed") == []
    mine = await pages(gateway, "/v1/async/jobs", bearer("team-3"))
    assert len(mine) == 2
    assert {(await gateway.services.store.get(job_id)).owner for job_id in mine} == {"team-3"}  # type: ignore[union-attr]
    refused = await gateway.http.get("/v1/async/jobs", headers=bearer("team-3"), params={"after": "none"})
    assert refused.status_code == 400
    assert (await gateway.services.store.list("", limit=3)).jobs == ()


async def test_dead_letters_and_figures_are_those_of_all_shards(gateway: Gateway) -> None:
    ids = await submit_all(gateway, 1, FAILING)
    stats = (await gateway.http.get("/api/queue", headers=ADMIN)).json()
    assert (stats["depth"], len(stats["callers"])) == (8, 8)
    await gateway.worker.work_off()
    overview = (await gateway.http.get("/api/overview", headers=ADMIN)).json()
    assert {job["id"] for job in overview["failed_jobs"]} == set(ids)
    dead = await pages(gateway, "/api/jobs/dead", ADMIN)
    ended = {job_id: (await gateway.services.store.get(job_id)) for job_id in dead}
    assert set(dead) <= set(ids)
    assert dead == sorted(dead, key=lambda job_id: (ended[job_id].completed_ms, job_id), reverse=True)  # type: ignore[union-attr]
    assert (await gateway.services.store.parked.count()) == {"budget": 0, "requests": 0, "tokens": 0}
    assert await gateway.services.store.is_writable()


async def test_repeats_meet_in_one_shard_and_in_shard_0(gateway: Gateway) -> None:
    first = await gateway.submit(idempotency_key="k", **bearer("team-1"))
    assert await gateway.submit(idempotency_key="k", **bearer("team-1")) == first
    other = {**CHAT, "messages": [{"role": "user", "content": "other"}]}
    conflict = await gateway.post(
        "/openai/chat/completions", other, headers={"x-bf-async": "true", "idempotency-key": "k", **bearer("team-1")}
    )
    assert conflict.status_code == 409
    name = next(name for name in KEYS if gateway.services.queue.shard_for(name, "", b""))
    await JobsOfBefore(gateway).submit(name, "old")
    assert shard_of_id(await gateway.submit(idempotency_key="old", **bearer(name)), SHARDS) == 0


async def test_a_repeat_that_would_wait_for_a_batch_meets_the_job_that_does_not(gateway: Gateway) -> None:
    queue = gateway.services.queue
    name = next(name for name in KEYS if queue.shard_for(name, "", b""))
    first = new_job(id=mint_job_id(queue.shard_for(name, "", b"")), owner=name, idempotency_key="k")
    await queue.submit(first)
    found = await queue.find_repeated(replace(first, id=mint_job_id(0)))
    assert found is not None
    assert found.job.id == first.id


class JobsOfBefore:
    """Submits as a gateway with one shard does."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def submit(self, name: str, key: str) -> None:
        queue = self._gateway.services.queue
        shard_for = queue.shard_for
        queue.shard_for = lambda *_: 0  # type: ignore[method-assign]
        try:
            await self._gateway.submit(idempotency_key=key, **bearer(name))
        finally:
            queue.shard_for = shard_for  # type: ignore[method-assign]


async def test_a_job_is_waited_for_followed_cancelled_retried_and_deleted_in_its_shard(gateway: Gateway) -> None:
    name = next(name for name in KEYS if gateway.services.queue.shard_for(name, "", b""))
    job_id = await gateway.submit(**bearer(name))
    path = f"/v1/async/jobs/{job_id}"
    waiting = asyncio.create_task(gateway.http.get(path, headers={**bearer(name), "x-bf-async-wait": "20"}))
    assert await gateway.worker.work_off() == 1
    assert (await waiting).json()["status"] == "completed"
    events = await gateway.http.get(f"{path}/events", headers=bearer(name))
    assert "job.completed" in events.text
    assert (await gateway.http.delete(path, headers=bearer(name))).status_code in {200, 204}
    cancelled = await gateway.submit(**bearer(name))
    answer = await gateway.post(f"/v1/async/jobs/{cancelled}/cancel", headers=bearer(name))
    assert answer.json()["status"] == "cancelled"
    failed = await gateway.submit(FAILING, **bearer(name))
    await gateway.worker.work_off()
    answer = await gateway.post(f"/v1/async/jobs/{failed}/retry", headers=bearer(name))
    assert answer.json()["status"] in {"pending", "queued"}, answer.text
    await gateway.services.queue.reweigh(name, 2.0, 1)


async def test_a_background_response_is_in_the_shard_that_its_id_names(gateway: Gateway) -> None:
    name = next(name for name in KEYS if gateway.services.queue.shard_for(name, "", b""))
    client = gateway.sdk(KEYS[name])
    made = await client.responses.create(model="sim/gpt-4o", input="hello", background=True)
    assert shard_of_id(made.id, SHARDS) == gateway.services.queue.shard_for(name, "", b"")
    await gateway.worker.work_off()
    assert (await client.responses.retrieve(made.id)).status == "completed"


async def test_a_pause_holds_in_every_shard_until_it_ends(gateway: Gateway) -> None:
    await submit_all(gateway, 1)
    put = await gateway.http.put("/api/queue/pauses/all", json={"reason": "maintenance"}, headers=ADMIN)
    assert put.status_code in {200, 201}, put.text
    assert await gateway.worker.claim(20) == ()
    assert len((await gateway.http.get("/api/queue/pauses", headers=ADMIN)).json()["data"]) == 1
    assert (await gateway.http.delete("/api/queue/pauses/all", headers=ADMIN)).status_code in {200, 204}
    assert (await gateway.http.delete("/api/queue/pauses/all", headers=ADMIN)).status_code == 404
    assert await gateway.worker.work_off() == 8


async def work_off_operations(gateway: Gateway) -> None:
    """Take a turn in every shard until none is due."""
    services = gateway.services
    for shard in services.engine.shards:
        store = OperationStore(shard.commands)
        turns = OperationTurns(
            store, JobStore(shard.commands), services.submitter, services.governance, ended=lambda *_: None
        )
        while await turns.take_turn() == 0:
            pass


async def test_a_bulk_operation_works_in_every_shard_and_is_one(gateway: Gateway) -> None:
    await submit_all(gateway, 2)
    dry = await gateway.post("/api/jobs/bulk", {"action": "cancel", "filter": {}, "dry_run": True}, headers=ADMIN)
    assert (dry.json()["matched"], len(dry.json()["by_key"])) == (16, 8)
    body = {"action": "cancel", "filter": {}, "rate_per_s": 4000}
    operation = (await gateway.post("/api/jobs/bulk", body, headers=ADMIN)).json()
    assert operation["rate_per_s"] == 4000
    await work_off_operations(gateway)
    done = (await gateway.http.get(f"/api/operations/{operation['id']}", headers=ADMIN)).json()
    assert (done["status"], done["matched"], done["done"], done["skipped"]) == ("completed", 16, 16, 0)
    assert await gateway.worker.claim(20) == ()
    unknown = await gateway.http.get(f"/api/operations/{mint_operation_id()}", headers=ADMIN)
    assert unknown.status_code == 404


async def test_an_operation_is_cancelled_everywhere(gateway: Gateway) -> None:
    await submit_all(gateway, 1)
    body = {"action": "cancel", "filter": {}}
    operation = (await gateway.post("/api/jobs/bulk", body, headers=ADMIN)).json()
    path = f"/api/operations/{operation['id']}"
    assert (await gateway.post(f"{path}/cancel", headers=ADMIN)).json()["status"] == "cancelled"
    await work_off_operations(gateway)
    assert len(await gateway.worker.claim(20)) == 8


async def test_an_operation_that_one_shard_refuses_is_not_made(gateway: Gateway) -> None:
    connections = [shard.commands for shard in gateway.services.engine.shards]
    last, everywhere = OperationStore(connections[-1]), ShardedOperations(connections)

    def new() -> Operation:
        return Operation(id=mint_operation_id(), maker="m", scope=Scope(everyone=True), action=Action.CANCEL)

    for _ in range(10):
        await last.create(new())
    refused = new()
    with pytest.raises(RequestLimited):
        await everywhere.create(refused)
    assert (await everywhere.get(refused.id)).status is OperationStatus.CANCELLED
    gateway_closed = [connections[0], connections[1]]
    await gateway_closed[1].aclose()
    with pytest.raises(StoreUnavailable):
        await everywhere.get(refused.id)


@pytest.mark.parametrize(
    ("statuses", "whole"),
    [
        ("queued queued", "queued"),
        ("queued completed", "running"),
        ("completed completed", "completed"),
        ("completed cancelled", "cancelled"),
        ("failed cancelled", "failed"),
    ],
)
def test_an_operation_has_ended_when_all_its_parts_have(statuses: str, whole: str) -> None:
    parts = [Operation(id="o", action=Action.CANCEL, status=OperationStatus(one)) for one in statuses.split()]
    assert sum_operations(parts).status == whole

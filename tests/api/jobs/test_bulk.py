"""Bulk operations over HTTP: dry runs, progress, each job once, limits of the jobs' owners, and who may do what."""

import asyncio
from typing import Any

import pytest

from shared.errors import NotFound, RetryRefused, StoreUnavailable
from shared.jobs import keys
from shared.jobs.filters import JobFilter
from shared.jobs.model import UNCHANGED, Job, RetryChanges
from shared.jobs.operation import Scan, Tally
from shared.jobs.operations import OperationLost, mint_operation_id
from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, KEY_B, Gateway, Start
from worker.operation_turns import MAX_TRIES, OperationTurns

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
A, B = {"x-bf-vk": KEY_A}, {"x-bf-vk": KEY_B}
BULK, OPERATIONS = "/v1/async/jobs/bulk", "/v1/async/operations"
FAILING = {**CHAT, "model": "sim/gpt-4o@status=418"}
PRICES = {"sim/gpt-4o": {"input": 1000, "output": 1000, "max_output": 1000}}


class Operators:
    """Workers that take turns at operations when a test says so."""

    def __init__(self, gateway: Gateway, submitter: Any = None) -> None:
        services = gateway.services
        self.gateway = gateway
        self.ended: list[tuple[str, str]] = []
        self.now = 0.0
        self.turns = OperationTurns(
            services.operations, services.store, submitter or services.submitter, services.governance,
            ended=lambda action, status: self.ended.append((action, status)), monotonic=lambda: self.now,
        )  # fmt: skip

    async def due(self) -> None:
        """Let every open operation be due, also one that another worker holds or that waits."""
        commands = self.gateway.services.commands
        for operation_id in await commands.execute("ZRANGE", "finops:operations:open", 0, -1):
            await commands.execute("ZADD", "finops:operations:open", 1, operation_id)

    async def turn(self) -> None:
        await self.due()
        await self.turns.take_turn()

    async def run(self, operation: dict[str, Any]) -> dict[str, Any]:
        """Take turns until an operation has ended."""
        while operation["status"] in {"queued", "running"}:
            await self.turn()
            answer = await self.gateway.http.get(f"/api/operations/{operation['id']}", headers=ADMIN)
            operation = answer.json()
        assert operation["matched"] == operation["done"] + operation["skipped"] + operation["failed"]
        return operation


async def bulk(
    gateway: Gateway, action: str, headers: dict[str, str] | None = None, *, path: str = BULK, **body: Any
) -> dict[str, Any]:
    answer = await gateway.http.post(path, json={"action": action, "filter": {}, **body}, headers=headers)
    assert answer.status_code == (200 if body.get("dry_run") else 202), answer.text
    document: dict[str, Any] = answer.json()
    return document


async def states(gateway: Gateway, *ids: str) -> list[str]:
    return [
        (await gateway.http.get(f"/api/jobs/{job_id}", headers=ADMIN)).json().get("status", "gone") for job_id in ids
    ]


def counts(operation: dict[str, Any]) -> tuple[int, int, int, int]:
    return operation["matched"], operation["done"], operation["skipped"], operation["failed"]


async def test_queued_jobs_are_counted_first_and_then_cancelled(start: Start) -> None:
    gateway = await start(prices=PRICES, virtual_keys={"team-a": {"value": KEY_A}, "team-b": {"value": KEY_B}})
    labelled = {"x-bf-vk": KEY_A, "x-bf-dim-app": "search"}
    done = await gateway.submit(**labelled)
    await gateway.worker.work_off()
    mine = [await gateway.submit(**labelled) for _ in range(3)]
    unlabelled, theirs = await gateway.submit(**A), await gateway.submit(**{**B, "x-bf-dim-app": "search"})
    wanted = {"label": ["app:search"], "status": "pending", "created_after": 0}
    dry = await bulk(gateway, "cancel", A, filter=wanted, dry_run=True)
    assert (dry["matched"], dry["by_status"]) == (3, {"pending": 3})
    assert (dry["by_model"], dry["by_key"]) == ({"sim/gpt-4o": 3}, {"team-a": 3})
    assert dry["estimated_cost_usd"] > 3.0  # 1000 tokens of output each
    assert await states(gateway, *mine) == ["pending"] * 3
    answer = await gateway.http.post(BULK, json={"action": "cancel", "filter": wanted}, headers=A)
    operation = answer.json()
    assert (answer.status_code, operation["status"]) == (202, "queued")
    assert answer.headers["location"] == f"{OPERATIONS}/{operation['id']}"
    operators = Operators(gateway)
    ended = await operators.run(operation)
    assert (ended["status"], counts(ended), operators.ended) == ("completed", (3, 3, 0, 0), [("cancel", "completed")])
    assert ended["cost_usd"] == pytest.approx(dry["estimated_cost_usd"])
    assert ended["completed_at"] >= ended["started_at"] >= ended["created_at"]
    assert await states(gateway, *mine, unlabelled, theirs, done) == ["cancelled"] * 3 + ["pending"] * 2 + ["completed"]
    everything = await operators.run(await bulk(gateway, "cancel", A))
    assert counts(everything) == (5, 1, 4, 0)  # the ended ones are skipped
    again = await gateway.http.post(f"{OPERATIONS}/{ended['id']}/cancel", headers=A)
    assert (again.status_code, again.json()) == (200, ended)


async def test_a_running_job_is_aborted_and_a_job_that_changed_meanwhile_is_skipped(gateway: Gateway) -> None:
    running, waiting = await gateway.submit(), await gateway.submit()
    (claim,) = await gateway.worker.claim()
    operation = await bulk(gateway, "cancel", filter={"status": ["pending", "processing"]})
    operators = Operators(gateway)
    services = gateway.services
    turn = await services.operations.take()
    assert turn is not None
    wanted = JobFilter()
    scan = await services.operations.collect(turn.operation, turn.operation.scan or first_scan(), wanted)
    assert scan.sets == ()
    await services.store.cancel(waiting)
    await services.operations.end_turn(turn.operation, 0)
    ended = await operators.run(operation)
    assert counts(ended) == (2, 1, 1, 0)
    assert await states(gateway, running, waiting) == ["cancelled"] * 2
    await gateway.worker.complete(claim)  # too late
    assert await states(gateway, running) == ["cancelled"]


def first_scan() -> Scan:
    return Scan(sets=(keys.LIVE,))


async def test_waiting_jobs_change_their_priority_and_keep_their_order(gateway: Gateway) -> None:
    first, second = await gateway.submit(), await gateway.submit(**{"x-bf-async-deadline": "600"})
    later = await gateway.submit(**{"x-bf-async-delay": "600"})
    already = await gateway.submit(**{"x-bf-async-priority": "high"})
    operation = await bulk(gateway, "reprioritize", priority="high")
    assert operation["priority"] == "high"
    ended = await Operators(gateway).run(operation)
    assert counts(ended) == (4, 3, 1, 0)
    queue = (await gateway.http.get("/api/queue", headers=ADMIN)).json()
    assert (queue["priorities"]["high"]["depth"], queue["priorities"]["normal"]["depth"]) == (3, 0)
    listed = (await gateway.http.get("/api/jobs", params={"priority": "high"}, headers=ADMIN)).json()["data"]
    assert {job["id"] for job in listed} == {first, second, later, already}
    assert [claim.id for claim in await gateway.worker.claim(10)] == [first, second, already]
    low = await Operators(gateway).run(await bulk(gateway, "reprioritize", priority="low"))
    assert counts(low) == (4, 1, 3, 0)  # three run


async def test_ended_jobs_are_deleted(gateway: Gateway) -> None:
    ended_job = await gateway.submit()
    await gateway.worker.work_off()
    live = await gateway.submit()
    ended = await Operators(gateway).run(await bulk(gateway, "delete"))
    assert counts(ended) == (2, 1, 1, 0)
    assert await states(gateway, ended_job, live) == ["gone", "pending"]


async def test_failed_jobs_are_retried_under_their_owners_limits(start: Start) -> None:
    budget = {"limit_usd": 0.01}  # one call is estimated at 0.015
    gateway = await start(
        prices={"sim/gpt-4o@status=418": {"request": 0.015, "input": 0, "output": 0}},
        virtual_keys={"team-a": {"value": KEY_A}, "team-b": {"value": KEY_B, "budget": budget}},
    )
    free = [await gateway.submit(FAILING, **A) for _ in range(2)]
    bound = [await gateway.submit(FAILING, **B)]
    await gateway.worker.work_off()
    bound.append(await gateway.submit(FAILING, **B))
    await gateway.worker.work_off()
    lost = await gateway.submit(FAILING, **A)
    await gateway.worker.work_off()
    await gateway.services.commands.execute("DEL", f"finops:job:{lost}:payload")
    operation = await bulk(gateway, "retry", ADMIN, path="/api/jobs/bulk", filter={"status": "failed"})
    ended = await Operators(gateway).run(operation)
    assert counts(ended) == (5, 3, 0, 2)
    assert ended["error"]["code"] in {"budget_exceeded", "job_not_found"}
    assert await states(gateway, *free, lost) == ["pending", "pending", "failed"]
    assert sorted(await states(gateway, *bound)) == ["failed", "pending"]
    again = await Operators(gateway).run(await bulk(gateway, "retry", A))
    assert counts(again) == (3, 0, 2, 1)


async def test_jobs_of_a_rate_limited_key_are_retried_later(start: Start) -> None:
    gateway = await start(virtual_keys={"team-a": {"value": KEY_A, "rate_limit": {"requests": 3, "window": "1m"}}})
    jobs = [await gateway.submit(FAILING, **A) for _ in range(2)]
    await gateway.worker.work_off()
    operation = await bulk(gateway, "retry", A, filter={"status": "failed"})
    operators = Operators(gateway)
    for _ in range(3):
        await operators.turn()
    waiting = (await gateway.http.get(f"{OPERATIONS}/{operation['id']}", headers=A)).json()
    assert (waiting["status"], counts(waiting)) == ("running", (2, 1, 0, 0))
    assert sorted(await states(gateway, *jobs)) == ["failed", "pending"]
    cancelled = (await gateway.http.post(f"{OPERATIONS}/{operation['id']}/cancel", headers=A)).json()
    assert (cancelled["status"], counts(cancelled)) == ("cancelled", (2, 1, 1, 0))
    await operators.turn()
    assert operators.ended == []


async def test_the_dead_letter_list_is_redriven_at_a_rate(gateway: Gateway) -> None:
    jobs = [await gateway.submit(FAILING) for _ in range(3)]
    await gateway.worker.work_off()
    for job_id in jobs[:2]:
        await gateway.services.commands.execute("ZADD", "finops:jobs:dead", 1, job_id)
    body = {"path": "/api/jobs/bulk", "dead": True, "filter": {"provider": "sim"}}
    assert (await bulk(gateway, "retry", ADMIN, dry_run=True, **body))["matched"] == 2
    operation = await bulk(gateway, "retry", ADMIN, rate_per_s=1, **body)
    assert (operation["dead"], operation["rate_per_s"]) == (True, 1)
    operators = Operators(gateway)
    await operators.turn()
    record = f"finops:operation:{operation['id']}"
    begun = (await gateway.http.get(f"/api/operations/{operation['id']}", headers=ADMIN)).json()
    assert (begun["matched"], begun["done"]) == (2, 1)
    await gateway.services.commands.execute("HINCRBY", record, "started_ms", -2000)  # two seconds later
    ended = await operators.run(begun)
    assert counts(ended) == (2, 2, 0, 0)
    assert sorted(await states(gateway, *jobs)) == ["failed", "pending", "pending"]


async def test_an_operation_goes_on_after_its_worker_died_and_touches_each_job_once(gateway: Gateway) -> None:
    jobs = [await gateway.submit(FAILING) for _ in range(45)]
    await gateway.worker.work_off()
    operation = await bulk(gateway, "retry")
    dying = Operators(gateway, Dying(gateway))
    for _ in range(40):
        with pytest.raises(StoreUnavailable):
            await dying.turn()
        if len(dying.turns._submitter.retried) >= 30:  # type: ignore[attr-defined]
            break
    ended = await Operators(gateway).run(operation)
    assert counts(ended) == (45, 45, 0, 0)
    assert await gateway.worker.work_off() == 45
    for job_id in jobs[:3]:
        assert (await gateway.http.get(f"/v1/async/jobs/{job_id}")).json()["attempts"] == 1


class Dying:
    """Retries jobs, and loses the store after every second one."""

    def __init__(self, gateway: Gateway) -> None:
        self._submitter = gateway.services.submitter
        self.retried: list[str] = []

    async def retry(self, call: Any, changes: RetryChanges = UNCHANGED) -> Job:
        job = await self._submitter.retry(call, changes)
        self.retried.append(job.id)
        if len(self.retried) % 2 == 0:
            raise StoreUnavailable
        return job


async def test_turns_are_short_and_fenced(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.jobs.scans.ROWS_AT_ONCE", 2)
    monkeypatch.setattr("worker.operation_turns.JOBS_AT_ONCE", 1)
    for _ in range(5):
        await gateway.submit()
    operation = await bulk(gateway, "cancel")
    operators = Operators(gateway)
    monkeypatch.setattr(operators, "now", 0.0)
    ticking = iter(range(0, 1000, 2))
    operators.turns._monotonic = lambda: next(ticking)  # every step lasts two seconds: a turn does one
    progress = []
    for _ in range(30):
        await operators.turn()
        document = (await gateway.http.get(f"{OPERATIONS}/{operation['id']}")).json()
        progress.append((document["matched"], document["done"]))
        if document["status"] == "completed":
            break
    assert progress[0] == (2, 0)
    assert (4, 0) in progress
    assert (5, 2) in progress
    assert progress[-1] == (5, 5)


async def test_a_lost_turn_writes_nothing(gateway: Gateway) -> None:
    job_id = await gateway.submit()
    await bulk(gateway, "cancel")
    operations = gateway.services.operations
    turn = await operations.take()
    assert turn is not None
    assert await operations.take() is None
    await Operators(gateway).due()
    other = await operations.take()
    assert other is not None
    for write in (
        operations.collect(turn.operation, first_scan(), JobFilter()),
        operations.act(turn.operation, JobFilter(), 1),
        operations.count(turn.operation, [(job_id, "skipped", None)]),
        operations.end(turn.operation, turn.operation.status),
    ):
        with pytest.raises(OperationLost):
            await write
    assert await states(gateway, job_id) == ["pending"]


async def test_an_operation_that_keeps_failing_ends(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    await gateway.submit()
    operation = await bulk(gateway, "retry")
    operators = Operators(gateway)
    monkeypatch.setattr(operators.turns, "_jobs", None)  # a fault of ours
    for _ in range(MAX_TRIES + 2):
        await operators.turn()
    ended = (await gateway.http.get(f"{OPERATIONS}/{operation['id']}")).json()
    assert (ended["status"], counts(ended), ended["error"]["code"]) == ("failed", (1, 0, 0, 1), "internal_error")


async def test_operations_belong_to_their_makers(tenants: Gateway) -> None:
    await tenants.submit(**A)
    own, theirs = await bulk(tenants, "cancel", A), await bulk(tenants, "cancel", ADMIN, path="/api/jobs/bulk")
    for headers, operation in ((B, own), (A, theirs), ({}, theirs)):
        one = f"{OPERATIONS}/{operation['id']}"
        for answer in (
            await tenants.http.get(one, headers=headers),
            await tenants.post(f"{one}/cancel", headers=headers),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "operation_not_found")
    assert (await tenants.http.get(f"{OPERATIONS}/{own['id']}", headers=ADMIN)).json()["id"] == own["id"]
    assert (await tenants.http.get("/api/operations/op_x", headers=ADMIN)).status_code == 404
    assert (await tenants.post(f"/api/operations/{theirs['id']}/cancel", headers=ADMIN)).json()["status"] == "cancelled"
    assert (await tenants.post("/api/jobs/bulk", {"action": "cancel", "filter": {}}, headers=A)).status_code in {
        401,
        403,
    }
    nobody = await bulk(tenants, "cancel", dry_run=True)  # a caller without a key owns no list
    assert nobody["matched"] == 0
    assert counts(await Operators(tenants).run(await bulk(tenants, "cancel"))) == (0, 0, 0, 0)
    trail = (await tenants.http.get("/api/audit", headers=ADMIN)).json()["data"]
    assert any(entry["action"] == "POST /api/jobs/bulk" for entry in trail)


async def test_an_operation_that_never_was_is_not_found(gateway: Gateway) -> None:
    unknown = mint_operation_id()
    assert (await gateway.http.get(f"{OPERATIONS}/{unknown}")).status_code == 404
    with pytest.raises(NotFound):
        await gateway.services.operations.cancel(unknown)


async def test_a_job_that_somebody_else_retries_meanwhile_is_skipped(gateway: Gateway) -> None:
    await gateway.submit(FAILING)
    await gateway.worker.work_off()
    ended = await Operators(gateway, Late()).run(await bulk(gateway, "retry"))
    assert counts(ended) == (1, 0, 1, 0)


class Late:
    """Retries jobs that have just been retried."""

    async def retry(self, call: Any, changes: RetryChanges = UNCHANGED) -> Job:
        raise RetryRefused(f"Job {call.job_id} is queued; only failed jobs can be retried.")


def test_a_dry_run_lists_the_largest_models_and_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.jobs.operation.MAX_TALLY", 1)
    tally = Tally()
    for model in (b"a", b"b", b"a", b"c"):
        tally.add(b"running", model, None, b'{"estimate":{"cost":5,"output":10,"output_rate":150000}}')
    document = tally.to_dict()
    assert (document["by_model"], document["by_key"]) == ({"a": 2, "other": 2}, {"-": 4})
    assert (document["by_status"], document["estimated_cost_usd"]) == ({"processing": 4}, 0.000028)


async def test_the_number_of_open_operations_is_bounded(tenants: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.jobs.operations.MAX_OPEN_PER_MAKER", 1)
    first = await bulk(tenants, "cancel", A)
    body = {"action": "cancel", "filter": {}}
    assert (await tenants.post(BULK, body, headers=A)).status_code == 429
    monkeypatch.setattr("shared.jobs.operations.MAX_OPEN", 1)
    assert "The gateway has 1" in (await tenants.post(BULK, body, headers=B)).json()["error"]["message"]
    await Operators(tenants).run(first)
    await bulk(tenants, "cancel", A)


@pytest.mark.parametrize("path", [BULK, "/api/jobs/bulk"])
async def test_bad_bulk_requests_are_refused(gateway: Gateway, path: str) -> None:
    refused: list[tuple[Any, str | None]] = [
        ([], None), ({}, "action"), ({"action": "explode", "filter": {}}, "action"), ({"action": "cancel"}, "filter"),
        ({"action": "cancel", "filter": []}, "filter"), ({"action": "cancel", "filter": {"colour": "red"}}, "colour"),
        ({"action": "cancel", "filter": {"status": ["done"]}}, "status"),
        ({"action": "cancel", "filter": {"label": [["app:x"]]}}, "filter.label"),
        ({"action": "cancel", "filter": {"model": True}}, "filter.model"),
        ({"action": "cancel", "filter": {"model": [""]}}, "model"),
        ({"action": "cancel", "filter": {"model": ["m"] * 21}}, "model"),
        ({"action": "cancel", "filter": {"min_cost_usd": float("1e300")}}, "min_cost_usd"),
        ({"action": "cancel", "filter": {}, "dry_run": "yes"}, "dry_run"),
        ({"action": "cancel", "filter": {}, "priority": "high"}, "priority"),
        ({"action": "reprioritize", "filter": {}}, "priority"),
        ({"action": "reprioritize", "filter": {}, "priority": "urgent"}, "priority"),
        ({"action": "cancel", "filter": {}, "rate_per_s": 0}, "rate_per_s"),
        ({"action": "cancel", "filter": {}, "rate_per_s": True}, "rate_per_s"),
        ({"action": "cancel", "filter": {}, "limit": 5}, "limit"),
    ]  # fmt: skip
    if path == BULK:
        refused += [
            ({"action": "retry", "filter": {}, "dead": True}, "dead"),
            ({"action": "retry", "filter": {"key": "x"}}, "key"),
        ]
    for body, param in refused:
        answer = await gateway.post(path, body, headers=ADMIN if path != BULK else None)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), body
    assert (await gateway.post(BULK, {"action": "x" * 70_000})).status_code == 413


async def test_numbers_may_stand_for_amounts_and_times(gateway: Gateway) -> None:
    await gateway.submit()
    found = {"created_after": 1_700_000_000, "created_before": 4_000_000_000.5}
    assert (await bulk(gateway, "cancel", dry_run=True, filter=found))["matched"] == 1
    assert (await bulk(gateway, "cancel", dry_run=True, filter={"min_cost_usd": 0.25}))["matched"] == 0
    none = {"model": None, "label": ["a:b"]}
    assert (await bulk(gateway, "cancel", dry_run=True, filter=none))["matched"] == 0


async def test_many_workers_share_an_operation(gateway: Gateway) -> None:
    jobs = [await gateway.submit() for _ in range(60)]
    operation = await bulk(gateway, "cancel")
    workers = [Operators(gateway) for _ in range(3)]
    ended = (await asyncio.gather(*(worker.run(operation) for worker in workers)))[0]
    assert counts(ended) == (60, 60, 0, 0)
    assert sum(len(worker.ended) for worker in workers) == 1
    assert set(await states(gateway, *jobs[::20])) == {"cancelled"}

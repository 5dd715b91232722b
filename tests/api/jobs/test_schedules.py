"""Schedules over HTTP, and their firings: one job each, as the owner would have submitted it."""

from typing import Any

import pytest

from shared.errors import StoreUnavailable
from shared.jobs.queue import JobQueue, QueueLimits
from shared.schedules import keys
from shared.schedules.store import Turn
from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, KEY_B, Gateway, Start
from worker.schedule_turns import MAX_TRIES, ScheduleTurns

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
A, B = {"x-bf-vk": KEY_A}, {"x-bf-vk": KEY_B}
SCHEDULES = "/v1/async/schedules"
REQUEST = {"type": "chat.completions", "body": CHAT}
DAILY = {"cron": "30 6 * * *", "timezone": "Europe/Berlin", "request": REQUEST}


class Clock:
    """Fires schedules as a worker does, whenever a test says that one is due."""

    def __init__(self, gateway: Gateway) -> None:
        services = gateway.services
        self.gateway = gateway
        self.store = services.schedules
        self.counts: dict[str, int] = {}
        self.turns = ScheduleTurns(
            self.store, services.submitter, services.inference, services.governance, settings=services.settings.jobs,
            count=self._count,
        )  # fmt: skip

    def _count(self, result: str, firings: int) -> None:
        self.counts[result] = self.counts.get(result, 0) + firings

    async def due(self, schedule_id: str, ago_ms: int = 0) -> Turn:
        """Take a turn at a schedule whose firing was due some time ago."""
        seconds, micros = await self.gateway.services.commands.execute("TIME")
        at_ms = int(seconds) * 1000 + int(micros) // 1000 - ago_ms
        await self.gateway.services.commands.execute("HSET", keys.schedule(schedule_id), "next_ms", at_ms)
        return await self.take(schedule_id)

    async def take(self, schedule_id: str) -> Turn:
        """Take a turn, also of a worker whose lease has not ended."""
        await self.gateway.services.commands.execute("ZADD", keys.DUE, 1, schedule_id)
        turn = await self.store.take()
        assert isinstance(turn, Turn)
        return turn

    async def fire(self, schedule_id: str, ago_ms: int = 0) -> dict[str, Any]:
        """Let a schedule fire, and return it."""
        await self.turns.step(await self.due(schedule_id, ago_ms))
        document: dict[str, Any] = (await self.gateway.http.get(f"{SCHEDULES}/{schedule_id}", headers=ADMIN)).json()
        return document


async def created(gateway: Gateway, headers: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    answer = await gateway.http.post(SCHEDULES, json={**DAILY, **more}, headers=headers)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def jobs_of(gateway: Gateway, schedule_id: str) -> list[dict[str, Any]]:
    params = {"label": f"schedule:{schedule_id}", "order": "asc"}
    page = await gateway.http.get("/api/jobs", params=params, headers=ADMIN)
    jobs: list[dict[str, Any]] = page.json()["data"]
    return jobs


async def test_a_schedule_makes_one_labelled_job_of_its_owner_at_each_firing(tenants: Gateway) -> None:
    headers = {"x-bf-async-priority": "high", "X-BF-Dim-App": "report", "x-bf-async-deadline": "600"}
    body = {**CHAT, "metadata": {"run": "daily"}}
    made = await created(tenants, A, name="report", request={**REQUEST, "body": body, "headers": headers})
    assert made["id"].startswith("sched_")
    assert (made["status"], made["cron"], made["timezone"]) == ("active", "30 6 * * *", "Europe/Berlin")
    assert (made["next_run_at"][14:19], made["last_job_id"], made["last_run_at"]) == ("30:00", None, None)
    assert made["request"] == {"type": "chat.completions", "body": body, "headers": headers}
    clock = Clock(tenants)
    first = await clock.fire(made["id"])
    second = await clock.fire(made["id"])
    assert (second["fired"], second["skipped"], second["last_error"], clock.counts) == (2, 0, None, {"fired": 2})
    assert second["next_run_at"] == made["next_run_at"]
    jobs = await jobs_of(tenants, made["id"])
    assert [job["id"] for job in jobs] == [first["last_job_id"], second["last_job_id"]]
    for name, value in (("label", "app:report"), ("label", "run:daily"), ("priority", "high")):
        listed = (await tenants.http.get("/v1/async/jobs", params={name: value}, headers=A)).json()["data"]
        assert [job["id"] for job in listed] == [second["last_job_id"], first["last_job_id"]]
    assert await tenants.worker.work_off() == 2
    ended = (await tenants.http.get(f"/v1/async/jobs/{first['last_job_id']}", headers=A)).json()
    assert (ended["status"], ended["result"]["object"]) == ("completed", "chat.completion")
    assert (await tenants.http.get(f"/v1/async/jobs/{ended['id']}", headers=B)).status_code == 404


async def test_only_the_owner_and_administrators_reach_a_schedule(tenants: Gateway) -> None:
    made = await created(tenants, A)
    one = f"{SCHEDULES}/{made['id']}"
    for method, path in (("GET", one), ("PATCH", one), ("DELETE", one), ("POST", f"{one}/pause")):
        answer = await tenants.http.request(method, path, json={"name": "x"}, headers=B)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "schedule_not_found")
    assert (await tenants.http.get(SCHEDULES, headers=B)).json()["data"] == []
    assert (await tenants.http.get(SCHEDULES)).json()["data"] == []  # callers without a key list nothing
    listed = (await tenants.http.get(SCHEDULES, headers=A)).json()["data"]
    assert [each["id"] for each in listed] == [made["id"]]
    assert "key" not in listed[0]
    for path in ("/api/schedules", SCHEDULES):
        seen = (await tenants.http.get(path, headers=ADMIN)).json()["data"]
        assert [(each["id"], each["key"]) for each in seen] == [(made["id"], "team-a")]
    assert (await tenants.http.get(f"/api/schedules/{made['id']}", headers=ADMIN)).json()["key"] == "team-a"
    filtered = await tenants.http.get("/api/schedules", params={"key": "team-b"}, headers=ADMIN)
    assert filtered.json()["data"] == []
    assert (await tenants.http.get("/api/schedules", headers=A)).status_code in {401, 403}
    for path in ("/api/schedules", SCHEDULES):
        assert (await tenants.http.get(path, params={"after": "x"}, headers=ADMIN)).status_code == 400


async def test_a_schedule_is_changed_paused_resumed_and_deleted(tenants: Gateway) -> None:
    made = await created(tenants, A, max_active=2)
    one = f"{SCHEDULES}/{made['id']}"
    changed = await tenants.http.patch(one, json={"every_s": 3600, "name": "hourly", "max_active": None}, headers=A)
    assert changed.status_code == 200, changed.text
    document = changed.json()
    assert (document["every_s"], document["name"], document["max_active"]) == (3600, "hourly", None)
    assert "cron" not in document
    assert document["next_run_at"] > document["updated_at"]
    paused = (await tenants.http.post(f"{one}/pause", headers=A)).json()
    assert (paused["status"], paused["next_run_at"]) == ("paused", None)
    assert (await tenants.http.post(f"{one}/pause", headers=A)).json() == paused
    renamed = (await tenants.http.patch(one, json={"cron": "0 0 29 2 *"}, headers=A)).json()
    assert (renamed["status"], renamed["next_run_at"], renamed["timezone"]) == ("paused", None, "Europe/Berlin")
    resumed = (await tenants.http.post(f"{one}/resume", headers=A)).json()
    assert (resumed["status"], resumed["next_run_at"][5:10]) == ("active", "02-28")  # midnight in Berlin
    assert (await tenants.http.post(f"{one}/resume", headers=A)).json() == resumed
    request = {**REQUEST, "body": {**CHAT, "model": "openai/gpt-4o"}}
    replaced = (await tenants.http.patch(one, json={"request": request, "catch_up": "last"}, headers=ADMIN)).json()
    assert (replaced["request"]["body"]["model"], replaced["catch_up"]) == ("openai/gpt-4o", "last")
    fired = await Clock(tenants).fire(made["id"])
    (job,) = await jobs_of(tenants, made["id"])
    assert (job["id"], job["model"]) == (fired["last_job_id"], "openai/gpt-4o")
    assert (await tenants.http.delete(one, headers=A)).json() == {
        "id": made["id"], "object": "schedule", "deleted": True,
    }  # fmt: skip
    assert (await tenants.http.get(one, headers=A)).status_code == 404
    assert (await tenants.http.delete(one, headers=A)).status_code == 404


async def test_a_schedule_without_a_key_works_where_there_are_no_keys(gateway: Gateway) -> None:
    made = await created(gateway)
    assert [each["id"] for each in (await gateway.http.get(SCHEDULES)).json()["data"]] == [made["id"]]
    fired = await Clock(gateway).fire(made["id"])
    assert (await gateway.http.get(f"/v1/async/jobs/{fired['last_job_id']}")).status_code == 202


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"cron": None}, "cron"), ({"every_s": 60}, "cron"), ({"cron": "* * * *"}, "cron"),
    ({"cron": "61 * * * *"}, "cron"), ({"cron": "0 0 31 2 *"}, "cron"), ({"cron": 5}, "cron"),
    ({"cron": "0 0 */30 2 MON#5"}, "cron"),
    ({"timezone": "Mars/Base"}, "timezone"), ({"cron": None, "every_s": 0.5}, "every_s"),
    ({"cron": None, "every_s": True}, "every_s"), ({"cron": None, "every_s": "60"}, "every_s"),
    ({"cron": None, "every_s": 1e12}, "every_s"), ({"catch_up": "all"}, "catch_up"),
    ({"cron": None, "every_s": 60, "timezone": "x/y"}, "timezone"),
    ({"max_active": 0}, "max_active"), ({"max_active": True}, "max_active"), ({"name": "a\nb"}, "name"),
    ({"crn": "* * * * *"}, "crn"), ({"request": None}, "request"), ({"request": {"type": "chat.completions"}},
     "request.body"),
    ({"request": {"type": "poems", "body": {}}}, "request.type"),
    ({"request": {"type": "audio.transcriptions", "body": {}}}, "request.type"),
    ({"request": {"type": "chat.completions", "body": {"model": "sim/x"}}}, "messages"),
    ({"request": {"type": "chat.completions", "body": {**CHAT, "stream": True}}}, "stream"),
    ({"request": {"type": "responses", "body": {"model": "sim/x"}}}, "input"),
    ({"request": {**REQUEST, "headers": {"x-bf-async-priority": "urgent"}}}, "x-bf-async-priority"),
    ({"request": {**REQUEST, "headers": {"x-bf-async-webhook": "nowhere"}}}, "x-bf-async-webhook"),
    ({"request": {**REQUEST, "headers": {"authorization": "Bearer x"}}}, "request.headers"),
    ({"request": {**REQUEST, "headers": {"x-bf-dim-ä": "x"}}}, "request.headers"),
    ({"request": {**REQUEST, "headers": {"x-bf-dim-a": "x\r\ny"}}}, "request.headers"),
    ({"request": {**REQUEST, "headers": {"x-bf-dim-a": "x", "X-BF-DIM-A": "y"}}}, "request.headers"),
    ({"request": {**REQUEST, "body": {**CHAT, "model": "nobody/gpt"}}}, "model"),
]  # fmt: skip


async def test_what_a_submit_would_refuse_is_refused_at_creation(gateway: Gateway) -> None:
    for change, param in REFUSED:
        body = {name: value for name, value in {**DAILY, **change}.items() if value is not None}
        answer = await gateway.http.post(SCHEDULES, json=body)
        assert (answer.status_code in {400, 404}, answer.json()["error"]["param"]) == (True, param), answer.text
    assert (await gateway.http.get(SCHEDULES)).json()["data"] == []


async def test_a_key_may_schedule_its_models_only(tenants: Gateway) -> None:
    answer = await tenants.http.post(SCHEDULES, json=DAILY, headers=B)
    assert answer.status_code == 403
    assert (await tenants.http.get("/api/schedules", headers=ADMIN)).json()["data"] == []


async def test_bad_changes_are_refused(gateway: Gateway) -> None:
    one = f"{SCHEDULES}/{(await created(gateway))['id']}"
    for body in ({}, {"request": None}, {"cron": None}, {"cron": "x"}, {"every_s": 60, "cron": "0 * * * *"}, []):
        assert (await gateway.http.patch(one, json=body)).status_code == 400
    large = await gateway.http.post(SCHEDULES, json={**DAILY, "name": "x" * 300_000})
    assert large.status_code == 413


async def test_the_number_of_a_keys_schedules_is_bounded(start: Start) -> None:
    gateway = await start(schedules={"max_per_key": 1, "min_interval_s": 60})
    await created(gateway)
    answer = await gateway.http.post(SCHEDULES, json=DAILY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "too_many_schedules")
    answer = await gateway.http.post(SCHEDULES, json={"every_s": 59, "request": REQUEST})
    assert "at least 60" in answer.json()["error"]["message"]


async def test_a_firing_that_a_dead_worker_began_is_not_repeated(gateway: Gateway) -> None:
    made = await created(gateway)
    clock = Clock(gateway)
    turn = await clock.due(made["id"])
    other = await clock.take(made["id"])  # the lease of the first has ended: both submit
    await clock.turns.step(turn)
    assert clock.counts == {}  # it has lost its turn
    (job,) = await jobs_of(gateway, made["id"])
    await gateway.worker.work_off()
    assert (await gateway.http.delete(f"/v1/async/jobs/{job['id']}")).status_code == 200
    await clock.turns.step(other)
    assert clock.counts == {"fired": 1}
    assert await jobs_of(gateway, made["id"]) == []  # its job was deleted meanwhile, and is not made again
    assert (await gateway.http.get(f"{SCHEDULES}/{made['id']}")).json()["last_job_id"] == job["id"]


async def test_max_active_skips_firings_while_jobs_are_live(gateway: Gateway) -> None:
    made = await created(gateway, max_active=1)
    clock = Clock(gateway)
    first = await clock.fire(made["id"])
    again = await clock.fire(made["id"])
    assert (again["last_job_id"], again["skipped"]) == (first["last_job_id"], 1)
    assert again["last_error"]["code"] == "max_active"
    await gateway.worker.work_off()
    third = await clock.fire(made["id"])
    assert third["last_job_id"] != first["last_job_id"]
    assert (third["fired"], third["last_error"], clock.counts) == (2, None, {"fired": 2, "active": 1})


async def test_missed_firings_are_skipped_or_made_up_for_once(gateway: Gateway) -> None:
    clock, long_ago_ms = Clock(gateway), 3 * 86_400_000
    skipping = await created(gateway)
    document = await clock.fire(skipping["id"], long_ago_ms)
    assert (document["fired"], document["last_error"]["code"]) == (0, "missed")
    assert document["skipped"] >= 3
    assert document["next_run_at"] == skipping["next_run_at"]
    catching_up = await created(gateway, catch_up="last")
    document = await clock.fire(catching_up["id"], long_ago_ms)
    assert (document["fired"], document["last_error"]) == (1, None)
    assert document["last_run_at"] < document["next_run_at"]
    assert clock.counts["fired"] == 1


async def test_limits_of_the_owner_bind_its_firings(start: Start) -> None:
    budget = {"limit_usd": 0}
    gateway = await start(
        virtual_keys={"team-a": {"value": KEY_A, "budgets": [budget]}, "team-b": {"value": KEY_B}},
        jobs={"max_queued_per_key": 1},
        prices={"sim/gpt-4o": {"input": 10, "output": 10}},
    )
    clock = Clock(gateway)
    spent = await clock.fire((await created(gateway, A))["id"])
    assert (spent["fired"], spent["skipped"], spent["last_error"]["code"]) == (0, 1, "budget_exceeded")
    made = await created(gateway, B)
    await clock.fire(made["id"])
    full = await clock.fire(made["id"])  # put off: there may be room in a moment
    assert (full["fired"], full["skipped"], full["last_error"]["code"]) == (1, 0, "queue_full")
    await gateway.worker.work_off()
    await clock.turns.step(await clock.take(made["id"]))
    document = (await gateway.http.get(f"{SCHEDULES}/{made['id']}", headers=B)).json()
    assert (document["fired"], document["last_error"]) == (2, None)


async def test_a_schedule_of_a_revoked_key_pauses(gateway: Gateway) -> None:
    key = (await gateway.http.post("/api/keys", json={"name": "team-c"}, headers=ADMIN)).json()
    made = await created(gateway, {"x-bf-vk": key["value"]})
    await gateway.http.delete(f"/api/keys/{key['id']}", headers=ADMIN)
    clock = Clock(gateway)
    document = await clock.fire(made["id"])
    assert (document["status"], document["paused_reason"], document["next_run_at"]) == ("paused", "key_blocked", None)
    assert (document["last_error"]["code"], clock.counts) == ("virtual_key_blocked", {"refused": 1})


async def test_a_fault_of_the_gateways_own_is_tried_again_and_then_skipped(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await created(gateway)
    clock = Clock(gateway)
    record = keys.schedule(made["id"])
    stored = await gateway.services.commands.execute("HGET", record, "job")
    await gateway.services.commands.execute("HSET", record, "job", b'{"context":{}}')  # a damaged record
    document = await clock.fire(made["id"])
    assert (document["skipped"], document["last_error"]["code"]) == (0, "internal_error")
    await gateway.services.commands.execute("HSET", record, "tries", MAX_TRIES)
    await clock.turns.step(await clock.take(made["id"]))
    assert clock.counts == {"failed": 1}
    await gateway.services.commands.execute("HSET", record, "job", stored)
    gateway.services.submitter._queue = Unreachable(gateway.services.commands, QueueLimits())
    with pytest.raises(StoreUnavailable):
        await clock.turns.step(await clock.due(made["id"]))


class Unreachable(JobQueue):
    """A queue whose store does not answer."""

    async def submit(self, new: Any, *, reserved: bool = False) -> Any:
        raise StoreUnavailable


async def test_a_paused_schedule_in_the_due_list_leaves_it(gateway: Gateway) -> None:
    made = await created(gateway)
    clock = Clock(gateway)
    lost = await clock.due(made["id"], 3 * 86_400_000)
    await gateway.http.post(f"{SCHEDULES}/{made['id']}/pause")
    await clock.turns.step(lost)  # the missed firings of a turn that was lost are not counted
    await clock.turns.step(await clock.take(made["id"]))
    assert (clock.counts, await clock.store.take()) == ({}, float("inf"))

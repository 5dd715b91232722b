"""Pauses, a bulk operation and a schedule go on while workers, API and store are killed."""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.jobs.events import TERMINAL_EVENTS, EventLog
from shared.store.embedded import EmbeddedStore
from simulator.serve import running
from tests.journeys.fleet import BODY, Fleet, fleet
from tests.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

ADMIN = {"authorization": "Bearer an-admin-key-for-the-hammer"}
OWNER = {"x-bf-vk": "owner"}
LATER, PAUSED, RATE_PER_S = 60, 10, 20
PAUSE = "/api/queue/pauses/model%3Asim%2Fpaused*"


class Operator:
    """A caller who repeats what was not answered."""

    def __init__(self, processes: Fleet) -> None:
        self.processes = processes

    async def ask(self, method: str, path: str, headers: dict[str, str], **request: Any) -> dict[str, Any]:
        async def answered() -> dict[str, Any] | None:
            try:
                reply = await self.processes.apis[-1][1].request(method, path, headers=headers, **request)
            except httpx.TransportError:
                return None
            if reply.status_code >= 500:
                return None
            assert reply.is_success, reply.text
            document: dict[str, Any] = reply.json()
            return document

        found: dict[str, Any] = await wait_until(answered, 60)
        return found

    async def submit(self, number: int, model: str = BODY["model"], **headers: str) -> str:
        once = {"idempotency-key": f"chaos-{number}", "x-bf-dim-app": "chaos", **headers, **OWNER}
        body = {**BODY, "model": model}
        return str((await self.ask("POST", "/v1/async/chat/completions", once, json=body))["id"])

    async def jobs(self, label: str) -> list[dict[str, Any]]:
        page = await self.ask("GET", "/v1/async/jobs", OWNER, params={"label": label, "limit": "100"})
        assert not page["has_more"]
        jobs: list[dict[str, Any]] = page["data"]
        return jobs

    async def until_operation(self, operation_id: str, **fields: Any) -> dict[str, Any]:
        """Wait until an operation has a status, or has done so many jobs."""

        async def there() -> dict[str, Any] | None:
            found = await self.ask("GET", f"/v1/async/operations/{operation_id}", OWNER)
            reached = found["status"] == fields.get("status") or found["done"] >= fields.get("done", LATER + 1)
            return found if reached else None

        found: dict[str, Any] = await wait_until(there, 120)
        return found


async def test_operations_pauses_and_schedules_survive_kills(tmp_path: Path) -> None:
    keys = {"owner": ""}
    async with (
        running() as sim,
        EmbeddedStore(tmp_path / "data") as store,
        fleet(tmp_path, store.url, sim.base_url, keys, count=1) as processes,
    ):
        await processes.store.execute("CONFIG", "SET", "appendfsync", "always")
        operator = Operator(processes)
        await operator.ask("PUT", PAUSE, ADMIN, json={"reason": "test"})
        paused = [await operator.submit(number, "sim/paused-1") for number in range(PAUSED)]
        later = {await operator.submit(100 + n, **{"x-bf-async-delay": "3600"}) for n in range(LATER)}
        request = {"type": "chat.completions", "body": BODY}
        schedule = await operator.ask("POST", "/v1/async/schedules", OWNER, json={"every_s": 1, "request": request})
        bulk = {"action": "cancel", "filter": {"label": "app:chaos", "model": BODY["model"]}, "rate_per_s": RATE_PER_S}
        operation = await operator.ask("POST", "/v1/async/jobs/bulk", OWNER, json=bulk)

        await operator.until_operation(operation["id"], done=1)
        await kill_everything(processes, store)
        now = [await operator.submit(200 + number) for number in range(10)]
        ended = await operator.until_operation(operation["id"], status="completed")
        assert (ended["matched"], ended["done"] + ended["skipped"], ended["failed"]) == (LATER, LATER, 0)

        waiting = [job for job in await operator.jobs("app:chaos") if job["id"] in paused]
        assert {(job["status"], job["attempts"], job["paused_by"][0]["reason"]) for job in waiting} == {
            ("pending", 0, "test")
        }
        await operator.ask("DELETE", PAUSE, ADMIN)
        fired = await last_firing(operator, schedule["id"])
        everything = [*paused, *later, *now, *(job["id"] for job in fired)]
        statuses = await ended_once(processes, everything)
        assert Counter(statuses[job_id] for job_id in later) == {"job.cancelled": LATER}
        assert {statuses[job_id] for job_id in everything if job_id not in later} == {"job.completed"}


async def kill_everything(processes: Fleet, store: EmbeddedStore) -> None:
    """kill -9 the worker, the API and the store, and start the two again; the store starts by itself."""
    processes.workers[0].kill()
    processes.apis[0][0].kill()
    killed = store.pid
    os.kill(killed, signal.SIGKILL)
    processes.start(1, 1)
    await wait_until(lambda: store.pid != killed, 60)


async def last_firing(operator: Operator, schedule_id: str) -> list[dict[str, Any]]:
    """Pause a schedule after it has fired some times; its jobs, one a firing."""
    one = f"/v1/async/schedules/{schedule_id}"

    async def often() -> bool:
        return bool((await operator.ask("GET", one, OWNER))["fired"] >= 3)

    await wait_until(often, 120)
    await operator.ask("POST", f"{one}/pause", OWNER)
    schedule = await operator.ask("GET", one, OWNER)
    jobs = await operator.jobs(f"schedule:{schedule_id}")
    assert schedule["fired"] <= len(jobs) <= schedule["fired"] + 1  # a pause may come between a job and its count
    assert len({job["id"] for job in jobs}) == len(jobs)
    return jobs


async def ended_once(processes: Fleet, job_ids: list[str]) -> dict[str, str]:
    """Wait until jobs have ended; the one end of each by its events."""
    log = EventLog(processes.store)

    async def ends(job_id: str) -> list[str]:
        return [event.name for event in await log.read(job_id) if event.name in TERMINAL_EVENTS]

    async def all_ended() -> bool:
        return all(await asyncio.gather(*map(ends, job_ids)))

    await wait_until(all_ended, 120)
    found = {job_id: await ends(job_id) for job_id in job_ids}
    assert {job_id: names for job_id, names in found.items() if len(names) != 1} == {}
    return {job_id: names[0] for job_id, names in found.items()}

"""A job's events as server-sent events: before, during and after the run, resumed where they broke off."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest

from api.http.streaming import HEARTBEAT, with_heartbeats
from shared.jobs.model import Event
from tests.api.conftest import Gateway
from tests.waiting import wait_until


async def read_events(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    event: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if not line and event:
            yield event
            event = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value


async def all_events(gateway: Gateway, job_id: str, **more) -> list[dict[str, str]]:
    async with gateway.http.stream("GET", f"/v1/async/jobs/{job_id}/events", **more) as answer:
        assert answer.status_code == 200
        return [event async for event in read_events(answer)]


async def test_events_of_a_finished_job_end_with_the_one_terminal_event(gateway: Gateway):
    job_id = await gateway.submit()
    await gateway.worker.work_off()
    async with gateway.http.stream("GET", f"/v1/async/jobs/{job_id}/events") as answer:
        events = [event async for event in read_events(answer)]
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert [event["event"] for event in events] == ["job.queued", "job.started", "job.completed"]
    assert all(orjson.loads(event["data"])["id"] == job_id for event in events)
    assert len({event["id"] for event in events}) == 3


async def test_events_come_while_the_job_runs(gateway: Gateway):
    job_id = await gateway.submit()
    seen: list[str] = []

    async def follow() -> None:
        async with gateway.http.stream("GET", f"/v1/async/jobs/{job_id}/events") as answer:
            async for event in read_events(answer):
                seen.append(orjson.loads(event["data"]).get("delta") or event["event"])  # noqa: PERF401 - seen as they come

    following = asyncio.create_task(follow())
    await wait_until(lambda: seen == ["job.queued"])
    (claim,) = await gateway.worker.claim()
    await wait_until(lambda: seen == ["job.queued", "job.started"])
    await gateway.services.events.append(claim, [("delta", b'{"delta":"Hel"}'), ("delta", b'{"delta":"lo"}')])
    await wait_until(lambda: seen[2:] == ["Hel", "lo"])
    await gateway.worker.complete(claim)
    await asyncio.wait_for(following, 5)
    assert seen[-1] == "job.completed"


@pytest.mark.parametrize("how", ["header", "query"])
async def test_a_reader_resumes_after_the_last_event_it_saw(gateway: Gateway, how: str):
    job_id = await gateway.submit()
    await gateway.worker.work_off()
    events = await all_events(gateway, job_id)
    last = events[1]["id"]
    more = {"headers": {"Last-Event-ID": last}} if how == "header" else {"params": {"after": last}}
    assert await all_events(gateway, job_id, **more) == events[2:]


@pytest.mark.parametrize("last", ["x", "1-2-3", "-1", "9" * 40, "$", "1; DROP"])
async def test_a_malformed_event_id_is_refused(gateway: Gateway, last: str):
    job_id = await gateway.submit()
    answer = await gateway.http.get(f"/v1/async/jobs/{job_id}/events", headers={"Last-Event-ID": last})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Last-Event-ID")


async def test_a_follower_that_hangs_up_is_forgotten(gateway: Gateway):
    job_id = await gateway.submit()
    async with gateway.http.stream("GET", f"/v1/async/jobs/{job_id}/events") as answer:
        assert (await anext(read_events(answer)))["event"] == "job.queued"
        assert gateway.services.waits.open == 1
    await wait_until(lambda: gateway.services.waits.open == 0)


async def test_silence_is_filled_with_comments():
    arrived = asyncio.Event()

    async def events() -> AsyncIterator[Event]:
        yield Event(id="1-0", name="job.queued", data=b"{}")
        await arrived.wait()
        yield Event(id="2-0", name="job.completed", data=b"{}")

    seen = []
    async for event in with_heartbeats(events(), every_s=0.01):
        seen.append(event and event.id)
        if seen.count(None) == 2:
            arrived.set()
    assert seen[:3] == ["1-0", None, None]
    assert seen[-1] == "2-0"
    assert HEARTBEAT.startswith(b":")

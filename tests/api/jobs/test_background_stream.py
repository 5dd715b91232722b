"""Background responses as streams: through the official SDK, cut and taken up again, on the real worker."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.api.conftest import KEY_A, KEY_B, Gateway
from worker.leased_worker import LeasedWorker, WorkerOptions

ASK: dict[str, Any] = {"model": "sim/gpt-4o@tokens=12", "input": "hello", "background": True}


@pytest.fixture
async def leased(gateway: Gateway, redis_url: str) -> AsyncIterator[LeasedWorker]:
    worker = LeasedWorker.connect(redis_url, gateway.worker.runners[0].run, WorkerOptions(concurrency=10, grace_s=0.1))
    serving = asyncio.create_task(worker.serve())
    await worker.ready.wait()
    yield worker
    worker.stop()
    await serving


async def streamed(gateway: Gateway, **more: Any) -> list[Any]:
    stream = await gateway.sdk().responses.create(**{**ASK, **more}, stream=True)
    return [event async for event in stream]


async def test_a_background_stream_is_a_whole_responses_stream(gateway: Gateway, leased: LeasedWorker) -> None:
    events = await streamed(gateway)
    assert [event.type for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    ids = {event.response.id for event in events if hasattr(event, "response")}
    assert len(ids) == 1
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    kept = await gateway.sdk().responses.retrieve(ids.pop())
    assert text == kept.output_text == events[-1].response.output_text


@pytest.mark.parametrize("after", [0, 1, 4, 1000])
async def test_a_stream_is_taken_up_after_any_event(gateway: Gateway, leased: LeasedWorker, after: int) -> None:
    events = await streamed(gateway)
    response_id = events[0].response.id
    again = await gateway.sdk().responses.retrieve(response_id, stream=True, starting_after=after)
    assert [event.model_dump() async for event in again] == [event.model_dump() for event in events[after + 1 :]]


async def test_a_cut_stream_does_not_stop_the_job(gateway: Gateway, leased: LeasedWorker) -> None:
    client = gateway.sdk()
    stream = await client.responses.create(**ASK, stream=True)
    first = await anext(aiter(stream))
    await stream.close()
    async with client.responses.stream(response_id=first.response.id) as taken_up:
        final = await taken_up.get_final_response()
    assert final.status == "completed"


async def test_a_stream_of_a_waiting_job_begins_at_once(gateway: Gateway) -> None:
    stream = await gateway.sdk().responses.create(**ASK, stream=True)
    events = aiter(stream)
    created, queued = await anext(events), await anext(events)
    assert (created.type, queued.type) == ("response.created", "response.queued")
    cancelled = await gateway.sdk().responses.cancel(created.response.id)
    assert cancelled.status == "cancelled"
    last = [event async for event in events][-1]
    assert (last.type, last.response.status, last.sequence_number) == ("response.failed", "cancelled", 2)


async def test_a_failed_job_ends_its_stream_with_the_failure(gateway: Gateway, leased: LeasedWorker) -> None:
    events = await streamed(gateway, model="sim/gpt-4o@context_length")
    assert events[-1].type == "response.failed"
    assert events[-1].response.status == "failed"
    assert events[-1].response.error.message


async def test_only_what_was_made_as_a_stream_can_be_streamed(gateway: Gateway, leased: LeasedWorker) -> None:
    client = gateway.sdk()
    made = await client.responses.create(**ASK)
    with pytest.raises(openai.BadRequestError) as refusal:
        await client.responses.retrieve(made.id, stream=True)
    assert refusal.value.param == "stream"
    for wrong in ("x", "-1", "1.5"):
        answer = await gateway.http.get(f"/openai/responses/{made.id}?stream=true&starting_after={wrong}")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "starting_after")


async def test_another_callers_stream_is_not_there(tenants: Gateway) -> None:
    stream = await tenants.sdk(KEY_A).responses.create(**ASK, stream=True)
    created = await anext(aiter(stream))
    await stream.close()
    with pytest.raises(openai.NotFoundError):
        await tenants.sdk(KEY_B).responses.retrieve(created.response.id, stream=True)

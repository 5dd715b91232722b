"""Streams to callers: errors inside a stream, and callers that hang up."""

import asyncio

import openai
import orjson
import pytest

from api.http.streaming import _send_last, error_event
from shared.errors import UpstreamFailure
from shared.surfaces.request_types import CHAT as CHAT_TYPE
from shared.surfaces.request_types import RESPONSES
from tests.api.conftest import CHAT, Gateway
from tests.waiting import wait_until

STREAM = {**CHAT, "stream": True}


def streamed(model: str) -> dict[str, object]:
    return {**STREAM, "model": f"sim/{model}"}


async def test_a_stream_has_the_headers_of_one_and_its_events_untouched(gateway: Gateway):
    answer = await gateway.post("/openai/chat/completions", STREAM)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-request-id"]
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_each_event_goes_on_when_it_comes(gateway: Gateway):
    first = asyncio.get_running_loop().create_future()

    async def read() -> None:
        async with gateway.http.stream("POST", "/openai/chat/completions", json=streamed("m@stall=3")) as answer:
            async for _ in answer.aiter_bytes():
                first.set_result(None)
                return

    await asyncio.wait_for(read(), 20)  # the rest never comes
    assert first.done()


@pytest.mark.parametrize("fault", ["cut=3", "bad_chunk=3", "error_event=3"])
async def test_a_stream_that_breaks_says_so_and_never_done(gateway: Gateway, fault: str):
    answer = await gateway.post("/openai/chat/completions", streamed(f"gpt-4o@{fault}"))
    assert answer.status_code == 200
    last = answer.text.strip().rsplit("\n\n", 1)[-1]
    assert orjson.loads(last.removeprefix("data: "))["error"]["message"]
    assert "[DONE]" not in answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", streamed("gpt-4o@tps=2")),
        ("/v1/responses", {"model": "sim/gpt-4o@tps=2", "input": "hello", "stream": True}),
        ("/anthropic/v1/messages", {**streamed("gpt-4o@tps=2"), "max_tokens": 500}),
    ],
)
async def test_a_stream_that_the_end_of_the_process_cuts_says_so(gateway: Gateway, path: str, body: dict):
    async with gateway.http.stream("POST", path, json=body) as answer:
        parts = answer.aiter_text()
        text = await anext(parts)
        for task in gateway.server.server_state.tasks:  # type: ignore[attr-defined] # as the server does after its grace
            task.cancel()
        text += "".join([part async for part in parts])
    last = text.strip().rsplit("\n\n", 1)[-1]
    assert "The gateway stopped before the answer was complete." in last
    assert orjson.loads(last.rpartition("data: ")[2])
    assert "[DONE]" not in text


async def test_the_end_of_the_process_does_not_wait_for_a_caller_that_takes_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.http.streaming.LAST_EVENT_S", 0)
    await _send_last(lambda _: asyncio.Event().wait(), b"data: {}\n\n")  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("fault", ["cut=3", "bad_chunk=3"])
async def test_the_sdk_raises_on_a_broken_stream(gateway: Gateway, fault: str):
    client = gateway.sdk()
    stream = await client.chat.completions.create(model=f"sim/gpt-4o@{fault}", messages=CHAT["messages"], stream=True)
    with pytest.raises(openai.APIError):
        async for _ in stream:
            pass


async def test_a_broken_response_stream_ends_as_failed(gateway: Gateway):
    client = gateway.sdk()
    stream = await client.responses.create(model="sim/gpt-4o@cut=4", input="hello", stream=True)
    events = [event async for event in stream]
    assert events[0].type == "response.created"
    assert events[-1].type == "response.failed"
    assert events[-1].response.id == events[0].response.id
    assert events[-1].response.error.message
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_an_error_before_the_first_byte_is_an_ordinary_one(gateway: Gateway):
    answer = await gateway.post("/openai/chat/completions", streamed("gpt-4o@status=503"))
    assert answer.status_code == 503
    assert answer.json()["error"]["message"]


def test_a_response_stream_that_breaks_at_once_says_an_error_on_which_sdks_raise():
    frame = error_event(RESPONSES, UpstreamFailure("gone"), b": comment\n\n", b"data: junk\n\n")
    name, data = frame.decode().strip().split("\n")
    event = orjson.loads(data.removeprefix("data: "))
    assert name == "event: error"
    assert (event["type"], event["error"]["code"], event["sequence_number"]) == ("error", "upstream_error", 0)
    assert error_event(CHAT_TYPE, UpstreamFailure("gone")).startswith(b'data: {"error"')


async def test_speech_is_a_stream_of_events_only_where_its_format_says_so(gateway: Gateway):
    body = {"model": "sim/gpt-4o-mini-tts", "input": "hello", "voice": "alloy", "stream": True}
    sound = await gateway.post("/openai/audio/speech", body)
    assert sound.headers["content-type"].startswith("audio/")
    job = await gateway.post("/openai/audio/speech", {**body, "stream_format": "sse"}, headers={"x-bf-async": "1"})
    assert (job.status_code, job.json()["error"]["param"]) == (400, "stream")


@pytest.mark.parametrize("body", [{**CHAT, "model": "sim/gpt-4o@hang"}, streamed("gpt-4o@hang"), streamed("x@tps=1")])
async def test_a_caller_that_hangs_up_ends_the_upstream_call_within_a_second(gateway: Gateway, sim, body):
    async def ask() -> None:
        async with gateway.http.stream("POST", "/openai/chat/completions", json=body) as answer:
            await answer.aread()

    asking = asyncio.create_task(ask())
    await sim.wait_until(lambda log: log.open_count == 1)
    asking.cancel()
    await sim.wait_until(lambda log: log.open_count == 0)
    assert sim.requests[-1].outcome == "client_disconnected"


async def test_a_caller_that_hangs_up_never_ends_a_job(gateway: Gateway, sim):
    job_id = await gateway.submit({**CHAT, "model": "sim/gpt-4o@latency=0.4"})
    working = asyncio.create_task(gateway.worker.work_off())
    polling = asyncio.create_task(gateway.poll(job_id, **{"x-bf-async-wait": "30"}))
    await sim.wait_until(lambda log: log.open_count == 1)
    polling.cancel()
    await working
    assert (await gateway.poll(job_id)).json()["choices"]


async def test_an_abandoned_long_poll_is_forgotten(gateway: Gateway):
    job_id = await gateway.submit()
    polling = asyncio.create_task(gateway.poll(job_id, **{"x-bf-async-wait": "30"}))
    await wait_until(lambda: gateway.services.waits.open == 1)
    polling.cancel()
    await wait_until(lambda: gateway.services.waits.open == 0)


async def test_a_stop_answers_those_who_wait_with_what_is_known(gateway: Gateway):
    job_id = await gateway.submit()
    polling = asyncio.create_task(gateway.poll(job_id, **{"x-bf-async-wait": "30"}))
    async with gateway.http.stream("GET", f"/v1/async/jobs/{job_id}/events") as following, asyncio.timeout(5):
        lines = following.aiter_lines()
        while "job.queued" not in await anext(lines):
            pass
        await wait_until(lambda: gateway.services.waits.open == 2)
        gateway.server.end()
        answer = await polling
        assert (answer.status_code, answer.json()["status"]) == (200, "queued")
        assert "job.completed" not in "".join([line async for line in lines])
    await asyncio.wait_for(asyncio.shield(gateway.task), 5)

"""Jobs that stream: the same answer as without a stream, and events that show it grow."""

from typing import Any

import orjson
import pytest

from shared.errors import UpstreamFailure
from shared.inference.call import Call
from shared.inference.inference import Inference
from shared.surfaces.request_types import RESPONSES
from tests.inference.conftest import build, chat, inference, provider, sim  # noqa: F401 - fixtures
from tests.serving import serving
from tests.worker.test_tasks import claim, handle_of
from worker.handle import RunHandle
from worker.streamed import answer_streamed, can_stream

VOLATILE = {"id", "created", "created_at", "completed_at", "system_fingerprint"}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]


def steady(value: Any) -> Any:
    """A body without what differs between any two answers."""
    if isinstance(value, dict):
        return {key: steady(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [steady(item) for item in value]
    return value


async def streamed(inference: Inference, call: Call) -> tuple[dict[str, Any], RunHandle]:  # noqa: F811
    handle = handle_of(claim(call.model))
    answer = await answer_streamed(inference, call, handle)
    return orjson.loads(answer.body), handle


@pytest.mark.parametrize(
    "call",
    [
        chat("sim/gpt"),
        chat("sim/sim-echo"),
        chat("sim/gpt@reasoning"),
        chat("sim/gpt", n=2),
        chat("sim/gpt@tool", tools=TOOLS),
        chat("sim/gpt", request_type=RESPONSES, input="hello"),
    ],
    ids=["text", "echo", "reasoning", "choices", "tools", "responses"],
)
async def test_the_answer_is_that_of_the_call_without_a_stream(inference: Inference, call: Call) -> None:  # noqa: F811
    whole = orjson.loads((await inference.answer(call)).body)
    body, _ = await streamed(inference, call)
    assert steady(body) == steady(whole)


async def test_chat_text_is_emitted_as_deltas(inference: Inference) -> None:  # noqa: F811
    body, handle = await streamed(inference, chat("sim/gpt"))
    assert {name for name, _ in handle.pending_events} == {"delta"}
    text = "".join(orjson.loads(data)["delta"] for _, data in handle.pending_events)
    assert text == body["choices"][0]["message"]["content"]


async def test_response_events_are_emitted_under_our_id(inference: Inference) -> None:  # noqa: F811
    call = chat("sim/gpt", request_type=RESPONSES, input="hello", job_id="resp_ours")
    body, handle = await streamed(inference, call)
    events = [orjson.loads(data) for _, data in handle.pending_events]
    assert [name for name, _ in handle.pending_events] == [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(2, len(events) + 2))
    assert not {"response.created", "response.completed"} & {event["type"] for event in events}
    assert {event["response"]["id"] for event in events if "response" in event} == {"resp_ours"}
    assert body["status"] == "completed"


class Unverified:
    """A provider that refuses to stream, as OpenAI does for some models until an account is verified."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = orjson.loads((await receive())["body"])
        refusal = {"error": {"message": "not allowed", "param": "stream", "code": "unsupported_value"}}
        status, answer = (400, refusal) if body.get("stream") else (200, {"object": "chat.completion", "choices": []})
        head = {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        await send(head)
        await send({"type": "http.response.body", "body": orjson.dumps(answer)})


async def test_a_provider_that_does_not_stream_is_asked_again_without(build: Any) -> None:  # noqa: F811
    async with serving(Unverified()) as origin:
        inference = build(providers={"strict": {"wire": "openai", "base_url": origin}})
        body, handle = await streamed(inference, chat("strict/gpt"))
        await inference.aclose()
    assert body == {"object": "chat.completion", "choices": []}
    assert handle.pending_events == []


class Whole:
    """A provider that does not know streams and answers as ever."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
        await send(head)
        await send({"type": "http.response.body", "body": b'{"usage": {"total_tokens": 1}, "choices": [ ]}'})


async def test_a_provider_may_answer_a_stream_request_as_a_whole(build: Any) -> None:  # noqa: F811
    async with serving(Whole()) as origin:
        inference = build(providers={"plain": {"wire": "openai", "base_url": origin}})
        answer = await answer_streamed(inference, chat("plain/gpt"), handle_of(claim("plain/gpt")))
        stream = await inference.stream(chat("plain/gpt", stream=True))
        assert [chunk async for chunk in stream] == [answer.body]
        await inference.aclose()
    assert answer.body == b'{"usage": {"total_tokens": 1}, "choices": [ ]}'
    assert answer.usage == {"total_tokens": 1}


async def test_a_stream_that_is_cut_fails_the_attempt(inference: Inference) -> None:  # noqa: F811
    with pytest.raises(UpstreamFailure):
        await streamed(inference, chat("sim/gpt@cut=3"))


def test_audio_answers_are_not_streamed() -> None:
    assert can_stream(chat("sim/gpt"))
    assert not can_stream(chat("sim/gpt", modalities=["text", "audio"]))

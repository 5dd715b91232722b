"""Streams: every upstream event arrives, and none that ends badly looks like a success."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from shared.errors import UpstreamFailure, UpstreamRefused, UpstreamTimeout
from shared.inference.inference import Inference
from shared.inference.streaming import ProviderStream
from shared.surfaces.request_types import RESPONSES
from shared.surfaces.sse import EventSplitter, event_data
from simulator.serve import RunningSimulator
from tests.inference.conftest import chat


def texts(raw: bytes) -> str:
    events = [event_data(event) for event in EventSplitter().feed(raw)]
    chunks = [orjson.loads(event) for event in events if event != b"[DONE]"]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


async def collected(stream: ProviderStream) -> bytes:
    return b"".join([events async for events in stream])


async def test_a_stream_says_what_the_answer_says(inference: Inference) -> None:
    whole = orjson.loads((await inference.answer(chat("sim/gpt"))).body)["choices"][0]["message"]["content"]
    stream = await inference.stream(chat("sim/gpt", stream=True, stream_options={"include_usage": True}))
    raw = await collected(stream)
    assert texts(raw) == whole
    assert raw.endswith(b"data: [DONE]\n\n")
    assert stream.usage["completion_tokens"] > 0


async def test_a_responses_stream_ends_with_its_own_event(inference: Inference) -> None:
    call = chat("sim/gpt", request_type=RESPONSES, stream=True, input="hello")
    stream = await inference.stream(call)
    raw = await collected(stream)
    assert b"event: response.completed" in raw
    assert stream.usage["output_tokens"] > 0


async def test_a_failure_before_the_first_byte_is_retried_and_falls_back(inference: Inference) -> None:
    stream = await inference.stream(chat("sim/gpt@status=500,times=1", stream=True))
    assert texts(await collected(stream))
    stream = await inference.stream(chat("hasty/gpt@hang", stream=True, fallbacks=["sim/backup"]))
    assert stream.model == "backup"
    await stream.aclose()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("cut=3", UpstreamFailure),
        ("bad_chunk=3", UpstreamFailure),
        ("error_event=3", UpstreamRefused),
    ],
)
async def test_a_stream_that_ends_badly_raises(inference: Inference, fault: str, error: type[Exception]) -> None:
    stream = await inference.stream(chat(f"sim/gpt@{fault}", stream=True))
    seen: list[bytes] = []

    async def follow() -> None:
        async for events in stream:
            seen.append(events)  # noqa: PERF401 - what was seen before the fault counts

    with pytest.raises(error):
        await follow()
    assert seen, "what came before the fault was passed on"
    assert b"[DONE]" not in b"".join(seen)


async def test_a_responses_stream_without_its_end_raises(inference: Inference) -> None:
    stream = await inference.stream(chat("sim/gpt@no_done", request_type=RESPONSES, stream=True, input="hello"))
    with pytest.raises(UpstreamFailure, match="before the answer was complete"):
        await collected(stream)


async def test_a_stalled_stream_times_out(inference: Inference) -> None:
    stream = await inference.stream(chat("hasty/gpt@stall=2", stream=True))
    with pytest.raises(UpstreamTimeout):
        await collected(stream)


async def test_giving_up_closes_the_upstream(inference: Inference, sim: RunningSimulator) -> None:
    stream = await inference.stream(chat("sim/gpt@stall=2", stream=True))
    await stream.aclose()
    await sim.log.wait_until(lambda log: log.entries[0].outcome == "client_disconnected")


async def test_each_event_is_passed_on_as_it_comes(inference: Inference) -> None:
    stream = await inference.stream(chat("sim/gpt@stall=3", stream=True))
    events: AsyncIterator[bytes] = stream.__aiter__()
    seen = await anext(events)
    while seen.count(b"data:") < 3:
        seen += await asyncio.wait_for(anext(events), 20)
    await stream.aclose()


async def test_a_stream_that_says_nothing_is_an_error(inference: Inference) -> None:
    with pytest.raises(UpstreamFailure):
        await inference.stream(chat("sim/gpt@cut=0", stream=True))

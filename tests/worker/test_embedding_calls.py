"""Single embedding jobs are answered together, and each has its own vectors and tokens."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UpstreamFailure, UpstreamRefused
from shared.inference.assembly import build_inference
from shared.inference.call import Answer, Call
from shared.inference.inference import Inference
from shared.settings.model import Settings
from shared.surfaces.request_types import CHAT, EMBEDDINGS
from simulator.serve import RunningSimulator, running
from worker.embedding_calls import EmbeddingCalls, shares_of

MODEL = "sim/text-embedding-3-small"


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulator]:
    async with running() as simulator:
        yield simulator


@pytest.fixture
async def inference(sim: RunningSimulator) -> AsyncIterator[Inference]:
    provider = {"wire": "openai", "base_url": sim.base_url, "retry": {"max_attempts": 1}}
    inference = build_inference(Settings.model_validate({"providers": {"sim": provider}}), {})
    yield inference
    await inference.aclose()


def call_of(value: Any, model: str = MODEL, **more: Any) -> Call:
    fields = {"model": model, "input": value, **more}
    return Call(request_type=EMBEDDINGS, model=model, body=orjson.dumps(fields), fields=fields, job_id="job")


def read(answer: Answer | None) -> dict[str, Any]:
    assert answer is not None
    return dict(orjson.loads(answer.body))


async def test_many_single_inputs_become_few_calls(inference: Inference, sim: RunningSimulator) -> None:
    calls = EmbeddingCalls(inference)
    own = [call_of(f"text {n}", dimensions=8) for n in range(1000)]
    answers = await asyncio.gather(*(calls.answer(call, None) for call in own))
    assert len(sim.requests) == 4
    alone = read(await inference.answer(call_of("text 7", dimensions=8)))
    assert read(answers[7])["data"] == alone["data"], "its own vector, as if it had been sent alone"
    assert [row["index"] for answer in answers for row in read(answer)["data"]] == [0] * 1000
    sent = [orjson.loads(entry.raw)["input"] for entry in sim.requests[:4]]
    assert sum(map(len, sent)) == 1000
    assert all(read(answer)["usage"]["prompt_tokens"] > 0 for answer in answers)


async def test_a_call_is_sent_when_its_window_ends(inference: Inference, sim: RunningSimulator) -> None:
    calls = EmbeddingCalls(inference, window_s=0.01)
    one, two = await asyncio.gather(calls.answer(call_of("a"), None), calls.answer(call_of(["b", "c"]), None))
    assert (len(read(one)["data"]), len(read(two)["data"])) == (1, 2)
    assert await calls.answer(call_of([1, 2, 3]), None) is not None, "tokens are one input"


async def test_what_differs_in_anything_else_is_not_sent_together(inference: Inference, sim: RunningSimulator) -> None:
    calls = EmbeddingCalls(inference, window_s=0.01)
    await asyncio.gather(
        calls.answer(call_of("a"), None),
        calls.answer(call_of("a", dimensions=8), None),
        calls.answer(call_of("a", model="sim/text-embedding-3-large"), None),
        calls.answer(call_of([[1, 2]]), None),
    )
    assert len(sim.requests) == 4


@pytest.mark.parametrize("value", ["", [], None, 3, ["a", [1]], [{"a": 1}]])
async def test_what_cannot_be_gathered_is_sent_alone(inference: Inference, value: Any) -> None:
    assert await EmbeddingCalls(inference).answer(call_of(value), None) is None


async def test_other_calls_and_long_lists_are_sent_alone(inference: Inference) -> None:
    calls = EmbeddingCalls(inference, max_inputs=2)
    assert await calls.answer(call_of(["a", "b", "c"]), None) is None
    chat = call_of("a")
    chat.request_type = CHAT
    assert await calls.answer(chat, None) is None


async def test_a_request_that_is_refused_says_nothing_about_the_others(
    inference: Inference, sim: RunningSimulator
) -> None:
    calls = EmbeddingCalls(inference, window_s=0.01)
    sim.script(status=400, times=1)
    assert await asyncio.gather(*(calls.answer(call_of(text), None) for text in "ab")) == [None, None]
    sim.script(status=503, times=1)
    with pytest.raises(UpstreamRefused):
        await calls.answer(call_of("a"), None)


async def test_one_that_is_cancelled_leaves_the_others(inference: Inference, sim: RunningSimulator) -> None:
    calls = EmbeddingCalls(inference, window_s=0.05)
    gone = asyncio.create_task(calls.answer(call_of("gone"), None))
    left = asyncio.create_task(calls.answer(call_of("left"), None))
    await asyncio.sleep(0)
    gone.cancel()
    assert len(read(await left)["data"]) == 1
    assert [orjson.loads(entry.raw)["input"] for entry in sim.requests] == ["left"]
    last = asyncio.create_task(calls.answer(call_of("last"), None))
    await asyncio.sleep(0)
    last.cancel()
    (sending,) = calls._sending
    await sending
    assert len(sim.requests) == 1, "nobody waits for it"


async def test_an_answer_that_lacks_inputs_is_a_failure(inference: Inference, monkeypatch: pytest.MonkeyPatch) -> None:
    original = inference.answer

    async def shorter(call: Call, cost: Any = None) -> Answer:
        answer = await original(call, cost)
        answer.body = orjson.dumps({**orjson.loads(answer.body), "data": []})
        return answer

    monkeypatch.setattr(inference, "answer", shorter)
    with pytest.raises(UpstreamFailure):
        await EmbeddingCalls(inference, window_s=0).answer(call_of("a"), None)


@given(st.integers(0, 10_000), st.lists(st.integers(0, 500), min_size=1, max_size=40))
def test_shares_add_up_and_are_fair(total: int, weights: list[int]) -> None:
    parts = shares_of(total, weights)
    if sum(weights):
        assert sum(parts) == total
    assert all(
        abs(part - total * weight / (sum(weights) or 1)) <= 1 for part, weight in zip(parts, weights, strict=True)
    )

"""Answers that no provider should send: each becomes a clear error, and none costs more than its share of memory."""

from collections.abc import AsyncIterator, Callable

import orjson
import pytest

from shared.errors import CircuitOpen, GatewayError, Overloaded, UpstreamFailure, UpstreamRefused
from shared.inference.inference import Inference
from shared.settings.model import KeySettings
from simulator.serve import RunningSimulator
from tests.inference.conftest import chat
from tests.rogue import Rogue, rogue_upstream

SECRET = "sk-PROVIDERSECRET-00000"
KEYS = (KeySettings(name="one", value=SECRET),)


@pytest.fixture
async def rogue() -> AsyncIterator[Rogue]:
    async with rogue_upstream() as upstream:
        yield upstream


@pytest.fixture
def hostile(build: Callable[..., Inference], provider, rogue: Rogue) -> Inference:
    once = {"max_attempts": 1}
    return build(
        providers={
            "sim": provider(
                base_url=rogue.url, keys=KEYS, retry=once, headers={"x-corp-token": "HEADERSECRET-12345", "x-n": "1"}
            )
        },
        webhooks={"w": {"url": "https://example.com", "secret": "whsec_configured"}},
        redis={"url": "redis://:store-password@127.0.0.1:1/0"},
        server={"max_answer_mb": 1},
    )


@pytest.mark.parametrize("status", ["302 Found", "304 Not Modified", "600 What", "999 Nonsense"])
async def test_a_status_outside_of_200_to_599_and_a_redirect_are_502(
    hostile: Inference, rogue: Rogue, status: str
) -> None:
    rogue.answer(status, b"{}", b"location: http://127.0.0.1:1/")
    with pytest.raises(UpstreamFailure) as refusal:
        await hostile.answer(chat("sim/gpt"))
    assert (refusal.value.status, refusal.value.code) == (502, "upstream_error")
    assert status[:3] in refusal.value.message


async def test_a_configured_secret_never_reaches_the_caller(hostile: Inference, rogue: Rogue) -> None:
    error = {
        "message": f"Incorrect API key provided: {SECRET}; x-corp-token HEADERSECRET-12345, x-n: 1.",
        "type": "invalid_request_error",
        "details": [{"whsec_configured": ["store-password", 7]}],
    }
    rogue.answer("401 Unauthorized", orjson.dumps({"error": error}))
    with pytest.raises(UpstreamRefused) as refusal:
        await hostile.answer(chat("sim/gpt"))
    envelope = orjson.dumps(refusal.value.envelope()).decode()
    for secret in (SECRET, "HEADERSECRET", "whsec_configured", "store-password"):
        assert secret not in envelope
    assert refusal.value.message == "Incorrect API key provided: [redacted]; x-corp-token [redacted], x-n: 1."
    assert refusal.value.type == "upstream_authentication_error"


async def test_a_secret_in_the_error_of_a_stream_is_removed_too(hostile: Inference, rogue: Rogue) -> None:
    events = b'data: {"choices": []}\n\ndata: {"error": {"message": "bad %b"}}\n\n' % SECRET.encode()
    rogue.reply = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + events
    stream = await hostile.stream(chat("sim/gpt", stream=True))
    with pytest.raises(UpstreamRefused, match=r"bad \[redacted\]"):
        [_ async for _ in stream]


@pytest.mark.parametrize("declared", [True, False])
async def test_an_answer_above_the_limit_is_refused_once(build, provider, rogue: Rogue, *, declared: bool) -> None:
    inference = build(providers={"sim": provider(base_url=rogue.url)}, server={"max_answer_mb": 1})
    body = b'"' + b"x" * 1024 * 1024 + b'"'
    rogue.answer("200 OK", body)
    if not declared:
        rogue.reply = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + body
    with pytest.raises(UpstreamFailure, match=r"more than 1 MB.*max_answer_mb") as refusal:
        await inference.answer(chat("sim/gpt"))
    assert refusal.value.status == 502
    assert len(rogue.heads) == 1, "another attempt would cost as much and end the same"


async def test_large_answers_are_bounded_in_sum(build, provider, rogue: Rogue) -> None:
    once = {"max_attempts": 1}
    inference = build(
        providers={"sim": provider(base_url=rogue.url, retry=once)}, server={"max_answer_mb": 2, "max_answers_mb": 0.5}
    )
    rogue.answer("200 OK", orjson.dumps({"text": "x" * 1024 * 1024}))
    with pytest.raises(Overloaded, match="max_answers_mb") as refusal:
        await inference.answer(chat("sim/gpt"))
    assert refusal.value.retry_after_s
    rogue.answer("200 OK", orjson.dumps({"text": "x" * 400 * 1024}))
    for _ in range(2):  # what was read is not counted any more
        assert len((await inference.answer(chat("sim/gpt"))).body) > 400 * 1024


async def test_a_provider_that_fails_every_call_is_left_alone_at_any_traffic(
    build, provider, sim: RunningSimulator
) -> None:
    inference = build(providers={"sim": provider(), "other": provider()})
    for _ in range(2):
        with pytest.raises(GatewayError):
            await inference.answer(chat("sim/gpt@status=503"))
    with pytest.raises(CircuitOpen) as refusal:
        await inference.answer(chat("sim/gpt@status=503"))
    assert refusal.value.retry_after_s
    assert len(sim.requests) == 5
    assert (await inference.answer(chat("sim/gpt@status=503", fallbacks=["other/gpt"]))).attempts == 1


async def test_a_400_of_a_fallback_does_not_end_the_chain(inference: Inference) -> None:
    answer = await inference.answer(chat("sim/gpt@status=500", fallbacks=["sim/no@status=400", "sim/yes"]))
    assert answer.model == "yes"


async def test_a_400_of_a_fallback_does_not_hide_the_failure_before_it(inference: Inference) -> None:
    with pytest.raises(UpstreamRefused) as refusal:
        await inference.answer(chat("sim/gpt@status=503", fallbacks=["sim/no@status=400"]))
    assert refusal.value.status == 503


async def test_a_400_of_the_model_itself_is_final(inference: Inference, sim: RunningSimulator) -> None:
    with pytest.raises(UpstreamRefused) as refusal:
        await inference.answer(chat("sim/gpt@status=400", fallbacks=["sim/yes"]))
    assert refusal.value.status == 400
    assert len(sim.requests) == 1


async def test_a_stream_with_its_finish_reason_is_complete_without_done(inference: Inference) -> None:
    stream = await inference.stream(chat("sim/gpt@no_done", stream=True))
    assert b"".join([events async for events in stream]).endswith(b"data: [DONE]\n\n")


async def test_a_stream_whose_second_choice_has_not_finished_is_cut(hostile: Inference, rogue: Rogue) -> None:
    chunks = [
        {"choices": ["no choice", {"index": 0, "delta": {}, "finish_reason": None}, {"index": 1, "delta": {}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    events = b"".join(b"data: %b\n\n" % orjson.dumps(chunk) for chunk in chunks)
    rogue.reply = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + events
    stream = await hostile.stream(chat("sim/gpt", stream=True))
    with pytest.raises(UpstreamFailure, match="before the answer was complete"):
        [_ async for _ in stream]


async def test_callers_headers_are_not_kept_in_caches(build, provider, rogue: Rogue) -> None:
    inference = build(providers={"sim": provider(base_url=rogue.url)})
    rogue.answer("200 OK")
    await inference.answer(chat("sim/gpt", headers={"x-client-request-id": "from the caller"}))
    assert rogue.lines()["x-client-request-id"] == "from the caller"
    assert rogue.lines()["user-agent"] == "finops-gateway"

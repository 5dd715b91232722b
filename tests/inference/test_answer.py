"""One call over real sockets, against an upstream that fails as real ones do."""

import asyncio

import orjson
import pytest

from shared.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelBlocked,
    Overloaded,
    ProviderBlocked,
    UnknownProvider,
    UnsupportedParameter,
    UpstreamFailure,
    UpstreamRefused,
    UpstreamTimeout,
)
from shared.governance.keys.caller import Caller
from shared.inference.call import RetryLater
from shared.inference.inference import Inference
from shared.surfaces.request_types import EMBEDDINGS
from simulator.serve import RunningSimulator
from tests.inference.conftest import chat


def models_asked(sim: RunningSimulator) -> list[str]:
    return [entry.body["model"] for entry in sim.log.entries]


async def test_a_call_is_answered_by_the_provider_in_its_prefix(inference: Inference, sim: RunningSimulator) -> None:
    answer = await inference.answer(chat("sim/sim-echo", surprise={"kept": True}))
    assert orjson.loads(answer.body)["choices"][0]["message"]["content"] == "hello"
    assert (answer.provider, answer.model, answer.attempts) == ("sim", "sim-echo", 1)
    assert answer.usage["total_tokens"] > 0
    assert answer.headers["x-upstream-request-id"].startswith("req_")
    [entry] = sim.log.entries
    assert entry.body == {**chat("sim-echo").fields, "surprise": {"kept": True}}, "unknown fields go on untouched"


async def test_a_model_without_a_prefix_goes_to_openai(inference: Inference) -> None:
    assert (await inference.answer(chat("sim-echo"))).provider == "openai"


async def test_an_unknown_provider_is_named_with_the_configured_ones(inference: Inference) -> None:
    with pytest.raises(UnknownProvider, match="Configured: gone, hasty, keyed, narrow, openai, sim"):
        await inference.answer(chat("nobody/gpt"))
    with pytest.raises(UnknownProvider, match="set GROQ_API_KEY"):
        await inference.answer(chat("groq/llama"))
    with pytest.raises(UnknownProvider, match="no model"):
        await inference.answer(chat("sim/"))


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529])
async def test_a_passing_failure_is_retried(inference: Inference, status: int) -> None:
    answer = await inference.answer(chat(f"sim/gpt@status={status},times=2"))
    assert answer.attempts == 3


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_refusal_is_passed_on_at_once(inference: Inference, sim: RunningSimulator, status: int) -> None:
    with pytest.raises(UpstreamRefused) as refusal:
        await inference.answer(chat(f"sim/gpt@status={status}"))
    assert refusal.value.status == status
    assert len(sim.log.entries) == 1


async def test_a_broken_connection_is_retried_then_told(inference: Inference, sim: RunningSimulator) -> None:
    with pytest.raises(UpstreamFailure, match="'sim'") as failure:
        await inference.answer(chat("sim/gpt@reset"))
    assert failure.value.status == 502
    assert "127.0.0.1" not in failure.value.message
    assert len(sim.log.entries) == 3


async def test_an_answer_cut_short_is_no_answer(inference: Inference) -> None:
    with pytest.raises(UpstreamFailure, match="closed the connection"):
        await inference.answer(chat("sim/gpt@cut=1"))


async def test_an_unreachable_provider_is_a_502(inference: Inference) -> None:
    with pytest.raises(UpstreamFailure, match="cannot be reached"):
        await inference.answer(chat("gone/gpt"))


async def test_a_silent_provider_is_abandoned(inference: Inference, sim: RunningSimulator) -> None:
    with pytest.raises(UpstreamTimeout):
        await inference.answer(chat("hasty/gpt@hang"))
    await sim.log.wait_until(lambda log: log.entries[0].outcome == "client_disconnected")
    assert len(sim.log.entries) == 1, "a silent provider may still be working: the same is not asked again"


async def test_fallbacks_of_the_body_follow_a_spent_model(inference: Inference, sim: RunningSimulator) -> None:
    call = chat("sim/gpt@status=500", fallbacks=["hasty/gpt@hang", {"provider": "sim", "model": "sim-echo"}])
    answer = await inference.answer(call)
    assert answer.model == "sim-echo"
    assert answer.attempts == 5
    assert "fallbacks" not in sim.log.entries[-1].body


async def test_configured_fallbacks_follow_a_spent_model(inference: Inference) -> None:
    assert (await inference.answer(chat("sim/gpt@status=503"))).model == "backup"


async def test_a_context_too_long_for_one_model_goes_to_the_next(inference: Inference, sim: RunningSimulator) -> None:
    answer = await inference.answer(chat("sim/gpt@context_length", fallbacks=["sim/large"]))
    assert answer.model == "large"
    with pytest.raises(UpstreamRefused):
        await inference.answer(chat("sim/gpt@policy", fallbacks=["sim/large"]))
    assert models_asked(sim)[-1] == "gpt@policy"


@pytest.mark.parametrize("fallbacks", ["sim/x", [1], [{"provider": "sim"}], [""], ["sim/x"] * 17])
async def test_fallbacks_that_are_not_understood_are_a_400(inference: Inference, fallbacks: object) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await inference.answer(chat("sim/gpt", fallbacks=fallbacks))
    assert str(refusal.value.param).startswith("fallbacks")


async def test_a_refused_key_is_changed_for_another(inference: Inference, sim: RunningSimulator) -> None:
    answer = await inference.answer(chat("keyed/gpt@status=401,times=1"))
    assert answer.attempts == 2
    first, second = (entry.headers["authorization"] for entry in sim.log.entries)
    assert first != second


async def test_keys_that_are_all_refused_end_it(inference: Inference, sim: RunningSimulator) -> None:
    with pytest.raises(UpstreamRefused) as refusal:
        await inference.answer(chat("keyed/gpt@status=401"))
    assert refusal.value.type == "upstream_authentication_error"
    assert len(sim.log.entries) == 2


async def test_retry_after_is_waited_out_on_a_single_key(inference: Inference) -> None:
    before = asyncio.get_running_loop().time()
    answer = await inference.answer(chat("sim/gpt@status=429,times=1,retry_after_ms=150"))
    assert answer.attempts == 2
    assert asyncio.get_running_loop().time() - before >= 0.15


async def test_a_wait_beyond_patience_ends_a_call_and_defers_a_job(inference: Inference) -> None:
    model = "sim/gpt@status=429,retry_after=30"
    with pytest.raises(UpstreamRefused) as refusal:
        await inference.answer(chat(model, patience_s=1))
    assert refusal.value.retry_after_s == 30
    with pytest.raises(RetryLater) as later:
        await inference.answer(chat(model, patience_s=1, defers=True))
    assert later.value.delay_s == pytest.approx(30, abs=1)


async def test_a_deadline_ends_every_attempt(inference: Inference) -> None:
    deadline = asyncio.get_running_loop().time() + 0.2
    with pytest.raises(DeadlineExceeded):
        await inference.answer(chat("sim/gpt@hang", deadline=deadline))
    with pytest.raises(DeadlineExceeded):
        await inference.answer(chat("sim/gpt", deadline=deadline))


async def test_a_wait_past_the_deadline_is_not_begun(inference: Inference) -> None:
    deadline = asyncio.get_running_loop().time() + 5
    with pytest.raises(UpstreamRefused):
        await inference.answer(chat("sim/gpt@status=429,retry_after=20", deadline=deadline))


async def test_a_caller_that_gives_up_closes_the_upstream(inference: Inference, sim: RunningSimulator) -> None:
    task = asyncio.create_task(inference.answer(chat("sim/gpt@hang")))
    await sim.log.wait_until(lambda log: len(log.entries) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await sim.log.wait_until(lambda log: log.entries[0].outcome == "client_disconnected")


async def test_the_concurrency_limit_lets_the_next_in_when_one_leaves(inference: Inference) -> None:
    answers = await asyncio.gather(*(inference.answer(chat("narrow/gpt@latency=0.05")) for _ in range(2)))
    assert len(answers) == 2
    first = asyncio.create_task(inference.answer(chat("narrow/gpt@hang")))
    second = asyncio.create_task(inference.answer(chat("narrow/gpt")))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await inference.answer(chat("narrow/gpt"))
    first.cancel()
    assert (await second).model == "gpt"


async def test_a_caller_gets_only_what_its_key_allows(inference: Inference) -> None:
    caller = Caller(key_id="a", name="team-a", models=("sim/gpt*",))
    with pytest.raises(ProviderBlocked):
        await inference.answer(chat("keyed/gpt", caller=caller))
    with pytest.raises(ModelBlocked):
        await inference.answer(chat("sim/other", caller=caller))
    answer = await inference.answer(chat("sim/gpt", caller=caller, fallbacks=["keyed/gpt"]))
    assert answer.provider == "sim"


async def test_a_refused_call_is_refused_before_a_job_is_made(inference: Inference, sim: RunningSimulator) -> None:
    await inference.authorise(chat("sim/gpt"))
    with pytest.raises(UnknownProvider):
        await inference.authorise(chat("nobody/gpt"))
    assert not sim.log.entries


async def test_an_unsupported_request_type_is_refused(build, provider) -> None:
    inference = build(providers={"deepseek": provider()})
    with pytest.raises(UnsupportedParameter, match="'deepseek' does not support embeddings"):
        await inference.answer(chat("deepseek/x", request_type=EMBEDDINGS))


async def test_a_job_sends_its_id_as_idempotency_key(inference: Inference, sim: RunningSimulator) -> None:
    await inference.answer(chat("sim/gpt", job_id="job-1", headers={"openai-beta": "x"}))
    assert sim.log.entries[0].headers["idempotency-key"] == "job-1"
    assert sim.log.entries[0].headers["openai-beta"] == "x"

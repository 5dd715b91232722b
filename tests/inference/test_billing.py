"""Billing of calls: reserved before, priced and booked after, however they end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest

from shared.errors import BudgetExceeded, GatewayError, RequestLimited, UpstreamFailure, UpstreamTimeout
from shared.governance.keys.caller import Caller
from shared.governance.limits.model import Limit
from shared.inference.assembly import build_billing, build_inference
from shared.inference.billing import Billing
from shared.inference.call import Call
from shared.inference.call_cost import CallCost
from shared.inference.inference import Inference
from shared.inference.streaming import ProviderStream
from shared.settings.model import Settings
from shared.store.multiplexed import MultiplexedClient
from shared.surfaces.request_types import EMBEDDINGS, MODERATIONS, TRANSCRIPTIONS
from simulator.serve import RunningSimulator
from tests.inference.conftest import chat

TEAM = Caller(key_id="a", name="a", limits=(Limit("cost", "key:a", "1d", 10_000), Limit("requests", "key:a", "1m", 50)))


@pytest.fixture(scope="module")
def warm() -> None:
    build_billing(Settings(), MultiplexedClient("redis://127.0.0.1:9/0"))


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[MultiplexedClient]:
    client = MultiplexedClient(redis_url)
    yield client
    await client.aclose()


Build = Callable[..., tuple[Inference, Billing]]


@pytest.fixture
async def build(warm: None, store: MultiplexedClient, sim: RunningSimulator) -> AsyncIterator[Build]:
    built: list[Inference] = []

    def build(**overrides: Any) -> tuple[Inference, Billing]:
        provider = {"wire": "openai", "base_url": sim.base_url, "retry": {"max_attempts": 1}}
        settings = Settings.model_validate(
            {
                "providers": {"sim": provider, "other": {**provider, **overrides.pop("other", {})}},
                "prices": {"sim/*": {"input": 1, "output": 10}, "other/*": {"input": 2, "output": 20}},
                **overrides,
            }
        )
        billing = Billing(settings, store)
        built.append(build_inference(settings, {}, billing=billing))
        return built[-1], billing

    yield build
    for inference in built:
        await inference.aclose()


async def entries(billing: Billing, store: MultiplexedClient) -> list[dict[str, Any]]:
    await billing.ledger.flush()
    return [orjson.loads(fields[1]) for _, fields in await store.execute("XRANGE", "finops:ledger", "-", "+")]


async def spent(store: MultiplexedClient, scope: str) -> tuple[int, int]:
    keys = await store.execute("KEYS", f"finops:meter:cost:{scope}:*")
    used, held = await store.execute("HMGET", keys[0], "u", "h")
    return int(used or 0), int(held or 0)


async def test_an_answer_says_what_it_cost_and_is_booked(build: Build, store: MultiplexedClient) -> None:
    inference, billing = build()
    answer = await inference.answer(chat("sim/gpt", caller=TEAM))
    usage = orjson.loads(answer.body)["usage"]
    cost = usage["prompt_tokens"] + usage["completion_tokens"] * 10
    assert answer.headers["x-bf-cost-usd"] == f"{cost / 1e6:.6f}"
    assert answer.headers["x-ratelimit-limit-requests"] == "50"
    assert answer.headers["x-ratelimit-remaining-requests"] == "49"
    (entry,) = await entries(billing, store)
    assert (entry["cost"], entry["key"], entry["provider"], entry["model"]) == (cost, "a", "sim", "gpt")
    assert (entry["status"], entry["attempts"], entry["priced"]) == (200, 1, True)
    assert await spent(store, "key:a") == (cost, 0)


async def test_a_spent_budget_is_refused_before_the_provider_is_asked(
    build: Build, store: MultiplexedClient, sim: RunningSimulator
) -> None:
    inference, billing = build()
    poor = Caller(key_id="p", name="p", limits=(Limit("cost", "key:p", "1d", 1),))
    await inference.answer(chat("sim/gpt", caller=poor))
    await billing.ledger.flush()
    with pytest.raises(BudgetExceeded):
        await inference.answer(chat("sim/gpt", caller=poor))
    assert [entry["status"] for entry in await entries(billing, store)] == [200, 402]
    assert "attempts" not in (await entries(billing, store))[1]


async def test_a_failed_call_costs_nothing_and_is_booked(build: Build, store: MultiplexedClient) -> None:
    inference, billing = build()
    with pytest.raises(GatewayError):
        await inference.answer(chat("sim/gpt@status=500", caller=TEAM))
    (entry,) = await entries(billing, store)
    assert (entry["status"], entry.get("cost", 0), entry["priced"]) == (500, 0, True)
    assert await spent(store, "key:a") == (0, 0)


async def test_a_stream_is_settled_at_its_end(build: Build, store: MultiplexedClient) -> None:
    inference, billing = build()
    call = chat("sim/gpt", caller=TEAM, stream=True, stream_options={"include_usage": True})
    stream = await inference.stream(call)
    assert (await spent(store, "key:a"))[1] > 0
    async for _ in stream:
        pass
    (entry,) = await entries(billing, store)
    assert entry["cost"] == stream.usage["prompt_tokens"] + 10 * stream.usage["completion_tokens"]
    assert "estimated" not in entry
    assert await spent(store, "key:a") == (entry["cost"], 0)
    assert orjson.loads(stream.ledger) == entry


async def test_the_gateway_has_a_stream_counted_whose_caller_did_not_ask(
    build: Build, store: MultiplexedClient, sim: RunningSimulator
) -> None:
    inference, billing = build()
    seen = b"".join([events async for events in await inference.stream(chat("sim/gpt", stream=True))])
    assert b"prompt_tokens" not in seen
    assert sim.requests[-1].body["stream_options"] == {"include_usage": True}
    (entry,) = await entries(billing, store)
    assert "estimated" not in entry
    assert entry["cost"] == entry["input"] + 10 * entry["output"] > 0


async def test_a_stream_without_a_count_is_estimated(build: Build, store: MultiplexedClient) -> None:
    inference, billing = build(other={"stream_usage": False})
    async for _ in await inference.stream(chat("other/gpt", stream=True)):
        pass
    (entry,) = await entries(billing, store)
    assert entry["estimated"]
    assert entry["output"] > 1
    assert entry["cost"] > 0


async def test_a_stream_that_is_given_up_is_settled(build: Build, store: MultiplexedClient) -> None:
    inference, billing = build()
    stream = await inference.stream(chat("sim/gpt", caller=TEAM, stream=True))
    await stream.aclose()
    await inference.late_reads.wait()
    (entry,) = await entries(billing, store)
    assert "estimated" not in entry, "it is read on for the provider's count"
    assert entry["cost"] == entry["input"] + 10 * entry["output"]
    assert await spent(store, "key:a") == (entry["cost"], 0)


@pytest.mark.parametrize(("model", "status"), [("sim/gpt@tokens=40,tps=100", 499), ("sim/gpt@tokens=2", 200)])
async def test_a_stream_whose_reader_left_early_is_booked_as_left(
    build: Build, store: Any, model: str, status: int
) -> None:
    inference, billing = build()
    caller = Caller(key_id="l", name="l", limits=(Limit("cost", "key:l", "1d", 10**9),))
    stream = await inference.stream(chat(model, caller=caller, stream=True))
    await stream.aclose()
    await inference.late_reads.wait()
    (entry,) = await entries(billing, store)
    assert (entry["status"], "estimated" in entry) == (status, False)


@pytest.mark.parametrize("fault", ["cut=3", "stall=3", "bad_chunk=3"])
async def test_what_a_stream_reserved_is_charged_if_its_count_never_comes(
    build: Build, store: MultiplexedClient, fault: str
) -> None:
    inference, billing = build()
    caller = Caller(key_id="l", name="l", limits=(Limit("cost", "key:l", "1d", 10**9),))
    stream = await inference.stream(chat(f"sim/gpt@{fault},tps=50", caller=caller, stream=True, max_tokens=1000))
    await stream.aclose()
    if "stall" in fault:
        await inference.late_reads.aclose()
    await inference.late_reads.wait()
    (entry,) = await entries(billing, store)
    assert (entry["status"], entry["estimated"], entry["output"]) == (499, True, 1000)
    assert await spent(store, "key:l") == (entry["cost"], 0)


@pytest.mark.parametrize(("fault", "counted"), [("ttft=0.2,tokens=12", True), ("stall=0", False)])
@pytest.mark.parametrize("limited", [True, False])
async def test_a_stream_whose_caller_leaves_before_its_first_event_is_read_on(
    build: Build, store: MultiplexedClient, sim: RunningSimulator, fault: str, counted: bool, limited: bool
) -> None:
    inference, billing = build()
    waits = asyncio.Event()

    class Watched(ProviderStream):
        async def begin(self) -> bool:
            waits.set()
            return await super().begin()

    inference._stream_class = Watched
    limits = (Limit("cost", "key:l", "1d", 10**9),) if limited else ()
    caller = Caller(key_id="l", name="l", limits=limits)
    asked = asyncio.create_task(inference.stream(chat(f"sim/gpt@{fault}", caller=caller, stream=True, max_tokens=900)))
    await waits.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    if not counted:
        await inference.late_reads.aclose()
    await inference.late_reads.wait()
    (entry,) = await entries(billing, store)
    assert (entry["status"], entry.get("estimated", False)) == (499, not (counted and limited))
    assert entry.get("output", 0) == ((12 if counted else 900) if limited else 0)
    if limited:
        assert await spent(store, "key:l") == (entry["cost"], 0)
    await sim.wait_until(lambda log: log.open_count == 0)


async def test_a_stream_that_does_not_begin_in_time_is_not_read_on(build: Build, store: MultiplexedClient) -> None:
    inference, billing = build(other={"timeouts": {"first_token_s": 0.2}})
    caller = Caller(key_id="l", name="l", limits=(Limit("cost", "key:l", "1d", 10**9),))
    with pytest.raises(UpstreamTimeout):
        await inference.stream(chat("other/gpt@stall=0", caller=caller, stream=True))
    await inference.late_reads.wait()
    (entry,) = await entries(billing, store)
    assert entry["status"] == 504
    assert await spent(store, "key:l") == (0, 0)


async def test_a_stream_that_is_cut_is_settled_once(build: Build, store: MultiplexedClient) -> None:
    inference, billing = build()
    stream = await inference.stream(chat("sim/gpt@cut=3", caller=TEAM, stream=True))
    with pytest.raises(UpstreamFailure):
        async for _ in stream:
            pass
    (entry,) = await entries(billing, store)
    assert entry["status"] >= 500
    assert entry["estimated"]


async def test_a_fallback_pays_with_its_own_meter(build: Build, store: MultiplexedClient) -> None:
    inference, billing = build(models={"sim/*": {"budget": {"limit_usd": 1}}}, other={"budget": {"limit_usd": 1}})
    answer = await inference.answer(chat("sim/gpt@status=503", caller=TEAM, fallbacks=["other/gpt"]))
    assert answer.provider == "other"
    (entry,) = await entries(billing, store)
    assert entry["fallbacks"] == 1
    assert await spent(store, "provider:other") == (entry["cost"], 0)
    assert await spent(store, "model:sim/*") == (0, 0)
    assert await spent(store, "key:a") == (entry["cost"], 0)


async def test_a_fallback_without_room_is_left_out(build: Build) -> None:
    inference, _ = build(other={"rate_limit": {"requests": 1, "window": "1d"}})
    call = chat("sim/gpt@status=503", fallbacks=["other/gpt"])
    await inference.answer(call)
    with pytest.raises(GatewayError) as refused:
        await inference.answer(call)
    assert refused.value.status == 503
    with pytest.raises(RequestLimited):
        await inference.answer(chat("other/gpt"))


async def test_a_keys_own_fallbacks_are_tried(build: Build) -> None:
    inference, _ = build()
    caller = Caller(key_id="f", name="f", fallbacks=("other/gpt",))
    assert (await inference.answer(chat("sim/gpt@status=503", caller=caller))).provider == "other"


async def test_content_is_booked_only_where_configured_and_redacted(build: Build, store: MultiplexedClient) -> None:
    inference, billing = build(log={"content": True, "redact": ["hel+o"]})
    await inference.answer(chat("sim/gpt"))
    (entry,) = await entries(billing, store)
    assert "hello" not in entry["content"]["request"]
    assert "[redacted]" in entry["content"]["request"]
    assert entry["content"]["answer"]


async def test_an_unknown_price_leaves_out_the_cost_header(build: Build, store: MultiplexedClient) -> None:
    inference, billing = build(prices={})
    answer = await inference.answer(chat("sim/gpt"))
    assert "x-bf-cost-usd" not in answer.headers
    (entry,) = await entries(billing, store)
    assert entry["priced"] is False


async def test_a_stream_that_is_read_no_further_than_its_answers_end_is_not_given_up(
    build: Build, store: MultiplexedClient
) -> None:
    inference, billing = build()
    stream = await inference.stream(chat("sim/gpt", stream=True, stream_options={"include_usage": True}))
    async for events in stream:
        if b"[DONE]" in events:
            break
    await stream.aclose()
    (entry,) = await entries(billing, store)
    assert (entry["status"], entry.get("estimated"), entry["output"]) == (200, None, stream.usage["completion_tokens"])


async def test_a_count_that_came_at_a_streams_beginning_does_not_pay_for_the_rest(
    build: Build, store: MultiplexedClient, sim: RunningSimulator
) -> None:
    inference, billing = build(other={"wire": "anthropic", "base_url": f"{sim.origin}/anthropic"})
    stream = await inference.stream(chat("other/claude-haiku-4-5@tokens=50,tps=200", stream=True, max_tokens=60))
    came = 0
    async for events in stream:
        came += events.count(b"data:")
        if came > 5:
            break
    assert 0 < stream.usage["completion_tokens"] < came
    await stream.aclose()
    (entry,) = await entries(billing, store)
    assert (entry["status"], entry["estimated"], entry["output"]) == (499, True, came)
    assert entry["input"] == stream.usage["prompt_tokens"]


def billed(billing: Billing, call: Call, reported: dict[str, Any], body: bytes) -> dict[str, Any]:
    call_cost = CallCost(billing, call)
    call_cost.sent("sim", "gpt", "")
    entry: dict[str, Any] = orjson.loads(call_cost.answered(reported, 200, body))
    return entry


async def test_an_answer_without_a_count_is_estimated_and_never_free(build: Build) -> None:
    _, billing = build(prices={"sim/*": {"input": 1, "output": 10, "second": 0.0001}})
    entry = billed(billing, chat("sim/gpt"), {}, b"x" * 400)
    assert (entry["output"], entry["estimated"], entry["priced"]) == (101, True, True)
    long = billed(billing, chat("sim/gpt", max_tokens=7), {}, b"x" * 400)
    assert long["output"] == 7, "no more than was allowed"
    vectors = billed(billing, chat("sim/gpt", request_type=EMBEDDINGS), {}, b"x" * 400)
    assert "output" not in vectors
    description = billed(billing, chat("sim/gpt", request_type=TRANSCRIPTIONS), {}, b"text")
    assert (description["estimated"], description["audio_ms"] > 0, description["cost"] > 0) == (True, True, True)
    judged = billed(billing, chat("sim/gpt", request_type=MODERATIONS), {}, b"{}")
    assert "estimated" not in judged


async def test_a_job_that_is_refused_is_booked_as_a_refused_call_is(build: Build, store: MultiplexedClient) -> None:
    inference, billing = build()
    poor = Caller(key_id="p", name="p", limits=(Limit("cost", "key:p", "1d", 0),))
    with pytest.raises(BudgetExceeded):
        await inference.reserve("job", chat("sim/gpt", caller=poor))
    (entry,) = await entries(billing, store)
    assert (entry["status"], entry["key"], "job" in entry) == (402, "p", False)


async def test_a_jobs_estimate_holds_what_an_ended_run_is_charged(build: Build) -> None:
    inference, _ = build(prices={"sim/*": {"input": 1, "output": 10, "discount": 0.1}, "other/*": {"input": 2}})
    estimate = dict((await inference.reserve("a", chat("sim/gpt", caller=TEAM))).estimate)
    prompt = estimate["input"]
    assert prompt > 0
    assert estimate == {
        "provider": "sim",
        "model": "gpt",
        "input": prompt,
        "output": 128_000,
        "priced": True,
        "cost": round(prompt * 0.9),
        "list": prompt,
        "output_rate": 9_000_000,
        "output_list_rate": 10_000_000,
    }
    half = (await inference.reserve("b", chat("other/gpt"))).estimate
    assert (half["priced"], half["cost"], "output_rate" in half) == (True, 2 * half["input"], False)
    inference, _ = build(prices={})
    unknown = (await inference.reserve("c", chat("sim/gpt"))).estimate
    assert (unknown["input"], unknown["priced"], "cost" in unknown) == (prompt, False, False)

"""Budgets hold: calls are limited to what is left, and what has no price is refused."""

from typing import Any

import orjson
import pytest

from shared.errors import PriceUnknown
from shared.governance.keys.caller import Caller
from shared.governance.limits.model import Limit
from shared.governance.limits.runs import Run
from shared.governance.pricing.prices import UNPRICED
from shared.inference.output_limits import can_limit_output, with_output_limit
from shared.inference.passthrough import RawRequest
from shared.store.multiplexed import MultiplexedClient
from shared.surfaces.forwarded_paths import TEMPLATES
from shared.surfaces.request_types import COMPLETIONS, EMBEDDINGS, RESPONSES
from simulator.serve import RunningSimulator
from tests.inference.conftest import chat
from tests.inference.test_billing import Build, build, entries, spent, store, warm

__all__ = ["build", "store", "warm"]


def capped(micro_usd: int, key: str = "c") -> Caller:
    return Caller(key_id=key, name=key, limits=(Limit("cost", f"key:{key}", "1d", micro_usd),))


async def test_a_call_without_a_limit_goes_out_with_what_the_budget_pays_for(
    build: Build, store: MultiplexedClient, sim: RunningSimulator
) -> None:
    inference, billing = build()
    caller = capped(1_000)
    answer = await inference.answer(chat("sim/gpt@tokens=5000", caller=caller))
    sent = sim.requests[-1].body["max_tokens"]
    assert 0 < sent < 100, "of 1,000 micro-USD at 10 a token"
    assert answer.usage["completion_tokens"] <= sent
    await billing.ledger.flush()
    used, held = await spent(store, "key:c")
    assert 0 < used <= 1_000
    assert held == 0


async def test_a_call_that_the_budget_pays_for_goes_out_as_it_came(build: Build, sim: RunningSimulator) -> None:
    inference, _ = build()
    await inference.answer(chat("sim/gpt", caller=capped(10**9)))
    assert "max_tokens" not in sim.requests[-1].body


async def test_concurrent_calls_never_reserve_more_than_the_budget(build: Build, store: MultiplexedClient) -> None:
    inference, _ = build()
    caller = capped(10_000)
    stream = await inference.stream(chat("sim/gpt@tps=50,tokens=200", caller=caller, stream=True))
    used, held = await spent(store, "key:c")
    assert (used, held) == (0, 10_000), "the whole budget for the answer without a limit"
    await stream.aclose()


@pytest.mark.parametrize("limit", [{"max_tokens": "60000"}, {"max_tokens": -1}, {"max_output_tokens": 1}])
async def test_a_caller_cannot_choose_a_small_reservation(
    build: Build, store: MultiplexedClient, limit: dict[str, Any]
) -> None:
    inference, billing = build()
    reservation = await billing.reserve(
        chat("sim/gpt", caller=capped(10**9), **limit), inference._route(chat("sim/gpt"))
    )
    assert reservation.cost >= 128_000 * 10


async def test_the_limit_is_named_as_the_target_knows_it(build: Build, sim: RunningSimulator) -> None:
    inference, _ = build(
        providers={"openai": {"base_url": sim.base_url}, "sim": {"wire": "openai", "base_url": sim.base_url}}
    )
    strict, other = (inference.providers[name] for name in ("openai", "sim"))
    target = inference._route(chat("openai/gpt"))[0]
    assert target.provider is strict
    call = chat("openai/gpt")
    limited = with_output_limit(call, target, 20)
    assert limited.body == call.body[:-1] + b',"max_completion_tokens":20}'
    assert limited.fields["max_completion_tokens"] == 20
    lenient = inference._route(chat("sim/gpt"))[0]
    assert lenient.provider is other
    assert with_output_limit(call, lenient, 20).fields["max_tokens"] == 20
    empty = with_output_limit(chat("sim/gpt", max_tokens=None), lenient, 20)
    assert orjson.loads(empty.body)["max_tokens"] == 20
    response = with_output_limit(chat("sim/gpt", request_type=RESPONSES), lenient, 20)
    assert orjson.loads(response.body)["max_output_tokens"] == 20
    text = with_output_limit(chat("sim/gpt", request_type=COMPLETIONS), lenient, 20)
    assert orjson.loads(text.body)["max_tokens"] == 20


def test_what_cannot_be_limited() -> None:
    assert can_limit_output(chat("m"))
    assert not can_limit_output(chat("m", max_tokens=5))
    assert not can_limit_output(chat("m", request_type=EMBEDDINGS))
    stored = chat("m", request_type=RESPONSES, previous_response_id="resp_1")
    assert not can_limit_output(stored)
    stored.stored_tokens = 5
    assert can_limit_output(stored)


async def test_what_has_no_price_is_refused_under_a_budget(
    build: Build, store: MultiplexedClient, sim: RunningSimulator
) -> None:
    inference, billing = build(prices={})
    before = len(sim.requests)
    with pytest.raises(PriceUnknown, match=r'\[prices\."sim/gpt"\]\ninput = 1\.0\noutput = 4\.0') as refused:
        await inference.answer(chat("sim/gpt", caller=capped(10**9)))
    assert (refused.value.status, refused.value.code) == (402, "price_unknown")
    assert len(sim.requests) == before
    (entry,) = await entries(billing, store)
    assert (entry["status"], entry["code"]) == (402, "price_unknown")
    tokens = Caller(key_id="t", name="t", limits=(Limit("tokens", "key:t", "1d", 10**6),))
    await inference.answer(chat("sim/gpt", caller=tokens))
    await inference.answer(chat("sim/gpt"))


async def test_unpriced_calls_are_let_pass_where_that_is_configured(build: Build) -> None:
    inference, _ = build(prices={}, ledger={"unpriced": "allow"})
    await inference.answer(chat("sim/gpt", caller=capped(10**9)))


async def test_a_tool_without_a_price_is_refused_by_name(build: Build) -> None:
    inference, _ = build()
    call = chat("sim/gpt", caller=capped(10**9), web_search_options={})
    with pytest.raises(PriceUnknown, match=r"web_search = 0\.01"):
        await inference.answer(call)


async def test_an_unpriced_fallback_is_passed_over(build: Build) -> None:
    inference, _ = build(prices={"sim/*": {"input": 1, "output": 10}})
    call = chat("sim/gpt@status=503", caller=capped(10**9), fallbacks=["other/gpt"])
    with pytest.raises(Exception) as refused:  # noqa: PT011 - the provider's own 503
        await inference.answer(call)
    assert refused.value.status == 503


async def test_a_job_reserves_the_models_maximum_and_is_charged_it_when_cancelled(build: Build) -> None:
    inference, _ = build()
    estimate = (await inference.reserve("j", chat("sim/gpt", caller=capped(10**9)))).estimate
    assert estimate["output"] == 128_000


async def test_a_run_whose_cap_only_the_store_knows_refuses_what_has_no_price(
    build: Build, store: MultiplexedClient
) -> None:
    inference, billing = build(prices={"sim/priced": {"input": 1, "output": 10}})
    capped_run = chat("sim/priced")
    capped_run.run = Run("r", 10**6)
    await inference.answer(capped_run)
    await billing.ledger.flush()
    later = chat("sim/other")
    later.run = Run("r")
    with pytest.raises(PriceUnknown):
        await inference.answer(later)
    await billing.ledger.flush()
    free = chat("sim/other")
    free.run = Run("uncapped")
    await inference.answer(free)


def forwarded(path: str, body: dict[str, Any]) -> RawRequest:
    return RawRequest(
        method="POST", path=path, provider="openai", body=orjson.dumps(body), content_type="application/json"
    )


@pytest.mark.parametrize("path", ["/videos", "/vector_stores", "/threads/runs", "/fine_tuning/jobs"])
async def test_what_is_forwarded_without_a_price_is_refused_under_a_budget(
    build: Build, sim: RunningSimulator, path: str
) -> None:
    inference, _ = build(providers={"openai": {"base_url": sim.base_url}})
    before = len(sim.requests)
    with pytest.raises(PriceUnknown, match=rf'\[prices\."openai{path}"\]\nrequest = 0\.10'):
        await inference.forwarder.forward(forwarded(path, {"model": "sora-2"}), capped(10**9))
    assert len(sim.requests) == before


async def test_every_forwarded_request_that_makes_something_needs_a_price_under_a_budget(
    build: Build, sim: RunningSimulator
) -> None:
    inference, _ = build(providers={"openai": {"base_url": sim.base_url}})
    before, refused = len(sim.requests), 0
    for template in TEMPLATES:
        path = template.text.replace("{id}", "x_1").replace("{part}", "y_1")
        if "POST" not in template.methods or forwarded(path, {}).free or path == "/batches":
            continue  # providers charge nothing for these; a batch's lines are priced one by one
        with pytest.raises(PriceUnknown) as error:
            await inference.forwarder.forward(forwarded(path, {}), capped(10**9))
        assert (error.value.status, error.value.code) == (402, "price_unknown")
        assert f'[prices."openai{path}"]' in error.value.message
        refused += 1
    assert refused > 50
    assert len(sim.requests) == before


@pytest.mark.parametrize(
    ("prices", "body", "micro_usd"),
    [
        ({"openai/videos": {"second": 0.1}}, {"model": "sora-2", "seconds": "8"}, 800_000),
        ({"openai/sora-2": {"second": 0.1}}, {"model": "sora-2", "seconds": 12}, 1_200_000),
        ({"openai/sora-2": {"second": 0.1}}, {}, 400_000),
        ({"openai/sora-2": {"second": 0.1}}, {"seconds": "long"}, 6_000_000),
        ({"openai/videos": {"request": 0.5}}, {"seconds": "8"}, 500_000),
        ({"openai/videos": {"input": 1}}, {}, None),
    ],
)
async def test_videos_are_priced_by_their_seconds(
    build: Build, prices: dict[str, Any], body: dict[str, Any], micro_usd: int | None
) -> None:
    _, billing = build(prices=prices)
    cost = billing.forwarded_cost("openai", "/videos", body)
    assert (cost.micro_usd if cost.priced else None) == micro_usd


async def test_a_forwarded_request_is_reserved_at_its_price(build: Build, store: MultiplexedClient) -> None:
    _, billing = build(prices={"openai/threads/*": {"request": 0.5}})
    call = chat("openai/threads/runs", caller=capped(10**9))
    cost = billing.forwarded_cost("openai", "/threads/runs", {})
    await billing.check_forwarded(call, "openai", cost=cost)
    assert await spent(store, "key:c") == (0, 500_000)


async def test_a_forwarded_request_of_a_run_whose_cap_only_the_store_knows(build: Build) -> None:
    inference, billing = build()
    first = chat("sim/gpt")
    first.run = Run("r", 10**6)
    await inference.answer(first)
    await billing.ledger.flush()
    call = chat("openai/videos")
    call.run = Run("r")
    with pytest.raises(PriceUnknown):
        await billing.check_forwarded(call, "openai", cost=UNPRICED)

"""Lanes that are open to a job, by its request, its targets, and what is known of them."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from shared.errors import StoreUnavailable
from shared.inference.assembly import build_billing, build_inference, build_lanes
from shared.inference.call import Call
from shared.inference.lane_choice import LaneChooser, may_use_batch, may_use_flex
from shared.patience.lanes import JobLane, Lane
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.surfaces.request_types import CHAT, EMBEDDINGS, IMAGE_GENERATIONS, RESPONSES, RequestType
from tests.inference.conftest import chat

PRICE = {"input": 1000, "output": 1000}
CHEAPER = {"batch_discount": 0.5, "flex_discount": 0.4}
PROVIDER: dict[str, Any] = {"wire": "openai", "base_url": "http://127.0.0.1:9/v1", "keys": [{"value": "sk-test-1"}]}
BOTH = {**PROVIDER, "batches": True, "flex": True}
SETTINGS: dict[str, Any] = {
    "providers": {"both": BOTH, "plain": PROVIDER, "cheap": PROVIDER, "foreign": {**BOTH, "wire": "anthropic"}},
    "prices": {"both/*": {**PRICE, **CHEAPER}, "cheap/*": {"input": 1, "output": 1}, "plain/priced": PRICE},
    "routes": {
        "smart": {
            "targets": [{"model": "both/m"}, {"model": "cheap/m", "weight": 1e-9}, {"model": "plain/x", "weight": 1e-9}]
        }
    },
    "ledger": {"unpriced": "allow"},
}
DAY_S = 86_400
ASSUMED = {"assumed_flex_s": 60, "assumed_batch_s": 3600, "assumed_now_s": 10, "margin_s": 5, "margin_share": 0}
Choose = Callable[..., LaneChooser]


@pytest.fixture
async def choose(commands: RedisCommands) -> AsyncIterator[Choose]:
    opened = []

    def build(**patience: Any) -> LaneChooser:
        settings = Settings.model_validate({**SETTINGS, "jobs": {"patience": {**ASSUMED, **patience}}})
        billing = build_billing(settings, commands)
        opened.append(build_inference(settings, {}, billing=billing))
        return build_lanes(opened[-1], billing, commands, settings)

    yield build
    for inference in opened:
        await inference.aclose()


def call(model: str = "both/m", request_type: RequestType = CHAT, **fields: Any) -> Call:
    return chat(model, request_type=request_type, **fields)


async def lane_of(lanes: LaneChooser, patience_s: float = DAY_S, model: str = "both/m", **more: Any) -> JobLane:
    return await lanes.choose(call(model), patience_s, 1_000_000, **more)


def target(lanes: LaneChooser, model: str = "both/m") -> Any:
    return lanes._catalogue.targets(call(model))[0]


async def test_the_lane_follows_the_patience(choose: Choose) -> None:
    lanes = choose()
    assert await lane_of(lanes, 0) == JobLane(lane=Lane.NOW)
    assert await lane_of(lanes, 70) == JobLane(lane=Lane.NOW, due_ms=1_070_000)
    assert (await lane_of(lanes, 74)).lane == Lane.NOW, "60 s for flex, 10 s for a run, 5 s of margin"
    flex = await lane_of(lanes, 75)
    assert (flex.lane, flex.promote_ms, flex.due_ms) == (Lane.FLEX, 1_060_000, 1_075_000)
    batch = await lane_of(lanes, 3615)
    assert (batch.lane, batch.promote_ms) == (Lane.BATCH, 4_600_000)
    assert batch.saving > flex.saving > 0
    assert (await lane_of(lanes, starts_later=True)).lane == Lane.FLEX, "a batch would start before"


async def test_a_share_of_the_patience_is_kept_for_outages(choose: Choose) -> None:
    lanes = choose(margin_share=0.1)
    assert (await lane_of(lanes, 83)).lane == Lane.NOW
    flex = await lane_of(lanes, 100)
    assert (flex.lane, flex.promote_ms) == (Lane.FLEX, 1_075_000), "10 s, besides 10 s for a run and 5 s of margin"


async def test_without_times_everything_runs_now(choose: Choose) -> None:
    assert (await lane_of(choose(assumed_flex_s=0, assumed_batch_s=0))).lane == Lane.NOW
    assert (await lane_of(choose(lanes=["least_cost"]))).lane == Lane.NOW
    assert (await lane_of(choose(), model="plain/m")).lane == Lane.NOW, "its price is not known"


async def test_lanes_can_be_closed(choose: Choose) -> None:
    assert (await lane_of(choose(lanes=["flex"]))).lane == Lane.FLEX
    assert (await lane_of(choose(lanes=[]))).lane == Lane.NOW


async def test_measured_times_replace_what_is_assumed(choose: Choose) -> None:
    lanes = choose(min_samples=3)
    for _ in range(2):
        await lanes.times.record("both/m", Lane.BATCH, 1.0)
    assert (await lane_of(choose(min_samples=3), 100)).lane == Lane.FLEX, "two answers are too few"
    await lanes.times.record("both/m", Lane.BATCH, 1.0)
    assert (await lane_of(choose(min_samples=3), 100)).lane == Lane.BATCH
    for _ in range(3):
        await lanes.times.record("both/m", Lane.BATCH, None)
    assert (await lane_of(choose(min_samples=3))).lane == Lane.FLEX, "half of the answers were late"


async def test_the_cheapest_target_of_a_route_needs_measured_times(choose: Choose) -> None:
    lanes = choose(lanes=["least_cost"], min_samples=1)
    assert (await lane_of(lanes, model="smart")).lane == Lane.NOW
    await lanes.times.record("cheap/m", Lane.NOW, 1.0)
    lane = await lane_of(choose(lanes=["least_cost"], min_samples=1), model="smart")
    assert (lane.lane, lane.model) == (Lane.LEAST_COST, "cheap/m")


async def test_a_store_that_is_away_knows_no_times(choose: Choose, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> None:
        raise StoreUnavailable

    lanes = choose(assumed_batch_s=0)
    monkeypatch.setattr(lanes.times, "of", away)
    assert (await lane_of(lanes)).lane == Lane.FLEX, "what the operator assumes still counts"


@pytest.mark.parametrize(
    "fields",
    [
        {"store": False},
        {"service_tier": "priority"},
        {"tools": [{"type": "web_search"}]},
        {"tools": [{"type": "function"}, "?"]},
        {"tools": "?"},
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"web_search_options": {"a": 1}},
        {"stream": True},
    ],
)
async def test_what_does_not_belong_into_a_batch_stays_out(choose: Choose, fields: dict[str, Any]) -> None:
    assert not may_use_batch(call(**fields), target(choose()))


async def test_what_may_go_into_a_batch(choose: Choose) -> None:
    both = target(choose())
    assert may_use_batch(call(tools=[{"type": "function", "function": {"name": "f"}}], service_tier="auto"), both)
    assert may_use_batch(call(request_type=EMBEDDINGS), both)
    assert not may_use_batch(call(request_type=IMAGE_GENERATIONS), both)
    assert not may_use_batch(chat("both/m", headers={"openai-beta": "x"}), both), "lines have no headers"


async def test_what_may_use_the_flex_tier(choose: Choose) -> None:
    lanes = choose()
    assert may_use_flex(call(request_type=RESPONSES), target(lanes))
    assert not may_use_flex(call(request_type=EMBEDDINGS), target(lanes))
    assert not may_use_flex(call(service_tier="flex"), target(lanes)), "the caller has chosen"
    assert not may_use_flex(call(), target(lanes, "plain/m"))
    assert not may_use_flex(call(), target(lanes, "foreign/m"))
    anthropic = call()
    anthropic.surface = "anthropic"
    assert not may_use_flex(anthropic, target(lanes))

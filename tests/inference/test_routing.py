"""Names that configuration gives: aliases, routes, fallbacks of a key."""

from collections import Counter

import orjson
import pytest

from shared.errors import ModelBlocked, UnknownProvider
from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.inference.assembly import build_inference
from shared.inference.billing import Billing
from shared.providers.registry import IncompleteProvider
from shared.settings.model import RouteSettings, Settings
from shared.settings.prices import PriceSettings
from shared.store.commands import RedisCommands
from simulator.serve import RunningSimulator
from tests.inference.conftest import chat


def route(strategy: str, **weights: float) -> RouteSettings:
    targets = [{"model": name.replace("__", "/"), "weight": weight} for name, weight in weights.items()]
    return RouteSettings.model_validate({"strategy": strategy, "targets": targets})


async def test_an_alias_stands_for_a_model(build, provider, sim: RunningSimulator) -> None:
    inference = build(providers={"sim": provider()}, aliases={"fast": "quick", "quick": "sim/gpt"})
    answer = await inference.answer(chat("fast"))
    assert (answer.provider, answer.model) == ("sim", "gpt")
    assert sim.requests[-1].body["model"] == "gpt"
    answer = await inference.answer(chat("sim/gpt@status=500", fallbacks=["fast"]))
    assert answer.model == "gpt"


async def test_a_weighted_route_spreads_its_calls(build, provider) -> None:
    inference = build(providers={"sim": provider()}, routes={"smart": route("weighted", sim__a=1, sim__b=3)})
    chosen = Counter([(await inference.answer(chat("smart"))).model for _ in range(60)])
    assert set(chosen) == {"a", "b"}
    assert chosen["b"] > chosen["a"]
    session = {(await inference.answer(chat("smart", session="s-1"))).model for _ in range(10)}
    assert len(session) == 1, "a session stays where its prompt is cached"


async def test_what_a_route_did_not_choose_is_its_fallback(build, provider) -> None:
    bad = "sim__gpt@status=500"
    inference = build(
        providers={"sim": provider()}, routes={"smart": route("weighted", **{bad: 1_000_000}, sim__b=0.001)}
    )
    answer = await inference.answer(chat("smart"))
    assert (answer.model, answer.attempts) == ("b", 4)


async def test_the_cheapest_is_asked_first(provider, commands: RedisCommands) -> None:
    settings = Settings(
        providers={"sim": provider()},
        prices={
            "sim/dear": PriceSettings(input=1, output=20),
            "sim/cheap": PriceSettings(input=3, output=10),
            "sim/*": PriceSettings(),
        },
        routes={"thrifty": route("least_cost", sim__dear=1, sim__unknown=1, sim__cheap=1)},
    )
    inference = build_inference(settings, {}, billing=Billing(settings, commands))
    assert (await inference.answer(chat("thrifty"))).model == "cheap"
    await inference.aclose()
    inference = build_inference(settings, {})
    assert (await inference.answer(chat("thrifty"))).model == "dear", "without prices, the first"
    await inference.aclose()


async def test_the_quickest_is_asked_first_once_all_were_tried(build, provider) -> None:
    models = {"sim__slow@latency=1": 1.0, "sim__quick": 1.0}
    inference = build(providers={"sim": provider()}, routes={"brisk": route("least_latency", **models)})
    first = [(await inference.answer(chat("brisk"))).model for _ in range(2)]
    assert set(first) == {"slow@latency=1", "quick"}
    assert {(await inference.answer(chat("brisk"))).model for _ in range(5)} == {"quick"}


async def test_a_caller_gets_what_it_may_use_of_a_route(build, provider) -> None:
    inference = build(providers={"sim": provider()}, routes={"smart": route("weighted", sim__a=1000, sim__b=0.01)})
    caller = Caller(key_id="k", name="k", models=("sim/b",))
    assert (await inference.answer(chat("smart", caller=caller))).model == "b"
    with pytest.raises(ModelBlocked):
        await inference.answer(chat("smart", caller=Caller(key_id="k", name="k", models=("sim/c",))))


async def test_a_keys_own_fallbacks_come_before_the_configured(build, provider) -> None:
    inference = build(providers={"sim": provider()}, fallbacks={"sim/gpt@status=500": ("sim/common",)})
    caller = Caller(key_id="k", name="k", fallbacks=("sim/own",))
    assert (await inference.answer(chat("sim/gpt@status=500", caller=caller))).model == "own"
    assert (await inference.answer(chat("sim/gpt@status=500"))).model == "common"
    asked = await inference.answer(chat("sim/gpt@status=500", caller=caller, fallbacks=["sim/asked"]))
    assert asked.model == "asked"


async def test_the_names_are_among_the_models(build, provider) -> None:
    inference = build(
        providers={"sim": provider(models=("a",))},
        aliases={"fast": "sim/a"},
        routes={"smart": route("weighted", sim__b=1)},
    )
    assert {str(model["id"]) for model in await inference.catalogue.models(ANONYMOUS)} == {"fast", "smart", "sim/a"}
    only = await inference.catalogue.models(Caller(key_id="k", models=("sim/b",)))
    assert [model["id"] for model in only] == ["smart"]
    assert orjson.dumps(only)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"aliases": {"a": "b", "b": "a"}}, "refers to itself"),
        ({"aliases": {"a": "nobody/gpt"}}, "aliases.a: Unknown provider 'nobody'"),
        ({"routes": {"r": route("weighted", nobody__gpt=1)}}, "routes.r: Unknown provider 'nobody'"),
    ],
)
def test_a_name_that_does_not_resolve_is_refused_at_start(settings, reason: str) -> None:
    with pytest.raises(IncompleteProvider, match=reason):
        build_inference(Settings(**settings), {})


async def test_a_route_may_be_reached_by_an_alias(build, provider) -> None:
    inference = build(
        providers={"sim": provider()}, aliases={"best": "smart"}, routes={"smart": route("weighted", sim__a=1)}
    )
    assert (await inference.answer(chat("best"))).model == "a"
    with pytest.raises(UnknownProvider):
        await inference.answer(chat("smarter"))

"""The cache on the inference path: what is stored, whose it is, and that it is never in the way."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from shared.cache.entry import CacheEntry
from shared.cache.policy import CachePolicy
from shared.cache.store import CacheStore
from shared.cache.use import CacheUse
from shared.errors import GatewayError, NotCached, PriceUnknown
from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.governance.limits.model import Limit
from shared.inference.answer_cache import AnswerCache, debugged, response_of_events
from shared.inference.assembly import SharedStore, build_billing, build_inference
from shared.inference.call import Call
from shared.inference.inference import Inference
from shared.settings.cache import CacheSettings
from shared.settings.model import Settings
from shared.store.link import Link
from shared.store.multiplexed import MultiplexedClient
from shared.surfaces.request_types import RESPONSES
from shared.telemetry.upstream import UNWATCHED
from simulator.serve import RunningSimulator
from tests.inference.conftest import chat

EXACT = {"mode": "exact", "lookup_timeout_s": 30}
MEMBER = Caller(key_id="k", team="red", customer="acme")


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[MultiplexedClient]:
    client = MultiplexedClient(redis_url)
    yield client
    await client.aclose()


Build = Callable[..., Inference]


@pytest.fixture
async def build_cached(store: MultiplexedClient, sim: RunningSimulator) -> AsyncIterator[Build]:
    built: list[Inference] = []

    def build(*, billed: bool = False, **tables: Any) -> Inference:
        provider = {"wire": "openai", "base_url": sim.base_url, "retry": {"max_attempts": 1}}
        settings = Settings.model_validate(
            {"providers": {"sim": provider, "other": provider}, "cache": EXACT, **tables}
        )

        def subscription() -> Any:
            raise AssertionError("nothing is started here")

        shared = SharedStore(store, subscription)
        billing = build_billing(settings, store) if billed else None
        built.append(build_inference(settings, {}, store=shared, billing=billing))
        return built[-1]

    yield build
    for inference in built:
        await inference.aclose()


def cached(call: Call, inference: Inference, **headers: str) -> Call:
    assert inference.cache
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return replace(call, cache=inference.cache.use_of(named, call.caller, call.request_type.name))


async def settled(inference: Inference) -> None:
    assert inference.cache
    await inference.cache.store.flush()


def use_of(call: Call) -> CacheUse:
    assert call.cache
    return call.cache


async def test_answers_are_served_without_billing(build_cached: Build, sim: RunningSimulator) -> None:
    inference = build_cached()
    first = await inference.answer(cached(chat("sim/gpt"), inference))
    await settled(inference)
    again = await inference.answer(cached(chat("sim/gpt"), inference))
    assert again.body == first.body
    assert (again.attempts, again.ledger) == (0, b"")
    stream = await inference.stream(cached(chat("sim/gpt", stream=True), inference))
    assert b"".join([events async for events in stream]).endswith(b"[DONE]\n\n")
    await stream.aclose()
    assert len(sim.requests) == 1


async def test_without_a_store_or_in_mode_off_there_is_no_cache(build: Build, build_cached: Build) -> None:
    assert build_cached(cache={}).cache is None
    assert build(cache=CacheSettings(mode="exact")).cache is None


async def test_a_cache_of_its_own_is_opened_and_closed(build_cached: Build, redis_url: str) -> None:
    inference = build_cached(cache={**EXACT, "url": redis_url})
    await inference.answer(cached(chat("sim/gpt"), inference))
    await settled(inference)
    assert inference.cache
    assert (await inference.cache.store.size())[0] == 1


async def test_a_store_that_is_away_does_not_fail_calls(build_cached: Build) -> None:
    inference = build_cached(cache={**EXACT, "url": "redis://127.0.0.1:9/0"})
    for _ in range(5):
        call = cached(chat("sim/gpt"), inference)
        answer = await inference.answer(call)
        assert answer.status == 200
        assert use_of(call).result == "miss"


@pytest.mark.parametrize(
    ("scope", "equal", "other"),
    [
        ("shared", Caller(key_id="x"), None),
        ("customer", Caller(key_id="x", customer="acme"), Caller(key_id="x", customer="b", team="red")),
        ("team", Caller(key_id="x", team="red"), Caller(key_id="x", team="blue", customer="acme")),
        ("key", replace(MEMBER, team="blue"), Caller(key_id="x", team="red", customer="acme")),
        ("customer", MEMBER, Caller(key_id="acme")),
        ("team", MEMBER, Caller(key_id="red")),
        ("key", MEMBER, Caller(scope="k")),
    ],
)
async def test_scopes(store: MultiplexedClient, scope: Any, equal: Caller, other: Caller | None) -> None:
    settings = CacheSettings(mode="exact", scope=scope)
    cache = AnswerCache(CacheStore(store, settings), settings, UNWATCHED)
    assert cache.scope_of(equal) == cache.scope_of(MEMBER)
    assert other is None or cache.scope_of(other) != cache.scope_of(MEMBER)
    assert cache.use_of({}, ANONYMOUS, "images.generations") is None


async def test_an_answer_of_another_model_than_asked_is_not_stored(build_cached: Build, sim: RunningSimulator) -> None:
    inference = build_cached(fallbacks={"sim/gpt@status=503": ["other/backup"]})
    call = cached(chat("sim/gpt@status=503"), inference)
    assert (await inference.answer(call)).model == "backup"
    assert not use_of(call).stored
    streamed = cached(chat("sim/gpt@status=503", stream=True), inference)
    stream = await inference.stream(streamed)
    assert [events async for events in stream]
    assert not use_of(streamed).stored


async def test_a_stream_that_breaks_is_not_stored(build_cached: Build) -> None:
    inference = build_cached()
    broken = "sim/gpt@cut=2"
    stream = await inference.stream(cached(chat(broken, stream=True), inference))
    with pytest.raises(GatewayError):
        _ = [events async for events in stream]
    await settled(inference)
    call = cached(chat(broken), inference, cache_control="only-if-cached")
    with pytest.raises(NotCached):
        await inference.answer(call)


async def test_a_call_without_a_price_is_refused_under_a_budget_though_an_answer_is_stored(build_cached: Build) -> None:
    inference = build_cached(billed=True)
    await inference.answer(cached(chat("sim/gpt"), inference))
    await settled(inference)
    limited = replace(ANONYMOUS, limits=(Limit("cost", "key:p", "1d", 1_000_000),))
    with pytest.raises(PriceUnknown):
        await inference.answer(cached(chat("sim/gpt", caller=limited), inference))


async def test_an_answer_that_was_cut_to_what_a_budget_had_left_is_not_stored(build_cached: Build) -> None:
    prices = {"sim/*": {"input": 1, "output": 10, "max_output": 100_000}}
    inference = build_cached(billed=True, prices=prices)
    caller = Caller(key_id="p", limits=(Limit("cost", "key:p", "1d", 10_000),))
    call = cached(chat("sim/gpt", caller=caller), inference)
    assert (await inference.answer(call)).status == 200
    assert not use_of(call).stored


async def test_a_call_that_fails_while_it_is_looked_up_leaves_nothing_behind(build_cached: Build) -> None:
    inference = build_cached(billed=True, prices={"sim/*": {"input": 1, "output": 1}})
    caller = Caller(key_id="r", limits=(Limit("requests", "key:r", "1d", 1),))
    await inference.answer(cached(chat("sim/gpt", caller=caller), inference))
    with pytest.raises(GatewayError) as refused:
        await inference.answer(cached(chat("sim/gpt", caller=caller), inference))
    assert refused.value.code == "request_limited"


async def test_answers_that_are_too_large_or_not_json_are_not_stored(
    build_cached: Build, sim: RunningSimulator
) -> None:
    inference = build_cached(cache={**EXACT, "max_entry_kb": 1})
    assert inference.cache
    call = cached(chat("sim/gpt"), inference)
    answer = await inference.answer(call)
    inference.cache.writer.store_answer(call, use_of(call), replace(answer, body=b" " * 2000 + answer.body), None)
    assert not use_of(call).stored
    other = cached(chat("sim/other"), inference)
    inference.cache.writer.store_answer(other, use_of(other), replace(answer, content_type="text/plain"), None)
    assert not use_of(other).stored


@pytest.mark.parametrize("pointer", ["another-scope", "\xff", "{scope}-gone", "{own}"])
async def test_a_damaged_pointer_to_a_near_entry_is_a_miss(
    build_cached: Build, store: MultiplexedClient, pointer: str
) -> None:
    inference = build_cached(cache={**EXACT, "mode": "near"})
    call = cached(chat("sim/gpt", messages=[{"role": "user", "content": "How are you today?"}]), inference)
    assert inference.cache
    assert await inference.stored_answer(call) is None
    use = use_of(call)
    assert use.slot and use.slot.near
    value = pointer.format(scope=use.slot.scope, own=use.slot.id).encode("latin-1")
    await store.execute("SET", use.slot.near, value, "PX", 60_000)
    assert await inference.stored_answer(call) is None


async def test_a_look_up_travels_with_the_admission_of_a_call_that_has_limits(
    build_cached: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bytes] = []
    flush = Link._flush

    def recorded(link: Link) -> None:
        writes.append(b"".join(link._outgoing))
        flush(link)

    monkeypatch.setattr(Link, "_flush", recorded)
    inference = build_cached(billed=True, prices={"sim/*": {"input": 1, "output": 1}})
    caller = Caller(key_id="r", limits=(Limit("requests", "key:r", "1d", 10), Limit("cost", "key:r", "1d", 10**9)))
    for seed in range(3):
        await inference.answer(cached(chat("sim/gpt", caller=caller, seed=seed), inference))
    look_ups = [write for write in writes if b"$4\r\nMGET" in write]
    assert len(look_ups) == 3
    assert all(b"EVALSHA" in write for write in look_ups)


async def test_without_a_cache_there_is_no_stored_answer(build_cached: Build) -> None:
    assert await build_cached(cache={}).stored_answer(chat("sim/gpt")) is None


def test_debug_leaves_other_bodies_alone() -> None:
    use = CacheUse(policy=CachePolicy(ttl_s=1), scope="s")
    assert debugged(b"<html>", use) == b"<html>"
    assert debugged(b"[1]", use) == b"[1]"
    extra = orjson.loads(debugged(b'{"extra_fields":{"a":1}}', use))["extra_fields"]
    assert extra == {"a": 1, "cache_debug": {"cache_hit": False}}


@pytest.mark.parametrize("body", [b"[]", b"data: {}\n\n", b": nothing\n\nevent: x\n\n", b"event: x\n\n"])
def test_a_body_without_a_response_has_none(body: bytes) -> None:
    if body.startswith(b":"):
        body = body[body.index(b"event") :]
    assert response_of_events(body) is None


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"id":"resp_1","text":"1 of 1"}', b'"text":"1 of 1"}'),
        (b'{"id":"other","text":"1"}', b'{"id":"other","text":"1"}'),
    ],
)
async def test_only_the_id_of_a_response_is_replaced(store: MultiplexedClient, body: bytes, kept: bytes) -> None:
    settings = CacheSettings(mode="exact")
    cache = AnswerCache(CacheStore(store, settings), settings, UNWATCHED)
    use = CacheUse(policy=CachePolicy(ttl_s=60), scope="s")
    use.entry = CacheEntry(at=0, ttl_s=60, provider="p", model="m", usage={}, body=body)
    answer = await cache.answer(chat("sim/gpt", request_type=RESPONSES), use, None)
    assert answer.body.endswith(kept)
    assert b'"resp_1"' not in answer.body

"""Answers past their time to live: served to who accepts them, while they are refreshed, or instead of an error."""

import re
import time
from typing import Any

import pytest

from shared.errors import GatewayError, NotCached
from shared.inference import refreshes
from shared.inference.inference import Inference
from shared.settings.cache import CacheSettings
from simulator.serve import RunningSimulator
from tests.inference.conftest import chat
from tests.inference.test_answer_cache import Build, build_cached, cached, settled, store, use_of
from tests.waiting import wait_until

__all__ = ["build_cached", "store"]  # fixtures

LATE_S = 20


def settings(**more: Any) -> dict[str, Any]:
    return {"mode": "exact", "lookup_timeout_s": 30, "ttl_s": 100, **more}


async def age(inference: Inference, model: str = "sim/gpt", *, stream: bool = False) -> None:
    """Store an answer that has been stale for ``LATE_S`` seconds."""
    call = cached(chat(model, stream=stream), inference)
    if stream:
        _ = [events async for events in await inference.stream(call)]
    else:
        await inference.answer(call)
    await settled(inference)
    slot = use_of(call).slot
    assert slot and inference.cache
    entry = (await inference.cache.store.found(slot, inference.cache.store.begin(slot))).entry
    assert entry
    inference.cache.store.store(slot, entry._replace(at=time.time() - 100 - LATE_S))
    await settled(inference)


async def status(inference: Inference, model: str = "sim/gpt", **headers: str) -> str:
    answer = await inference.answer(cached(chat(model), inference, **headers))
    await settled(inference)
    return answer.headers["cache-status"].removeprefix("finops; ")


def late_s(status: str) -> int:
    """Return how many seconds past its time to live the answer of a status is."""
    found = re.fullmatch(r"hit; ttl=-(\d+); detail=stale", status)
    assert found, status
    return int(found[1])


async def test_callers_accept_stale_answers_with_max_stale(build_cached: Build, sim: RunningSimulator) -> None:
    inference = build_cached(cache=settings(stale_if_error_s=1000))
    await age(inference)
    assert late_s(await status(inference, cache_control="max-stale")) >= LATE_S
    assert (await status(inference, cache_control="max-stale=60")).endswith("detail=stale")
    with pytest.raises(NotCached):
        await status(inference, cache_control="only-if-cached, max-stale=5")
    with pytest.raises(NotCached):
        await status(inference, cache_control="only-if-cached, max-stale=soon")
    with pytest.raises(NotCached):
        await status(inference, cache_control="only-if-cached, max-stale, max-age=60")
    assert len(sim.requests) == 1
    assert await status(inference) == "fwd=stale; stored"


async def test_a_failing_provider_is_replaced_by_what_it_answered_before(
    build_cached: Build, sim: RunningSimulator
) -> None:
    inference = build_cached(
        cache=settings(stale_if_error_s=1000), billed=True, prices={"sim/*": {"input": 1, "output": 1}}
    )
    await age(inference)
    sim.script(model="gpt", times=2, status=503)
    assert late_s(await status(inference)) >= LATE_S
    stream = await inference.stream(cached(chat("sim/gpt", stream=True), inference))
    assert b"".join([events async for events in stream]).endswith(b"[DONE]\n\n")
    sim.script(model="gpt", times=1, status=400)
    with pytest.raises(GatewayError) as refused:
        await status(inference)
    assert refused.value.status == 400


async def test_too_late_an_answer_does_not_replace_an_error(build_cached: Build, sim: RunningSimulator) -> None:
    inference = build_cached(cache=settings(stale_if_error_s=1000))
    await age(inference)
    assert inference.cache
    inference.cache.settings = CacheSettings(mode="exact", stale_if_error_s=LATE_S - 10)
    sim.script(model="gpt", times=1, status=503)
    with pytest.raises(GatewayError):
        await status(inference)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stale_answer_is_served_and_refreshed_once(
    build_cached: Build, sim: RunningSimulator, stream: bool
) -> None:
    inference = build_cached(cache=settings(stale_while_revalidate_s=1000))
    assert inference.cache
    refreshing = inference.cache._refreshes._tasks
    for model in ("sim/gpt", "sim/other"):
        await age(inference, model, stream=stream)
    sim.script(model="gpt", times=1, hang=True)  # its refresh, which is cancelled at the end
    for model in ("sim/gpt", "sim/gpt", "sim/gpt", "sim/other"):
        call = cached(chat(model, stream=stream), inference)
        if stream:
            assert [events async for events in await inference.stream(call)]
        else:
            await inference.answer(call)
        assert use_of(call).headers(time.time())["cache-status"].endswith("detail=stale")
    await wait_until(lambda: len(sim.requests) == 4 and len(refreshing) == 1)
    await settled(inference)
    assert (await status(inference, "sim/other")).endswith("detail=exact")
    assert len(sim.requests) == 4


async def test_a_refresh_that_fails_or_has_no_room_changes_nothing(
    build_cached: Build, sim: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    inference = build_cached(cache=settings(stale_while_revalidate_s=1000))
    await age(inference)
    sim.script(model="gpt", times=1, status=503)
    assert (await status(inference)).endswith("detail=stale")
    assert inference.cache
    await wait_until(lambda: len(sim.requests) == 2 and not inference.cache._refreshes._tasks)
    monkeypatch.setattr(refreshes, "MOST_AT_ONCE", 0)
    assert (await status(inference)).endswith("detail=stale")
    assert not inference.cache._refreshes._tasks
    monkeypatch.setattr(refreshes, "MOST_AT_ONCE", 1)
    assert (await status(inference)).endswith("detail=stale")  # its refresh is cancelled at the end

"""Keys, circuits, limits and patience, as calls meet them over real sockets."""

import asyncio
import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from shared.errors import (
    CircuitOpen,
    DeadlineExceeded,
    ModelNotFound,
    Overloaded,
    ProviderRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from shared.inference.call import RetryLater
from shared.inference.inference import Inference
from shared.settings.model import KeySettings, Settings, TimeoutSettings
from simulator.serve import RunningSimulator
from tests.inference.conftest import chat
from tests.waiting import wait_until

KEYS = tuple(KeySettings(name=name, value=f"sk-test-key-number-{name}") for name in ("one", "two", "three"))
BREAKER = {"window_s": 30, "min_requests": 3, "error_rate": 0.5, "open_s": 1}


def keys_used(sim: RunningSimulator) -> Counter[str]:
    return Counter(entry.headers["authorization"].rpartition("-")[2] for entry in sim.requests)


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_a_key_that_was_refused_is_left_alone_by_later_calls(build, provider, sim: RunningSimulator) -> None:
    inference = build(providers={"sim": provider(keys=KEYS)})
    sim.script(times=1, status=401)
    await inference.answer(chat("sim/gpt"))
    refused = next(iter(sim.requests)).headers["authorization"].rpartition("-")[2]
    for _ in range(20):
        await inference.answer(chat("sim/gpt"))
    assert keys_used(sim)[refused] == 1


async def test_a_session_stays_with_its_key_until_that_rests(build, provider, sim: RunningSimulator) -> None:
    inference = build(providers={"sim": provider(keys=KEYS)})
    for _ in range(10):
        await inference.answer(chat("sim/gpt", session="s-1"))
    [(first, _)] = keys_used(sim).items()
    sim.script(times=1, status=429, retry_after=60)
    for _ in range(10):
        await inference.answer(chat("sim/gpt", session="s-1"))
    assert keys_used(sim)[first] == 11
    assert len(keys_used(sim)) == 2


async def test_a_key_that_is_for_other_models_is_not_used(build, provider) -> None:
    keys = (KeySettings(name="only", value="sk-test-key-number-one", models=("gpt-4*",)),)
    inference = build(providers={"sim": provider(keys=keys), "other": provider()})
    assert (await inference.answer(chat("sim/gpt-4o"))).model == "gpt-4o"
    with pytest.raises(ModelNotFound):
        await inference.answer(chat("sim/o3"))
    assert (await inference.answer(chat("sim/o3", fallbacks=["other/o3"]))).provider == "other"


async def test_a_known_rest_is_not_asked_about_again(build, provider, sim: RunningSimulator) -> None:
    inference = build(providers={"sim": provider(), "other": provider()})
    model = "sim/gpt@status=429,retry_after=30"
    with pytest.raises(UpstreamRefused):
        await inference.answer(chat(model, patience_s=1))
    with pytest.raises(ProviderRateLimited) as refusal:
        await inference.answer(chat(model, patience_s=1))
    assert 10 < (refusal.value.retry_after_s or 0) <= 30
    assert len(sim.requests) == 1
    assert (await inference.answer(chat(model, fallbacks=["other/backup"]))).attempts == 1, "no time is lost on it"


async def test_a_short_rest_is_waited_out(build, provider) -> None:
    inference = build(providers={"sim": provider()})
    with pytest.raises(UpstreamRefused):
        await inference.answer(chat("sim/gpt@status=429,retry_after_ms=200,times=1", patience_s=0.1))
    assert (await inference.answer(chat("sim/gpt@status=429,retry_after_ms=200,times=1"))).attempts == 1


async def test_an_account_without_money_is_not_waited_for(build, provider, sim: RunningSimulator) -> None:
    inference = build(providers={"sim": provider(keys=KEYS[:1])})
    with pytest.raises(UpstreamRefused):
        await inference.answer(chat("sim/gpt@status=402"))
    assert len(sim.requests) == 1


async def test_a_circuit_opens_probes_and_closes(build, provider, sim: RunningSimulator) -> None:
    inference = build(providers={"sim": provider(breaker=BREAKER)})
    sim.script(model="gpt", times=3, status=503)
    with pytest.raises(UpstreamRefused):
        await inference.answer(chat("sim/gpt"))
    with pytest.raises(CircuitOpen) as refusal:
        await inference.answer(chat("sim/gpt"))
    assert refusal.value.retry_after_s
    assert inference.states()["sim"]["circuits"][0]["circuit"] == "open"
    await wait_until(lambda: inference.states()["sim"]["circuits"][0]["circuit"] == "half_open")
    assert len(sim.requests) == 3
    assert (await inference.answer(chat("sim/gpt"))).attempts == 1
    assert inference.states()["sim"]["circuits"] == []


async def test_a_circuit_that_opens_under_a_call_ends_it_with_what_it_met(build, provider, sim) -> None:
    inference = build(providers={"sim": provider(breaker={**BREAKER, "min_requests": 2, "open_s": 60})})
    with pytest.raises(UpstreamRefused) as refusal:
        await inference.answer(chat("sim/gpt@status=500"))
    assert refusal.value.status == 500
    assert len(sim.requests) == 2
    with pytest.raises(RetryLater, match="circuit_open"):
        await inference.answer(chat("sim/gpt@status=500", defers=True))


async def test_a_job_whose_patience_ends_soon_tries_an_open_circuit(build, provider, sim: RunningSimulator) -> None:
    inference = build(providers={"sim": provider(breaker={**BREAKER, "open_s": 3000})})
    sim.script(model="gpt", times=3, status=503)
    with pytest.raises(UpstreamRefused):
        await inference.answer(chat("sim/gpt"))
    with pytest.raises(RetryLater) as later:
        await inference.answer(chat("sim/gpt", defers=True, due=soon(100_000)))
    assert (later.value.reason, later.value.delay_s > 2000) == ("circuit_open", True)
    health = inference._board["sim"]
    circuit = next(iter(health._circuits.values()))
    circuit._entered_at = health._clock() + 3000
    with pytest.raises(RetryLater) as later:
        await inference.answer(chat("sim/gpt", defers=True, due=soon(1000)))
    assert later.value.delay_s == pytest.approx(250, abs=25), "another job has just tried"
    circuit._entered_at = health._clock() - 3000
    answer = await inference.answer(chat("sim/gpt", defers=True, due=soon(1000)))
    assert (answer.attempts, len(sim.requests)) == (1, 4)


@pytest.mark.parametrize(("due_s", "reason"), [(1000, "circuit_open"), (-1, None), (None, None)])
async def test_a_job_with_patience_comes_back_after_an_outage(build, provider, due_s, reason) -> None:
    inference = build(providers={"sim": provider(breaker={**BREAKER, "open_s": 3000})})
    due = None if due_s is None else soon(due_s)
    with pytest.raises((RetryLater, UpstreamRefused)) as ended:
        await inference.answer(chat("sim/gpt@status=503", defers=True, due=due))
    assert getattr(ended.value, "reason", None) == reason
    if isinstance(ended.value, RetryLater):
        assert ended.value.delay_s == pytest.approx(250, abs=25)


async def test_a_request_that_fails_alone_fails_whatever_patience_is_left(build, provider) -> None:
    inference = build(providers={"sim": provider()})
    with pytest.raises(UpstreamRefused):
        await inference.answer(chat("sim/gpt@status=503", defers=True, due=soon(1000)))
    with pytest.raises(UpstreamRefused):
        await inference.answer(chat("sim/gpt@status=400", defers=True, due=soon(1000)))


async def test_streams_that_break_off_open_the_circuit_too(build, provider) -> None:
    inference = build(providers={"sim": provider(breaker={**BREAKER, "min_requests": 1, "open_s": 60})})
    stream = await inference.stream(chat("sim/gpt@cut=3", stream=True))
    with pytest.raises(Exception, match="closed the connection"):
        [_ async for _ in stream]
    with pytest.raises(CircuitOpen):
        await inference.stream(chat("sim/gpt@cut=3", stream=True))


async def test_a_provider_that_says_too_many_gets_fewer_at_once(build, provider, sim: RunningSimulator) -> None:
    inference = build(providers={"sim": provider(concurrency=16)})
    sim.script(model="gpt", times=1, status=429, latency=0.05)
    sim.script(model="gpt", latency=0.02)
    await asyncio.gather(*(inference.answer(chat("sim/gpt")) for _ in range(16)))
    assert inference.states()["sim"]["concurrency"]["limit"] < 16
    for _ in range(20):
        await asyncio.gather(*(inference.answer(chat("sim/gpt@latency=0")) for _ in range(16)))
        if inference.states()["sim"]["concurrency"]["limit"] == 16:
            break
    assert inference.states()["sim"]["concurrency"]["limit"] == 16, "and as many as before once it recovers"


async def test_more_than_may_wait_is_refused_while_the_process_responds(build, provider, sim: RunningSimulator) -> None:
    inference: Inference = build(providers={"sim": provider(concurrency=4), "quick": provider()})
    calls = [asyncio.create_task(inference.answer(chat("sim/gpt@hang"))) for _ in range(200)]
    await wait_until(lambda: sum(call.done() for call in calls) == 192)
    refusals = [call.exception() for call in calls if call.done()]
    assert all(isinstance(refusal, Overloaded) and refusal.retry_after_s for refusal in refusals)
    async with asyncio.timeout(20):
        assert (await inference.answer(chat("quick/gpt"))).status == 200
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await sim.wait_until(lambda log: log.open_count == 0)


async def test_a_job_that_finds_no_place_comes_back(build, provider) -> None:
    inference = build(providers={"sim": provider(concurrency=1)})
    first = asyncio.create_task(inference.answer(chat("sim/gpt@hang")))
    await asyncio.sleep(0)
    with pytest.raises(RetryLater, match="overloaded"):
        await inference.answer(chat("sim/gpt", defers=True, patience_s=0.05))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_all_attempts_together_are_bounded(build, provider, sim: RunningSimulator) -> None:
    retry = {"max_attempts": 20, "backoff_initial_s": 0.1, "backoff_max_s": 0.1}
    inference = build(providers={"sim": provider(retry=retry)}, server={"max_total_s": 0.3})
    with pytest.raises((UpstreamRefused, DeadlineExceeded)):
        await inference.answer(chat("sim/gpt@status=500"))
    assert len(sim.requests) < 8


async def test_a_stream_must_begin_in_time_and_may_then_go_on(build, provider) -> None:
    inference = build(providers={"sim": provider()})
    with pytest.raises(DeadlineExceeded):
        await inference.stream(chat("sim/gpt@ttft=5", stream=True, begin_by=soon(0.2)))
    stream = await inference.stream(chat("sim/gpt@tps=5,tokens=12", stream=True, begin_by=soon(2)))
    assert b"[DONE]" in b"".join([events async for events in stream])


async def test_the_first_token_may_take_longer_than_any_later_one(build, provider) -> None:
    timeouts = TimeoutSettings(total_s=600, first_token_s=300, stream_idle_s=0.15)
    inference = build(providers={"sim": provider(timeouts=timeouts)})
    stream = await inference.stream(chat("sim/gpt@ttft=0.4", stream=True))
    assert b"[DONE]" in b"".join([events async for events in stream])
    stream = await inference.stream(chat("sim/gpt@stall=3", stream=True))
    with pytest.raises(UpstreamTimeout, match="in time"):
        [_ async for _ in stream]  # after 0.15 s, not after 300


def still(sim: RunningSimulator, looks: int = 20) -> Callable[[], bool]:
    """Whether the upstream has sent nothing for so many looks."""
    seen = [-1]

    def look() -> bool:
        frames = sim.requests[0].frames
        seen[:] = [*seen, frames] if seen[-1] == frames else [frames]
        return len(seen) > looks

    return look


async def test_a_slow_reader_holds_the_upstream_back_and_no_memory(build, provider, sim: RunningSimulator) -> None:
    inference = build(providers={"sim": provider()})
    stream = await inference.stream(chat("sim/gpt@tokens=60000", stream=True))
    events = aiter(stream)
    await anext(events)
    tracemalloc.start()
    try:
        await wait_until(still(sim), timeout_s=60)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sim.requests[0].status == 200
    assert sim.log.open_count == 1, "the upstream waits"
    assert held < 8 * 1024 * 1024
    await stream.aclose()
    await sim.wait_until(lambda log: log.open_count == 0)


def test_the_configuration_of_a_breaker_is_the_providers() -> None:
    settings: Any = {"breaker": {"error_rate": 0.25}}
    assert Settings(providers={"openai": settings}).providers["openai"].breaker.error_rate == 0.25


async def test_when_every_key_rests_the_first_that_is_free_is_waited_for(
    build, provider, sim: RunningSimulator
) -> None:
    inference = build(providers={"sim": provider(keys=KEYS[:2])})
    sim.script(times=1, status=429, retry_after_ms=100)
    sim.script(times=1, status=429, retry_after=60)
    answer = await inference.answer(chat("sim/gpt", patience_s=1))
    assert answer.attempts == 3
    first, second, third = (entry.headers["authorization"] for entry in sim.requests)
    assert first == third != second


async def test_a_wait_that_the_deadline_does_not_leave_room_for_is_not_begun(build, provider) -> None:
    inference = build(providers={"sim": provider()})
    with pytest.raises(UpstreamRefused):
        await inference.answer(chat("sim/gpt@status=429,retry_after=1", deadline=soon(0.5)))
    with pytest.raises(DeadlineExceeded):
        await inference.answer(chat("sim/gpt", deadline=soon(-1)))
    with pytest.raises(DeadlineExceeded):
        await inference.answer(chat("sim/gpt@status=429,retry_after=1", deadline=soon(-1)))

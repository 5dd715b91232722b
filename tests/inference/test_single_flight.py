"""Identical calls in progress: one upstream call, in a process and across processes, whoever hangs up or fails."""

import asyncio

import pytest

from shared.cache import flight_lock, keyspace
from shared.cache.purge import Purge
from shared.cache.use import CacheUse
from shared.errors import DeadlineExceeded, GatewayError
from shared.governance.keys.caller import Caller
from shared.inference.call import Answer, Call
from shared.inference.inference import Inference
from shared.store.multiplexed import MultiplexedClient
from simulator.serve import RunningSimulator
from tests.inference.conftest import chat
from tests.inference.test_answer_cache import Build, build_cached, cached, settled, store, use_of
from tests.waiting import wait_until

__all__ = ["build_cached", "store"]  # fixtures

SLOW = "sim/gpt@latency=0.3"
SLOWER = "sim/gpt@latency=2"  # where others must have joined before it is answered
ALL = {"mode": "exact", "lookup_timeout_s": 30, "collapse": "all"}


def start(inference: Inference, call: Call) -> asyncio.Task[Answer]:
    return asyncio.create_task(inference.answer(call))


async def leading(use: CacheUse) -> None:
    await wait_until(lambda: use.flight is not None)


async def holding_the_lock(use: CacheUse) -> None:
    await wait_until(lambda: use.flight is not None and use.flight.lock is not None)


async def test_identical_calls_make_one_upstream_call(build_cached: Build, sim: RunningSimulator) -> None:
    inference = build_cached(billed=True, prices={"sim/*": {"input": 1000, "output": 1000}})
    calls = [cached(chat(SLOWER), inference) for _ in range(50)]
    answers = await asyncio.gather(*(inference.answer(call) for call in calls))
    assert len({answer.body for answer in answers}) == 1
    assert len(sim.requests) == 1
    shared = [answer for answer in answers if answer.headers["cache-status"] == "finops; fwd=miss; collapsed"]
    assert len(shared) == 49
    assert {answer.headers["x-bf-cost-usd"] for answer in shared} == {"0.000000"}
    assert all(float(answer.headers["x-bf-saved-usd"]) > 0 for answer in shared)
    assert answers[0].headers["cache-status"] == "finops; fwd=miss; stored"


async def test_a_stream_and_a_whole_call_share_an_upstream_call(build_cached: Build, sim: RunningSimulator) -> None:
    inference = build_cached()
    leader = cached(chat(SLOWER, stream=True), inference)

    async def streamed(call: Call) -> bytes:
        return b"".join([events async for events in await inference.stream(call)])

    task = asyncio.create_task(streamed(leader))
    await leading(use_of(leader))
    whole, again = await asyncio.gather(
        inference.answer(cached(chat(SLOWER), inference)), streamed(cached(chat(SLOWER, stream=True), inference))
    )
    assert (await task).endswith(b"[DONE]\n\n") and again.endswith(b"[DONE]\n\n")
    assert whole.headers["cache-status"] == "finops; fwd=miss; collapsed"
    assert len(sim.requests) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"cache_control": "no-cache"}),
        ({}, {"cache_control": "no-store"}),
        ({"x_bf_cache_no_store": "true"}, {}),
        ({}, {"x_bf_cache_key": "other"}),
    ],
)
async def test_calls_that_may_not_share_do_not(
    build_cached: Build, sim: RunningSimulator, first: dict[str, str], second: dict[str, str]
) -> None:
    inference = build_cached()
    calls = [cached(chat(SLOW), inference, **first), cached(chat(SLOW), inference, **second)]
    await asyncio.gather(*(inference.answer(call) for call in calls))
    assert len(sim.requests) == 2


async def test_other_keys_do_not_share(build_cached: Build, sim: RunningSimulator) -> None:
    inference = build_cached()
    calls = [cached(chat(SLOW, caller=Caller(key_id=key)), inference) for key in "ab"]
    await asyncio.gather(*(inference.answer(call) for call in calls))
    assert len(sim.requests) == 2


async def test_collapse_off_makes_every_call(build_cached: Build, sim: RunningSimulator) -> None:
    inference = build_cached(cache={**ALL, "collapse": "off"})
    await asyncio.gather(*(inference.answer(cached(chat(SLOW), inference)) for _ in range(3)))
    assert len(sim.requests) == 3


async def test_a_call_that_was_sent_before_a_purge_is_not_shared_after_it(
    build_cached: Build, sim: RunningSimulator
) -> None:
    inference = build_cached()
    assert inference.cache
    sim.script(model="gpt", times=1, hang=True)
    task = start(inference, cached(chat("sim/gpt"), inference))
    await sim.wait_until(lambda log: log.open_count == 1)
    await inference.cache.store.purge(Purge())
    assert (await inference.answer(cached(chat("sim/gpt"), inference))).status == 200
    task.cancel()
    await asyncio.wait([task])
    assert len(sim.requests) == 2


async def test_after_two_failures_those_that_wait_call_for_themselves(
    build_cached: Build, sim: RunningSimulator
) -> None:
    inference = build_cached()
    sim.script(model="gpt@latency=0.3", times=2, status=500)
    calls = [cached(chat(SLOW), inference) for _ in range(5)]
    answers = await asyncio.gather(*(inference.answer(call) for call in calls), return_exceptions=True)
    assert sum(isinstance(answer, GatewayError) for answer in answers) == 2
    assert len(sim.requests) == 5


async def test_a_call_waits_no_longer_than_its_deadline(build_cached: Build) -> None:
    inference = build_cached()
    leader = cached(chat("sim/gpt@hang"), inference)
    task = start(inference, leader)
    await leading(use_of(leader))
    hasty = cached(chat("sim/gpt@hang", deadline=asyncio.get_running_loop().time()), inference)
    with pytest.raises(DeadlineExceeded):
        await inference.answer(hasty)
    task.cancel()
    await asyncio.wait([task])


async def test_a_call_whose_caller_has_left_goes_on_while_others_wait(
    build_cached: Build, sim: RunningSimulator
) -> None:
    inference = build_cached()
    leader, follower = cached(chat(SLOWER), inference), cached(chat(SLOWER), inference)
    first = start(inference, leader)
    await leading(use_of(leader))
    flight = use_of(leader).flight
    assert flight
    second = start(inference, follower)
    await wait_until(lambda: bool(flight._waiting))
    assert use_of(leader).go_on(first.cancel)
    assert (await second).headers["cache-status"].endswith("collapsed")
    assert (await first).status == 200
    assert not use_of(leader).go_on(first.cancel)
    flight.go_on(first.cancel)  # it has ended
    flight.end(None)
    assert len(sim.requests) == 1


async def test_the_upstream_call_is_cancelled_when_the_last_caller_has_left(build_cached: Build) -> None:
    inference = build_cached()
    slow = "sim/gpt@latency=60"
    leader, follower = cached(chat(slow), inference), cached(chat(slow), inference)
    first = start(inference, leader)
    await leading(use_of(leader))
    flight = use_of(leader).flight
    assert flight
    second = start(inference, follower)
    await wait_until(lambda: bool(flight._waiting))
    assert use_of(leader).go_on(first.cancel)
    second.cancel()
    await asyncio.wait([first, second])
    assert first.cancelled()
    alone = cached(chat(slow), inference)
    third = start(inference, alone)
    await leading(use_of(alone))
    assert use_of(alone).go_on(third.cancel)
    await asyncio.wait([third])
    assert third.cancelled()


async def test_processes_share_one_upstream_call(build_cached: Build, sim: RunningSimulator) -> None:
    replicas = [build_cached(cache=ALL) for _ in range(4)]
    calls = [(replica, cached(chat(SLOW), replica)) for replica in replicas for _ in range(25)]
    answers = await asyncio.gather(*(replica.answer(call) for replica, call in calls))
    assert {answer.status for answer in answers} == {200}
    assert len(sim.requests) == 1
    for replica in replicas:
        await settled(replica)


async def test_another_process_takes_over_when_the_one_that_calls_has_died(
    build_cached: Build, sim: RunningSimulator, store: MultiplexedClient
) -> None:
    inference = build_cached(cache=ALL)
    first = cached(chat("sim/gpt"), inference)
    await inference.answer(first)
    await settled(inference)
    slot = use_of(first).slot
    assert slot and inference.cache
    await inference.cache.store.remove(slot.id)
    await store.execute("SET", keyspace.lock(slot.id), "a process that died", "PX", 200)
    answer = await inference.answer(cached(chat("sim/gpt"), inference))
    assert answer.headers["cache-status"] == "finops; fwd=miss; stored"
    await settled(inference)
    assert await store.execute("EXISTS", keyspace.lock(slot.id)) == 0
    assert len(sim.requests) == 2


async def test_a_call_goes_on_while_another_process_waits_and_its_lock_is_renewed(
    build_cached: Build, sim: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flight_lock, "LOCK_S", 1.0)
    one, other = build_cached(cache=ALL), build_cached(cache=ALL)
    leader, follower = cached(chat(SLOWER), one), cached(chat(SLOWER), other)
    first = start(one, leader)
    await holding_the_lock(use_of(leader))
    second = start(other, follower)
    slot = use_of(leader).slot
    assert slot and one.cache
    commands = one.cache.store.commands
    await wait_until(lambda: commands.execute("EXISTS", keyspace.awaited(slot.id)))
    assert use_of(leader).go_on(first.cancel)
    assert (await second).headers["cache-status"].endswith("collapsed")
    assert (await first).status == 200
    assert len(sim.requests) == 1


async def test_a_call_that_no_process_waits_for_is_cancelled(build_cached: Build) -> None:
    inference = build_cached(cache=ALL)
    leader = cached(chat("sim/gpt@latency=60"), inference)
    task = start(inference, leader)
    await holding_the_lock(use_of(leader))
    assert use_of(leader).go_on(task.cancel)
    await asyncio.wait([task])
    assert task.cancelled()


async def test_without_a_store_calls_are_not_shared_across_processes(build_cached: Build) -> None:
    inference = build_cached(cache={**ALL, "url": "redis://127.0.0.1:9/0"})
    leader = cached(chat("sim/gpt"), inference)
    assert (await inference.answer(leader)).status == 200

import asyncio

from shared.errors import Overloaded
from shared.providers.health.gate import Gate
from shared.providers.health.throttle import Throttle


async def busy(places: int, inside: int) -> tuple[Gate, Throttle]:
    gate = Gate(places, 5, lambda: Overloaded("full"))
    for _ in range(inside):
        await gate.enter()
    return gate, Throttle(gate)


async def test_a_refusal_halves_what_is_let_in_once_a_second() -> None:
    gate, throttle = await busy(100, 39)
    assert throttle.refused(0)
    assert (gate.limit, throttle.active) == (20, True)
    assert not throttle.refused(0.5), "calls that were under way say nothing new"
    assert throttle.refused(1.5)
    assert gate.limit == 10


async def test_one_of_several_keys_weighs_less() -> None:
    gate, throttle = await busy(100, 39)
    throttle.refused(0, share=0.5)
    assert gate.limit == 30


async def test_answers_raise_it_step_by_step_until_it_is_gone() -> None:
    gate, throttle = await busy(8, 7)
    throttle.refused(0)
    assert gate.limit == 4
    for _ in range(5):
        throttle.answered(1)
    assert gate.limit == 5
    for _ in range(30):
        throttle.answered(1)
    assert (gate.limit, throttle.active) == (8, False)


async def test_a_quiet_minute_is_recovery_enough() -> None:
    gate, throttle = await busy(100, 39)
    throttle.refused(0)
    throttle.answered(61)
    assert gate.limit == 100


async def test_never_fewer_than_a_hundredth() -> None:
    gate, throttle = await busy(1000, 0)
    throttle.refused(0)
    assert gate.limit == 10


async def test_another_process_is_believed_as_far_as_own_calls_allow() -> None:
    gate, throttle = await busy(100, 60)
    throttle.heard(5, 0)
    assert gate.limit == 30
    throttle.heard(5, 0.5)
    assert gate.limit == 30


async def test_who_waits_comes_in_as_the_limit_rises_and_leaves_make_no_room_above_it() -> None:
    gate, throttle = await busy(4, 4)
    throttle.lower_to(2, 0)
    waiting = [asyncio.create_task(gate.enter()) for _ in range(2)]
    await asyncio.sleep(0)
    gate.leave()
    gate.leave()
    await asyncio.sleep(0)
    assert (gate.inside, gate.waiting) == (2, 2)
    gate.set_limit(4)
    await asyncio.gather(*waiting)
    assert (gate.inside, gate.waiting) == (4, 0)

"""Many time limits on one timer."""

import asyncio

from shared.jobs.deadlines import Deadlines


def future() -> asyncio.Future[bool]:
    return asyncio.get_running_loop().create_future()


async def test_futures_time_out_in_order_of_their_deadlines():
    deadlines, late, early = Deadlines(), future(), future()
    deadlines.add(late, 0.2)
    deadlines.add(early, 0.01)
    assert await early is False
    assert not late.done()
    assert await late is False


async def test_timeouts_never_expire_early():
    deadlines, waiting = Deadlines(), future()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    deadlines.add(waiting, 0.06)
    await waiting
    assert loop.time() - begun > 0.055  # the loop's own clock may be a tick of the system's behind


async def test_done_and_discarded_futures_are_ignored():
    deadlines, settled, forgotten, last = Deadlines(), future(), future(), future()
    tick = deadlines.add(forgotten, 0.01)
    deadlines.discard(tick, forgotten)
    deadlines.add(settled, 0.01)
    settled.set_result(True)
    tick = deadlines.add(last, 0.01)
    assert await last is False
    assert settled.result() is True
    assert not forgotten.done()
    deadlines.discard(tick, last)


async def test_discarding_one_future_keeps_others_of_the_same_tick():
    deadlines, one, other = Deadlines(), future(), future()
    tick = deadlines.add(one, 0.05)
    while deadlines.add(other, 0.05) != tick:  # the clock may have gone on between the two
        tick = deadlines.add(one, 0.05)
    deadlines.discard(tick, one)
    assert await other is False

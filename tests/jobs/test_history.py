"""The history of a job: its last upstream attempts, written with what ended them."""

import orjson

from shared.jobs.model import Deferral, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from tests.jobs.conftest import claim_one, new_job, until


async def test_history_keeps_the_last_fifty_attempts(queue: JobQueue, store: JobStore) -> None:
    new = new_job(owner="a")
    await queue.submit(new)
    for number in range(51):
        lines = b"\n".join(b'{"run":1,"n":%d}' % (number * 2 + n) for n in range(2))
        deferral = Deferral(delay_s=0, history=lines)
        assert await queue.defer(await claim_one(queue), deferral)
    job = await store.get(new.id)
    assert job is not None
    entries = job.history.split(b"\n")
    assert (len(entries), entries[0], entries[-1]) == (50, b'{"run":1,"n":52}', b'{"run":1,"n":101}')


async def test_runs_that_tell_nothing_are_in_the_history(quick: JobQueue, store: JobStore) -> None:
    new = new_job(owner="a")
    await quick.submit(new)
    for _ in range(2):  # two workers are lost, which is as often as this queue allows
        await claim_one(quick)
        await until(lambda: _taken_back(quick, store))
    job = await store.get(new.id)
    assert job is not None
    entries = [orjson.loads(line) for line in job.history.split(b"\n")]
    assert [(entry["run"], entry["worker"], entry["code"]) for entry in entries] == [
        (1, "w1", "lost_lease"), (2, "w1", "lost_lease"),
    ]  # fmt: skip
    assert job.state is State.FAILED


async def _taken_back(queue: JobQueue, store: JobStore) -> bool:
    await queue.claim("w2", 0)
    return (await store.stats()).running == 0

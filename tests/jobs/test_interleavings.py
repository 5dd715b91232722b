"""Any interleaving of what clients, workers and time can do keeps the guarantees: the real scripts on real Redis.

A model in Python follows along: what each job's state must be, whose lease is whose. After every step the store's own
sets are held against each other: each live job is in exactly one place, and every count is the truth.
"""

import asyncio
import uuid
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from shared.errors import JobLive, QueueFull, RetryRefused
from shared.jobs import keys
from shared.jobs.model import Change, Claim, Deferral, NewJob, Outcome, Priority, State, transition
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.store import JobStore
from shared.store.commands import PooledCommands
from shared.store.connection import connect
from tests.examples import examples
from tests.jobs.test_keys import assert_every_key_is_known

pytestmark = pytest.mark.slow

LIMITS = QueueLimits(max_queued=12, max_attempts=2, lease_s=3600)
CALLERS = ("a", "b", "-")


class LifeOfJobs(RuleBasedStateMachine):
    """Clients, workers and time, in any order."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.commands = self.run(self._open())
        self.queue = JobQueue(self.commands, LIMITS)
        self.store = JobStore(self.commands)
        self.states: dict[str, State] = {}
        self.ended: dict[str, tuple[State, int]] = {}
        self.held: dict[str, str] = {}
        self.limits = {"a": 2, "b": 0, "": 0}
        self.made: list[str] = []
        self.owners: dict[str, str] = {}
        self.batches: list[list[Claim]] = []
        self.virtual = 0.0
        self.asked_back: Counter[str] = Counter()

    async def _open(self) -> PooledCommands:
        commands = PooledCommands(connect(self.url))
        await commands.execute("FLUSHALL")
        return commands

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        self.run(assert_every_key_is_known(self.commands))
        self.run(self.commands.aclose())
        self.runner.close()

    def change(self, job_id: str, change: Change) -> None:
        self.states[job_id] = transition(self.states[job_id], change)
        self.held.pop(job_id, None)

    def batch(self, back: int) -> list[Claim]:
        """Pick a past claim, often the latest: held or lost."""
        return self.batches[-1 - back] if back < len(self.batches) else []

    def pick(self, number: int, *fitting: State) -> str | None:
        """Some job; mostly one in a fitting state."""
        some = [i for i in self.made if self.states[i] in fitting] if number % 5 else []
        some = some or self.made
        return some[number % len(some)] if some else None

    @initialize()
    def begin(self) -> None:
        self.run(self.queue.claim("w", 0))

    @rule(
        owner=st.sampled_from(["a", "b", ""]),
        priority=st.sampled_from(Priority),
        weight=st.sampled_from([0.5, 1.0, 3.0]),
        delay_s=st.sampled_from([0, 0, 0, 1000]),
        deadline_s=st.sampled_from([None, None, 2000]),
    )
    def submit(self, owner: str, priority: Priority, weight: float, delay_s: float, deadline_s: float | None) -> None:
        new = NewJob(
            id=str(uuid.uuid4()), owner=owner, request_type="chat.completions", model="m", payload=b"{}",
            priority=priority, weight=weight, delay_s=delay_s, deadline_s=deadline_s,
            max_concurrent=self.limits[owner], max_queued=6,
        )  # fmt: skip
        waiting = [i for i, s in self.states.items() if s in {State.QUEUED, State.DEFERRED}]
        try:
            self.run(self.queue.submit(new))
        except QueueFull:
            assert len(waiting) >= 6
            return
        assert len(waiting) < 12
        self.made.append(new.id)
        self.owners[new.id] = owner
        self.states[new.id] = State.DEFERRED if delay_s else State.QUEUED

    @rule(count=st.integers(1, 4), worker=st.sampled_from(["w1", "w2"]))
    def claim(self, count: int, worker: str) -> None:
        before = dict(self.states)
        batch = self.run(self.queue.claim(worker, count))
        for claim in batch.claims:
            assert claim.id not in self.held, "two leases at once"
            assert self.states[claim.id] is State.QUEUED
            self.change(claim.id, Change.CLAIM)
            self.held[claim.id] = claim.token
            # A run may ask to come back after its last attempt; a worker that is lost ends the job for good.
            assert claim.attempt <= LIMITS.max_attempts + self.asked_back[claim.id]
        if not batch.claims:
            ready = [i for i, s in before.items() if s is State.QUEUED]
            assert all(self.parked(i) for i in ready), "ready jobs and nobody claims them"
        self.batches.append(list(batch.claims))

    def parked(self, job_id: str) -> bool:
        owner = self.owner(job_id)
        running = [i for i in self.held if self.owner(i) == owner]
        return bool(self.limits[owner]) and len(running) >= self.limits[owner]

    def owner(self, job_id: str) -> str:
        return self.owners[job_id]

    def ours(self, claim: Claim) -> bool:
        return self.held.get(claim.id) == claim.token

    @rule(back=st.integers(0, 3), state=st.sampled_from([State.COMPLETED, State.FAILED]))
    def finish(self, back: int, state: State) -> None:
        claims = self.batch(back)
        for claim in claims:
            ours, known = self.ours(claim), self.ended.get(claim.id)
            accepted = self.run(
                self.store.finish(claim, Outcome(state=state, status_code=200, result=claim.token.encode()))
            )
            if ours:
                assert accepted
                self.change(claim.id, Change.COMPLETE if state is State.COMPLETED else Change.FAIL)
            else:
                repeated = accepted and known is not None and known[0] is state
                assert not accepted or repeated, "an outcome without a lease"

    @rule(back=st.integers(0, 3))
    def renew(self, back: int) -> None:
        claims = self.batch(back)
        lost = self.run(self.queue.renew([(claim.id, claim.token) for claim in claims]))
        assert set(lost) == {claim.token for claim in claims if not self.ours(claim)}

    @rule(back=st.integers(0, 3))
    def release(self, back: int) -> None:
        claims = self.batch(back)
        ours = [claim for claim in claims if self.ours(claim)]
        assert self.run(self.queue.release(claims)) == len(ours)
        for claim in ours:
            self.change(claim.id, Change.RELEASE)

    @rule(back=st.integers(0, 3), counts=st.booleans())
    def defer(self, back: int, counts: bool) -> None:
        for claim in self.batch(back)[:1]:
            accepted = self.run(self.queue.defer(claim, Deferral(delay_s=1000, counts=counts)))
            assert accepted == self.ours(claim)
            if accepted:
                self.change(claim.id, Change.DEFER)
                self.asked_back[claim.id] += counts

    @rule()
    def ghosts_write(self) -> None:
        """Every claim whose lease is gone tries everything."""
        ghosts = [claim for batch in self.batches for claim in batch if not self.ours(claim)]
        live = [claim for claim in ghosts if claim.id in self.states and not self.states[claim.id].terminal]
        outcome = Outcome(state=State.COMPLETED, status_code=200)
        for claim in live:
            assert not self.run(self.store.finish(claim, outcome, [("delta", b"{}")]))
            assert not self.run(self.queue.defer(claim, Deferral(delay_s=1000)))
        assert self.run(self.queue.release(live)) == 0
        assert len(self.run(self.queue.renew([(claim.id, claim.token) for claim in live]))) == len(live)

    @rule()
    def a_worker_dies(self) -> None:
        self.claim(4, "w4")
        self.leases_end()

    @rule()
    def a_worker_starts_over(self) -> None:
        """It hands back what it has and claims again: other leases on the same jobs."""
        self.release(0)
        self.claim(4, "w3")

    @rule(number=st.integers(0, 50))
    def cancel(self, number: int) -> None:
        if (job_id := self.pick(number, State.RUNNING, State.DEFERRED)) is None:
            return
        job = self.run(self.store.cancel(job_id))
        if not self.states[job_id].terminal:
            self.change(job_id, Change.CANCEL)
        assert job.state is self.states[job_id]

    @rule(number=st.integers(0, 50))
    def retry(self, number: int) -> None:
        if (job_id := self.pick(number, State.FAILED)) is None:
            return
        try:
            self.run(self.store.retry(job_id))
        except RetryRefused:
            assert self.states[job_id] is not State.FAILED
            return
        self.change(job_id, Change.RETRY)
        self.ended.pop(job_id, None)

    @rule(number=st.integers(0, 50))
    def delete(self, number: int) -> None:
        if (job_id := self.pick(number, State.COMPLETED, State.CANCELLED)) is None:
            return
        try:
            assert self.run(self.store.delete(job_id))
        except JobLive:
            assert not self.states[job_id].terminal
            return
        assert self.states.pop(job_id).terminal
        self.made.remove(job_id)
        self.ended.pop(job_id, None)

    @rule()
    def leases_end(self) -> None:
        """Every lease's time is over, and a worker looks."""
        self.move_all(keys.LEASES)
        for job_id in list(self.held):
            record = self.run(self.store.get(job_id))
            if record.attempts >= LIMITS.max_attempts:
                self.change(job_id, Change.FAIL)
            else:
                self.change(job_id, Change.LOSE)
        self.run(self.queue.claim("w", 0))

    @rule()
    def deferred_are_due(self) -> None:
        self.move_all(keys.DEFERRED)
        self.run(self.queue.claim("w", 0))
        for job_id, state in list(self.states.items()):
            if state is State.DEFERRED:
                self.change(job_id, Change.DUE)

    @rule()
    def deadlines_pass(self) -> None:
        """Those of waiting jobs; a worker looks."""
        raw = self.run(self.commands.execute("ZRANGE", keys.DEADLINES, 0, -1))
        self.move_all(keys.DEADLINES)
        self.run(self.queue.claim("w", 0))
        for name in raw:
            self.change(name.decode(), Change.FAIL)

    def move_all(self, key: str) -> None:
        for name in self.run(self.commands.execute("ZRANGE", key, 0, -1)):
            self.run(self.commands.execute("ZADD", key, 1, name))

    @invariant()
    def records_are_as_the_model_says(self) -> None:
        asked = [("HMGET", keys.job(job_id), "state", "completed_ms") for job_id in self.states]
        for (job_id, state), raw in zip(self.states.items(), self.ask(asked), strict=True):
            assert raw[0] == str(state).encode()
            if state.terminal:
                first = self.ended.setdefault(job_id, (state, int(raw[1])))
                assert first == (state, int(raw[1])), "an outcome changed"

    @invariant()
    def every_live_job_is_in_exactly_one_place(self) -> None:
        everywhere = [keys.priority_ready(priority, name) for priority in Priority for name in CALLERS]
        queues = list(keys.ARQ_QUEUES.values())
        sets = self.members(*everywhere, *queues, keys.DEFERRED, keys.LEASES, keys.DEADLINES)
        ready = [job_id for members in sets[: len(everywhere)] for job_id in members]
        queued = [job_id for members in sets[len(everywhere) : -3] for job_id in members]
        deferred, leased, with_deadline = sets[-3:]
        assert sorted(ready) == sorted(i for i, s in self.states.items() if s is State.QUEUED)
        assert deferred == {i for i, s in self.states.items() if s is State.DEFERRED}
        assert leased == set(self.held) == {i for i, s in self.states.items() if s is State.RUNNING}
        assert sorted(queued) == sorted([*ready, *deferred])
        assert with_deadline <= set(queued)

    def ask(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        return list(self.run(self.commands.execute_many(commands))) if commands else []

    def members(self, *names: str) -> list[set[str]]:
        replies = self.ask([("ZRANGE", name, 0, -1) for name in names])
        return [{member.decode() for member in reply} for reply in replies]

    @invariant()
    def counts_are_the_truth(self) -> None:
        replies = self.ask([("HMGET", keys.caller(name), "running", "waiting") for name in CALLERS])
        for name, raw in zip(CALLERS, replies, strict=True):
            mine = [s for i, s in self.states.items() if (self.owners[i] or "-") == name]
            assert int(raw[0] or 0) == mine.count(State.RUNNING)
            assert int(raw[1] or 0) == mine.count(State.QUEUED) + mine.count(State.DEFERRED)
            self.stands_where_it_may(name, mine.count(State.RUNNING))

    def stands_where_it_may(self, name: str, running: int) -> None:
        limit = self.limits[name.replace("-", "")]
        parked = bool(limit) and running >= limit
        for priority in Priority:
            competing, ready = self.members(keys.priority_callers(priority), keys.priority_ready(priority, name))
            assert (name in competing) == (bool(ready) and not parked)

    @invariant()
    def virtual_time_never_goes_back(self) -> None:
        now = float(self.run(self.commands.execute("HGET", keys.CLOCK, "vtime")) or 0)
        assert now >= self.virtual
        self.virtual = now


@pytest.mark.timeout(300)
def test_any_interleaving_keeps_the_guarantees(redis_url: str) -> None:
    LifeOfJobs.url = redis_url
    run_state_machine_as_test(
        LifeOfJobs,
        settings=settings(
            examples(100),
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.reuse, Phase.generate],  # shrinking takes longer than a test may
        ),
    )

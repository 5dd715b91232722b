"""Search: lists with filters give what a model gives, while jobs come, end and go."""

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.errors import InvalidRequest
from shared.jobs import keys
from shared.jobs import scans as scans_module
from shared.jobs import skips as skips_module
from shared.jobs.filters import EVERYTHING, JobFilter, read_filter
from shared.jobs.labels import metadata_labels
from shared.jobs.model import Claim, Job, NewJob, Outcome, Priority, State
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobPage, JobStore
from shared.store.commands import PooledCommands, RedisCommands
from shared.store.connection import connect
from tests.jobs.conftest import claim_one, new_job

TYPES = ("chat.completions", "embeddings")


@pytest.fixture
async def commands(redis_url: str) -> AsyncIterator[RedisCommands]:
    """Real Redis alone: the model compares order, which the fake does not keep between equal times."""
    commands = PooledCommands(connect(redis_url))
    yield commands
    await commands.aclose()


def labelled(who: dict[str, Any], /, **changes: Any) -> NewJob:
    return new_job(context={"who": {"type": "chat.completions", **who}}, **changes)


async def found(store: JobStore, owner: str | None = None, **wanted: Any) -> set[str]:
    return {job.id for job in (await store.list(owner, JobFilter(**wanted))).jobs}


async def test_labels_teams_and_customers_find_their_jobs(queue: JobQueue, store: JobStore) -> None:
    ours = labelled({"team": "search", "customer": "acme", "dims": {"app": "web"}}, owner="a", labels=(("run", "7"),))
    for new in (ours, labelled({"team": "ads"}, owner="b", labels=(("run", "70"), ("app", "web"))), new_job()):
        await queue.submit(new)
    assert await found(store, labels=(("run", "7"),)) == {ours.id}
    assert len(await found(store, labels=(("app", "web"),))) == 2
    assert await found(store, labels=(("app", "web"), ("run", "7"))) == {ours.id}
    assert await found(store, labels=(("app", "we"),)) == set()
    assert await found(store, teams=("search",)) == await found(store, customers=("acme", "x")) == {ours.id}
    assert len(await found(store, teams=("search", "ads"))) == 2
    assert await found(store, customers=("acm",)) == await found(store, teams=("s",)) == set()
    assert await found(store, keys=("a",)) == await found(store, "a", labels=(("run", "7"),)) == {ours.id}
    job = await store.get(ours.id)
    assert job is not None
    assert job.label_pairs == {"run": "7", "app": "web"}


@pytest.mark.parametrize("value", ["", "a\nl:x:y", "back\\slash", "a\\nb", "é:ü", "%d+"])
async def test_any_text_can_be_a_label(queue: JobQueue, store: JobStore, value: str) -> None:
    new = new_job(owner="a", labels=(("name", value),))
    await queue.submit(new)
    await queue.submit(new_job(owner="a"))
    assert await found(store, "a", labels=(("name", value),)) == {new.id}
    assert await found(store, "a", labels=(("x", "y"),)) == set()
    job = await store.get(new.id)
    assert job is not None
    assert job.label_pairs == {"name": value}


def test_only_string_pairs_of_metadata_are_labels() -> None:
    assert metadata_labels({"metadata": {"a": "b", "n": 1, "": "x", "long": "x" * 513}}) == (("a", "b"),)
    assert metadata_labels({"metadata": ["a"]}) == metadata_labels({}) == ()
    assert len(metadata_labels({"metadata": {str(n): "x" for n in range(99)}})) == 16


async def test_outcomes_are_found_by_provider_code_and_cost(queue: JobQueue, store: JobStore) -> None:
    plain, fallback, failed, open_ = [new_job(owner="a", model="openai/m") for _ in range(4)]
    for new in (plain, fallback, failed, open_):
        await queue.submit(new)
    claims = [await claim_one(queue) for _ in range(3)]
    await store.finish(claims[0], ended({"provider": "openai", "cost_micro_usd": 500}))
    await store.finish(claims[1], ended({"provider": "anthropic", "cost_micro_usd": 1_500_000}))
    error = {"message": 'says \\"code\\":"no"', "type": "t", "param": None, "code": "broke"}
    await store.finish(claims[2], Outcome(state=State.FAILED, status_code=500, error=error))
    assert await found(store, providers=("anthropic",)) == {fallback.id}
    assert await found(store, providers=("openai",)) == {plain.id, failed.id, open_.id}
    assert await found(store, codes=("broke", "other")) == {failed.id}
    assert await found(store, codes=("no",)) == set()
    assert await found(store, min_cost_micro_usd=1) == {plain.id, fallback.id}
    assert await found(store, min_cost_micro_usd=501) == {fallback.id}
    assert await found(store, max_cost_micro_usd=500) == {plain.id}
    await store.retry(failed.id)
    assert await found(store, states=(State.QUEUED,)) == {failed.id, open_.id}
    assert await found(store, states=(State.FAILED,)) == set()
    await store.cancel(open_.id)
    assert await found(store, states=(State.CANCELLED, State.COMPLETED)) == {plain.id, fallback.id, open_.id}


def ended(meta: dict[str, Any]) -> Outcome:
    return Outcome(state=State.COMPLETED, status_code=200, meta=meta)


async def test_an_owners_list_trimmed_lists_do_not_hide_jobs(
    queue: JobQueue, store: JobStore, commands: RedisCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that has lost older jobs is not asked for those of an owner, nor an owner's list for all of them."""
    new = new_job(owner="a", model="sim/rare")
    others = new_job(owner="a"), new_job(owner="b")
    for job in (new, *others):
        await queue.submit(job)
    await commands.execute("ZREM", keys.ALL_JOBS, new.id)
    for job in others:  # younger than the lost one, by more than a millisecond
        await commands.execute("ZINCRBY", keys.ALL_JOBS, 1_000, job.id)
    await commands.execute("DEL", *(await commands.execute("KEYS", "finops:jobs:index:*")))
    assert await found(store, "a", models=("sim/rare",)) == {new.id}
    await commands.execute("ZADD", keys.ALL_JOBS, 1, new.id)
    monkeypatch.setattr(scans_module, "OWNER_JOBS", 1)
    await commands.execute("ZREM", keys.owner_jobs("a"), new.id)
    assert new.id in await found(store, None, keys=("a",))


async def test_costs_and_codes_are_forgotten_with_their_jobs(
    queue: JobQueue, store: JobStore, commands: RedisCommands
) -> None:
    error = {"message": "", "type": "t", "param": None, "code": "broke"}
    new = [new_job(owner="a") for _ in range(3)]
    for job in new:
        await queue.submit(job)
        outcome = Outcome(state=State.FAILED, status_code=500, error=error, meta={"cost_micro_usd": 7})
        await store.finish(await claim_one(queue), outcome)
    assert await commands.execute("ZCARD", keys.COSTS) == await commands.execute("ZCARD", keys.code_jobs("broke")) == 3
    await store.delete(new[0].id)
    assert await commands.execute("ZCARD", keys.COSTS) == await commands.execute("ZCARD", keys.code_jobs("broke")) == 2
    await commands.execute("DEL", keys.job(new[1].id))
    await commands.execute("ZADD", keys.ALL_JOBS, 1, new[1].id)
    assert await found(store, None, min_cost_micro_usd=7) == {new[2].id}
    await store.list(None)
    assert await commands.execute("ZCARD", keys.COSTS) == 1
    await commands.execute("ZREM", keys.ALL_JOBS, new[2].id)
    await store.retry(new[2].id)
    await store.finish(await claim_one(queue), ended({"cost_micro_usd": 9}))
    assert await commands.execute("ZSCORE", keys.COSTS, new[2].id) == b"7"  # only what the list of all jobs holds


async def test_indexes_forget_what_the_list_of_all_jobs_forgot(
    queue: JobQueue, store: JobStore, commands: RedisCommands
) -> None:
    first = new_job(model="sim/rare")
    await queue.submit(first)
    await store.cancel(first.id)
    await commands.execute("ZREM", keys.ALL_JOBS, first.id)
    await commands.execute("HSET", keys.CLOCK, "seq", 63)
    await commands.execute("ZADD", keys.ended_jobs(State.CANCELLED), 1, first.id)
    await queue.submit(new_job())
    assert await commands.execute("ZCARD", keys.ended_jobs(State.CANCELLED)) == 0


@dataclass
class Model:
    """All jobs as they should be listed."""

    store: JobStore
    queue: JobQueue
    dice: random.Random
    jobs: dict[str, Job] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)

    async def submit(self) -> None:
        pick = self.dice.choice
        new = labelled(
            {"team": pick(["t1", "t2"]), "key": "k"},
            owner=pick(["a", "b"]),
            request_type=pick(TYPES),
            model=pick(["sim/a", "sim/b", "other/c", "bare"]),
            priority=pick(list(Priority)),
            labels=tuple((name, pick("12")) for name in self.dice.sample("xyz", 2)),
        )
        self.jobs[new.id] = (await self.queue.submit(new)).job

    async def claim(self) -> None:
        claims = (await self.queue.claim("w", 3)).claims
        self.claims += claims
        await self.refresh(*(claim.id for claim in claims))

    async def finish(self) -> None:
        if not self.claims:
            return
        claim = self.claims.pop(self.dice.randrange(len(self.claims)))
        if self.dice.random() < 0.5:
            outcome = ended({"provider": self.dice.choice(["sim", "x"]), "cost_micro_usd": self.dice.randrange(100)})
        else:
            code = self.dice.choice(["c1", "c2"])
            outcome = Outcome(state=State.FAILED, status_code=500, error={"message": "", "code": code})
        await self.store.finish(claim, outcome)
        await self.refresh(claim.id)

    async def change(self) -> None:
        job = self.dice.choice([*self.jobs.values()])
        if job.state is State.FAILED:
            await self.store.retry(job.id)
        elif job.live:
            await self.store.cancel(job.id)
            self.claims = [claim for claim in self.claims if claim.id != job.id]
        else:
            await self.store.delete(job.id)
            del self.jobs[job.id]
            return
        await self.refresh(job.id)

    async def refresh(self, *ids: str) -> None:
        for job_id in ids:
            job = await self.store.get(job_id)
            assert job is not None
            self.jobs[job_id] = job

    async def step(self) -> None:
        await self.dice.choice([self.submit, self.submit, self.submit, self.claim, self.finish, self.change])()

    def filter(self) -> JobFilter:
        some: Callable[..., Any] = lambda *values: tuple(self.dice.sample(values, self.dice.randint(0, 2)))  # noqa: E731
        pick = self.dice.choice
        times = sorted(job.created_ms for job in self.jobs.values()) or [0]
        options = {
            "states": some(*State),
            "types": some(*TYPES),
            "models": some("sim/a", "sim/b", "other/c", "bare", "none"),
            "providers": some("sim", "other", "openai", "x"),
            "codes": some("c1", "c2"),
            "priorities": some(*Priority),
            "labels": tuple((name, pick("12")) for name in some(*"xyz")),
            "teams": some("t1", "t2", "t3"),
            "keys": some("a", "b"),
            "created_after_ms": pick(times),
            "created_before_ms": pick(times),
            "min_cost_micro_usd": self.dice.randrange(100),
            "max_cost_micro_usd": self.dice.randrange(100),
        }
        chosen = self.dice.sample(sorted(options), self.dice.randint(0, 3))
        return JobFilter(**{name: options[name] for name in chosen})

    def expected(self, owner: str | None, wanted: JobFilter, order: str) -> list[str]:
        jobs = [job for job in self.jobs.values() if owner in {None, job.owner} and matches(job, wanted)]
        jobs.sort(key=lambda job: (job.created_ms, job.id), reverse=order == "desc")
        return [job.id for job in jobs]


def matches(job: Job, wanted: JobFilter) -> bool:
    asked = job.model.split("/")[0] if "/" in job.model else "openai"
    cost = job.meta.get("cost_micro_usd")
    low, high = wanted.min_cost_micro_usd, wanted.max_cost_micro_usd
    return (
        all(not values or value in values for values, value in (
            (wanted.states, job.state), (wanted.types, job.request_type), (wanted.models, job.model),
            (wanted.priorities, job.priority), (wanted.keys, job.owner), (wanted.teams, job.context["who"]["team"]),
            (wanted.providers, job.meta.get("provider", asked)), (wanted.codes, (job.error or {}).get("code", "")),
        ))
        and all(job.label_pairs.get(name) == value for name, value in wanted.labels)
        and (wanted.created_after_ms is None or job.created_ms > wanted.created_after_ms)
        and (wanted.created_before_ms is None or job.created_ms < wanted.created_before_ms)
        and (low is high is None or (cost is not None and (low or 0) <= cost <= (high if high is not None else 1e9)))
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
async def test_pages_are_complete_and_in_order_while_jobs_come_and_go(
    queue: JobQueue, store: JobStore, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans_module, "SCANNED_AT_ONCE", 7)
    monkeypatch.setattr(scans_module, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(scans_module, "FIRST_SIFTED", 1 + seed)
    monkeypatch.setattr(scans_module, "MOST_SIFTED", 2 + seed)
    monkeypatch.setattr(scans_module, "FEWEST_SKIPPED", 1)
    monkeypatch.setattr(skips_module, "ENTRIES", 1 + seed % 3)
    monkeypatch.setattr(skips_module, "PLANNED", 1 + seed % 2)
    monkeypatch.setattr(scans_module, "RUNNING_AT_ONCE", seed % 2 * 100)  # else of all live jobs
    model = Model(store, queue, random.Random(seed))
    for _ in range(60):
        await model.step()
    for _ in range(40):
        owner = model.dice.choice([None, "a"])
        wanted, order = model.filter(), model.dice.choice(["asc", "desc"])
        before = model.expected(owner, wanted, order)
        listed: list[str] = []
        while True:
            after = listed[-1] if listed else ""
            page = await store.list(owner, wanted, order=order, after=after, limit=5)  # type: ignore[arg-type]
            listed += [job.id for job in page.jobs]
            if not page.has_more:
                break
            await model.step()
        stayed = set(before) & set(model.expected(owner, wanted, order))
        assert stayed <= set(listed)
        assert len(listed) == len(set(listed))
        steady = [job_id for job_id in listed if job_id in stayed]
        assert steady == [job_id for job_id in before if job_id in stayed]


async def test_running_jobs_are_found_among_all_live_ones_when_many_run(
    queue: JobQueue, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans_module, "RUNNING_AT_ONCE", 0)
    for _ in range(2):
        await queue.submit(new_job())
    running = await claim_one(queue)
    assert await found(store, states=(State.RUNNING,)) == {running.id}


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_conditions_that_never_meet_are_told_apart_without_reading_a_record(
    queue: JobQueue, store: JobStore, commands: RedisCommands, monkeypatch: pytest.MonkeyPatch, order: Any
) -> None:
    monkeypatch.setattr(scans_module, "SCANNED_AT_ONCE", 1)  # six or seven entries a piece
    monkeypatch.setattr(scans_module, "MOST_SIFTED", 100)
    await commands.execute("ZADD", keys.ALL_JOBS, 1, "gone")  # the oldest: from there on indexes are complete
    odd = [new_job(owner="a", model="sim/odd", labels=(("half", "odd"),)) for _ in range(20)]
    even = [new_job(owner="a", model="sim/even") for _ in range(20)]
    for pair in zip(odd, even, strict=True):
        for new in pair:
            await queue.submit(new)
    for job in (*odd, *even):  # a record that is looked at would be found not to be there, and forgotten
        await commands.execute("RENAME", keys.job(job.id), f"{keys.job(job.id)}:aside")
    wanted = JobFilter(models=("sim/even",), labels=(("half", "odd"),))
    assert await store.list(None, wanted, order=order) == JobPage((), has_more=False)
    both = new_job(owner="a", model="sim/even", labels=(("half", "odd"),))
    await queue.submit(both)
    assert [job.id for job in (await store.list(None, wanted, order=order)).jobs] == [both.id]


READ = {"types": TYPES}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("status", ["done"]), ("type", ["chat"]), ("priority", ["urgent"]), ("label", ["app"]), ("label", [":x"]),
        ("created_after", ["yesterday"]), ("created_after", ["2026-13-01T00:00:00Z"]), ("created_before", ["1", "2"]),
        ("created_before", ["2026-01-01"]), ("min_cost_usd", ["-1"]), ("max_cost_usd", ["NaN"]), ("model", [""]),
        ("model", ["x" * 257]), ("label", ["a:" + "x" * 600]), ("provider", ["p"] * 21), ("key", ["k"]),
        ("nonsense", ["x"]),
    ],
)  # fmt: skip
def test_invalid_filters_name_the_parameter(name: str, values: list[str]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_filter({name: values}, types=TYPES)
    assert raised.value.param == name


def test_filters_are_read() -> None:
    assert read_filter({}, types=TYPES, admin=True) == EVERYTHING
    times = {"created_after": ["2026-01-01T00:00:00.5 02:00"], "created_before": ["1767222000.25"]}
    read = read_filter({**times, "max_cost_usd": ["0.5"], "status": ["pending"], "key": ["k"]}, types=TYPES, admin=True)
    assert (read.created_after_ms, read.created_before_ms) == (1767218400500, 1767222000250)
    assert (read.max_cost_micro_usd, read.keys) == (500_000, ("k",))
    assert read.states == (State.QUEUED, State.DEFERRED)

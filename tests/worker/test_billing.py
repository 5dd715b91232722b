"""A run that ends without a settled cost leaves no reservation behind."""

import asyncio

import pytest
from fakeredis import FakeAsyncRedis

from shared.governance.keys.authenticate import Authenticator
from shared.jobs.model import Deferral, Outcome
from shared.settings.model import Settings
from shared.store.commands import PooledCommands
from shared.store.multiplexed import MultiplexedClient
from simulator.serve import RunningSimulator
from tests.inference.conftest import sim  # noqa: F401 - a fixture
from tests.inference.test_billing import Build, build, spent, store, warm  # noqa: F401 - fixtures
from tests.waiting import wait_until
from tests.worker.test_tasks import claim, handle_of
from worker.tasks import JobRunner
from worker.webhooks import WebhookDelivery

LIMITED = {"budget": {"limit_usd": 1}}
FIRST_FAILS = b'{"model":"sim/gpt@status=503","messages":[],"fallbacks":["other/gpt@%s"]}'


def runner_of(inference: object) -> JobRunner:
    settings = Settings()
    webhooks = WebhookDelivery(settings, PooledCommands(FakeAsyncRedis(), knows_script_flags=False))
    return JobRunner(inference, Authenticator(settings), webhooks)  # type: ignore[arg-type]


async def test_a_run_that_is_deferred_releases_what_it_reserved_at_a_fallback(
    build: Build,  # noqa: F811
    store: MultiplexedClient,  # noqa: F811
) -> None:
    inference, billing = build(other={**LIMITED, "retry": {"max_attempts": 2}})
    job = claim("sim/gpt@status=503", FIRST_FAILS % b"status=429,retry_after=60")
    assert isinstance(await runner_of(inference).run(job, handle_of(job)), Deferral)
    await billing.ledger.flush()
    assert await spent(store, "provider:other") == (0, 0)
    assert await store.execute("ZCARD", "finops:holds") == 0


async def test_a_run_that_is_stopped_releases_what_it_reserved_at_a_fallback(
    build: Build,  # noqa: F811
    store: MultiplexedClient,  # noqa: F811
    sim: RunningSimulator,  # noqa: F811
) -> None:
    inference, billing = build(other=LIMITED)
    job = claim("sim/gpt@status=503", FIRST_FAILS % b"hang")
    run = asyncio.create_task(runner_of(inference).run(job, handle_of(job)))
    await wait_until(lambda: len(sim.log.entries) == 2)
    assert (await spent(store, "provider:other"))[1] > 0
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await billing.ledger.flush()
    assert await spent(store, "provider:other") == (0, 0)


async def test_the_record_of_a_job_keeps_what_it_cost(
    build: Build,  # noqa: F811
    store: MultiplexedClient,  # noqa: F811
) -> None:
    inference, _ = build()
    job = claim("sim/gpt")
    outcome = await runner_of(inference).run(job, handle_of(job))
    assert isinstance(outcome, Outcome)
    assert outcome.meta["cost_micro_usd"] > 0

"""The suite of the engine on servers that `tests/jobs` does not meet: Redis 7 and 8, a Sentinel set, a cluster.

A subset here; all of it with ``TEST_STORE=cluster pytest tests/jobs``.
"""

from collections.abc import AsyncIterator

import pytest

from shared.store.commands import RedisCommands
from tests import stores
from tests.conftest import open_commands
from tests.jobs.conftest import log, queue, quick, store  # noqa: F401 - fixtures
from tests.jobs.test_fairness import *  # noqa: F403 - tests
from tests.jobs.test_idempotency import *  # noqa: F403
from tests.jobs.test_ledger import *  # noqa: F403
from tests.jobs.test_life import *  # noqa: F403

del test_the_cost_of_a_claim_does_not_grow_with_the_queue  # noqa: F821 - Sentinels and replicas send commands that it counts


@pytest.fixture(params=stores.NAMES)
def redis_url(request: pytest.FixtureRequest) -> str:
    """One of the stores, empty."""
    return stores.empty_store(request.param, request)


@pytest.fixture
def commands_kind(request: pytest.FixtureRequest) -> str:
    """The client that both tiers use, unless the test names another."""
    kind: str = getattr(request, "param", "real-multiplexed")
    return kind


@pytest.fixture
async def commands(redis_url: str, commands_kind: str) -> AsyncIterator[RedisCommands]:
    client = open_commands(commands_kind, redis_url)
    yield client
    await client.aclose()

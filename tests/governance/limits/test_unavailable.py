"""Runs, raises and followed batches while the store does not answer: a clear 503, never another error."""

from collections.abc import AsyncIterator

import pytest

from shared.errors import StoreUnavailable
from shared.governance.ledger.followed_batches import FollowedBatches
from shared.governance.limits.each import EachLimits
from shared.governance.limits.model import Limit
from shared.governance.limits.raises import Raise, Raises
from shared.governance.limits.runs import Runs
from shared.settings.limits import EachSettings
from shared.store.multiplexed import MultiplexedClient

LIMIT = Limit("cost", "key:a", "1d", 1)


@pytest.fixture
async def gone() -> AsyncIterator[MultiplexedClient]:
    client = MultiplexedClient("redis://127.0.0.1:9/0")
    yield client
    await client.aclose()


async def test_a_store_that_does_not_answer_is_named(gone: MultiplexedClient) -> None:
    runs, raises, followed = Runs(gone), Raises(gone), FollowedBatches(gone)
    for waiting in (
        runs.get("o", "r"),
        runs.page(),
        raises.add(LIMIT, Raise(1, 1, "x")),
        raises.of((LIMIT,), 0),
        followed.take(),
        followed.drop("b"),
        followed.view("openai", "b"),
    ):
        with pytest.raises(StoreUnavailable, match="did not answer"):
            await waiting


async def test_nothing_is_asked_for_nothing(gone: MultiplexedClient) -> None:
    assert await Raises(gone).of((), 0) == []


def test_a_dimension_without_limits_of_its_values_brings_none() -> None:
    table = EachSettings.model_validate({"each": {"budget": {"limit_usd": 1}}})
    assert EachLimits({"dimension:customer": table}).of((), {"app": "x"}, {}) == ()

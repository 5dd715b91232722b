"""What `finops doctor` finds about jobs that can wait."""

from typing import Any

import pytest

from shared.checks.patience import check_patience, judge_patience
from shared.patience.lanes import Lane
from shared.patience.times import Histogram, LaneRow, LaneTimes
from shared.providers.registry import configured_providers
from shared.settings.model import Settings
from shared.settings.patience import PatienceSettings
from shared.store.multiplexed import MultiplexedClient

PLAIN = {"wire": "openai", "base_url": "http://127.0.0.1:9/v1"}
BOTH = {**PLAIN, "flex": True, "batches": True}
ASSUMED = {"assumed_flex_s": 60, "assumed_batch_s": 600}


def judged(
    patience: dict[str, Any], provider: dict[str, Any] = BOTH, rows: Any = (), *, routed: bool = False
) -> list[tuple[str, str]]:
    providers = configured_providers(Settings.model_validate({"providers": {"p": provider}}), {})
    settings = PatienceSettings.model_validate(patience)
    found = judge_patience(settings, list(providers.values()), rows, routed=routed)
    return [(finding.level, finding.message) for finding in found]


def test_lanes_that_are_open_are_named() -> None:
    assert judged(ASSUMED) == [("OK", "flex: p; batch: p")]
    assert judged({**ASSUMED, "lanes": ["flex"]}) == [("OK", "flex: p")]
    assert judged({}, PLAIN, routed=True) == [("OK", "the cheapest target of a route")]


def test_patience_without_a_cheaper_way_is_found() -> None:
    ((level, message),) = judged({"default_s": 3600}, PLAIN)
    assert (level, "no configured provider has flex or batches" in message) == ("WARN", True)
    assert judged({"lanes": []}, BOTH, routed=True)[0][0] == "WARN"


def test_lanes_without_times_are_found() -> None:
    assert [level for level, _ in judged({})] == ["WARN", "WARN"]
    rows = [LaneRow("batch", "p/m", Histogram({3: 20}))]
    ((level, message),) = judged({"assumed_flex_s": 60}, rows=rows)
    assert (level, message) == ("OK", "flex: p; batch: p")
    assert "the lane flex is not used" in judged({}, rows=rows)[0][1]
    assert judged({}, rows=None) == [("OK", "flex: p; batch: p")]


def test_gathering_for_longer_than_patience_allows_is_found() -> None:
    ((level, message),) = judged({**ASSUMED, "keys": {"a": 150}, "default_s": 3600})
    assert (level, "a patience of 150 s leaves 45 s" in message) == ("WARN", True)
    ((_, message),) = judged({**ASSUMED, "routes": {"*": 20}})
    assert "leaves 0 s" in message
    assert judged({**ASSUMED, "default_s": 300})[0][0] == "OK"


def test_deadlines_that_are_no_patience_are_said() -> None:
    assert any("deadlines alone" in message for _, message in judged({**ASSUMED, "deadlines": False}))


@pytest.mark.parametrize("url", [None, "redis://127.0.0.1:1", "nonsense://"])
async def test_without_a_store_nothing_is_said_of_times(url: str | None) -> None:
    settings = Settings.model_validate({"providers": {"p": BOTH}, "jobs": {"patience": {"default_s": 3600}}})
    assert [finding.level for finding in await check_patience(settings, {}, url)] == ["OK"]
    assert await check_patience(Settings.model_validate({"providers": {"p": BOTH}}), {}, url) == []


async def test_measured_times_are_read_from_the_store(redis_url: str) -> None:
    settings = Settings.model_validate({"providers": {"p": BOTH}, "jobs": {"patience": {"min_samples": 1}}})
    commands = MultiplexedClient(redis_url)
    for lane in (Lane.FLEX, Lane.BATCH):
        await LaneTimes(commands).record("p/m", lane, 1.0)
    await commands.aclose()
    assert [finding.message for finding in await check_patience(settings, {}, redis_url)] == ["flex: p; batch: p"]

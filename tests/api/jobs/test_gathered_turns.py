"""Turns at gathered batches end before their leases do."""

from typing import Any

import pytest

from shared.patience.gathering import GatheredBatches
from shared.settings.patience import PatienceSettings
from simulator.serve import RunningSimulator
from tests.api.conftest import Start
from tests.api.gathered_work import gathered_on


async def test_a_step_ends_before_its_turn_does(
    start: Start, sim: RunningSimulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit()
    sim.script(path="/files", latency=600)
    with monkeypatch.context() as patch:
        patch.setattr(GatheredBatches, "turn_ms", 250)
        await gathered.look()
    sim.app.script.clear()
    assert "took too long" in caplog.text
    assert (await gathered.fields())["state"] == "closed"
    await gathered.follow_to_the_end()
    job = await gathered.job(job_id)
    assert (job["status"], job["lane"]) == ("completed", "batch")


@pytest.mark.parametrize(("look_s", "turn_ms"), [(0.05, 5_000), (15, 60_000), (3600, 60_000), (2.5, 10_000)])
def test_a_turn_lasts_four_looks_within_bounds(look_s: float, turn_ms: int) -> None:
    commands: Any = None
    store = GatheredBatches(commands, PatienceSettings(look_s=look_s))
    assert store.turn_ms == turn_ms

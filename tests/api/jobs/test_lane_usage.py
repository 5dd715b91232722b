"""What lanes cost, how long they took, and how many jobs were in time."""

from typing import Any

import orjson
import pytest

from shared.errors import StoreUnavailable
from shared.patience.lanes import LANE, Lane
from tests.api.conftest import Start
from tests.api.gathered_work import ADMIN, BODY, MINE, gathered_on


async def test_usage_says_what_each_lane_cost_and_how_long_it_took(start: Start) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit()
    assert await gathered.is_gathered(job_id)
    await gathered.follow_to_the_end()
    assert (await gathered.job(job_id))["lane"] == "batch"
    await gathered.gateway.post("/v1/chat/completions", BODY, headers=MINE)
    await gathered.entries()
    http = gathered.gateway.http
    rows = (await http.get("/api/usage?per=total&group_by=lane", headers=ADMIN)).json()["data"]
    by_lane = {row["lane"]: row for row in rows}
    assert sorted(by_lane) == ["", "batch"]
    counts = [(row.get("on_time_jobs"), row.get("late_jobs"), row.get("on_time_share")) for row in rows]
    assert sorted(counts, key=str) == [(1, 0, 1.0), (None, None, None)]
    assert by_lane["batch"]["cost_usd"] == pytest.approx(by_lane["batch"]["list_cost_usd"] / 2)
    assert (await http.get("/api/usage?lane=batch&per=total", headers=ADMIN)).json()["total"]["calls"] == 1
    focus = (await http.get("/api/usage/export?format=focus", headers=ADMIN)).text.splitlines()
    names = focus[0].split(",")
    lines = [line.split(",") for line in focus[1:]]
    columns = [[line[names.index(name)] for name in ("x_Lane", "x_OnTimeShare")] for line in lines]
    assert sorted(columns) == [["", ""], ["batch", "1"]]
    calls = (await http.get("/api/logs", headers=ADMIN)).json()["data"]
    assert sorted(call["lane"] for call in calls) == ["", "batch"]
    await gathered.times.record("openai/gpt-5", Lane.FLEX, None)
    times = (await http.get("/api/lanes", headers=ADMIN)).json()["data"]
    assert [(row["lane"], row["answers"], row["late"]) for row in times] == [("batch", 1, 0), ("flex", 1, 1)]
    assert (times[0]["p95_s"] > 0, times[1]["p95_s"]) == (True, None)


async def test_a_job_that_was_answered_after_its_patience_is_counted_late(start: Start) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit()
    await due_at(gathered, job_id, 1)
    await gathered.follow_to_the_end()
    assert [each[:2] for each in gathered.ended] == [("batch", False)]
    (entry,) = await gathered.entries()
    assert (entry["lane"], entry["late"], "on_time" in entry) == ("batch", 1, False)


async def test_a_job_that_fails_at_its_deadline_is_counted_late(start: Start) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit()
    commands = gathered.gateway.services.commands
    await due_at(gathered, job_id, 1)
    await commands.execute("HSET", f"finops:job:{job_id}", "deadline_ms", 1)
    for key in ("finops:jobs:deferred", "arq:queue"):
        await commands.execute("ZADD", key, 1, job_id)
    await commands.execute("ZADD", "finops:deadlines", 1, job_id)
    await gathered.gateway.worker.work_off()
    job = await gathered.job(job_id)
    assert (job["status"], job["error"]["code"]) == ("failed", "deadline_exceeded")
    (entry,) = await gathered.entries()
    assert (entry["lane"], entry["late"]) == ("now", 1)


async def due_at(gathered: Any, job_id: str, due_ms: int) -> None:
    """Let a job's patience end at a moment."""
    commands, key = gathered.gateway.services.commands, f"finops:job:{job_id}"
    context = orjson.loads(await commands.execute("HGET", key, "context"))
    context[LANE]["due_ms"] = due_ms
    await commands.execute("HSET", key, "context", orjson.dumps(context))


async def test_a_store_that_gathers_nothing_is_logged(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: Any, **__: Any) -> str:
        raise StoreUnavailable

    gathered = await gathered_on(start)
    monkeypatch.setattr(type(gathered.gateway.services.gathered), "add", away)
    await gathered.submit()
    assert "not gathered" in caplog.text

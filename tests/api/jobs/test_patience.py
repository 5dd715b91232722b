"""Jobs that can wait cost less: the lane is chosen at submit, tried by a worker, and left in time."""

from typing import Any

import pytest

from shared.patience.lanes import Lane
from shared.patience.times import LATE, LaneTimes
from simulator.serve import RunningSimulator
from tests.api.conftest import CHAT, KEY_A, Gateway, Start
from worker.lane_runs import LaneRuns
from worker.tasks import JobRunner

PRICES = {"*/gpt*": {"input": 1000, "output": 1000, "flex_discount": 0.5, "batch_discount": 0.5}}
PATIENCE = {
    "assumed_flex_s": 60,
    "assumed_now_s": 10,
    "margin_s": 5,
    "margin_share": 0,
    "lanes": ["flex", "least_cost"],
}
BODY = {"model": "openai/gpt-5", "messages": CHAT["messages"]}
ASYNC = "/v1/async/chat/completions"


class Lanes:
    """A gateway whose worker measures lanes."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.counted: list[tuple[str, str]] = []
        services = gateway.services
        self.times = LaneTimes(services.commands)
        self.worker = gateway.worker
        runs = LaneRuns(services.inference, self.times, lambda lane, result: self.counted.append((lane, result)))
        webhooks: Any = None
        self.worker.runners[0] = JobRunner(
            services.inference, services.governance, webhooks, bodies=self.worker.bodies[0], lanes=runs
        )

    async def submit(
        self, patience: str | None = "3600", body: dict[str, Any] = BODY, **headers: str
    ) -> dict[str, Any]:
        sent = {**headers, **({} if patience is None else {"x-bf-async-patience": patience})}
        answer = await self.gateway.post(ASYNC, body, headers=sent)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    async def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        await self.worker.work_off()
        answer = await self.gateway.http.get(f"{ASYNC}/{job['id']}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


async def lanes_on(start: Start, **more: Any) -> Lanes:
    patience = {**PATIENCE, **more.pop("patience", {})}
    return Lanes(await start(prices=PRICES, jobs={"patience": patience}, **more))


def tiers(sim: RunningSimulator) -> list[Any]:
    return [entry.body.get("service_tier") for entry in sim.log.entries if entry.path.endswith("/chat/completions")]


async def test_a_job_that_can_wait_is_run_for_half_the_price(start: Start, sim: RunningSimulator) -> None:
    lanes = await lanes_on(start)
    job = await lanes.submit()
    assert job["lane"] == "flex"
    assert job["expected_saving_usd"] > 0
    assert job["promote_at"] > job["created_at"]
    done = await lanes.ended(job)
    assert (done["status"], done["lane"], "promote_at" in done) == ("completed", "flex", False)
    assert done["result"]["service_tier"] == "flex"
    tokens = done["result"]["usage"]["total_tokens"]
    assert done["history"][-1]["cost_usd"] == pytest.approx(tokens * 0.0005), "half of what it costs now"
    assert tiers(sim) == ["flex"]
    assert lanes.counted == [("flex", "answered")]
    assert (await lanes.times.of("openai/gpt-5"))[Lane.FLEX].total == 1


async def test_a_tier_that_refuses_promotes_the_job_at_once(start: Start, sim: RunningSimulator) -> None:
    lanes = await lanes_on(start)
    model = "openai/gpt-5@flex_status=429"
    done = await lanes.ended(await lanes.submit(body={**BODY, "model": model}))
    assert (done["status"], done["lane"]) == ("completed", "now")
    tokens = done["result"]["usage"]["total_tokens"]
    assert done["history"][-1]["cost_usd"] == pytest.approx(tokens * 0.001)
    assert [(entry["status"], entry["lane"]) for entry in done["history"]] == [(429, "flex"), (200, "now")]
    assert tiers(sim) == ["flex", None]
    assert lanes.counted == [("flex", "refused")]
    state = lanes.gateway.services.inference.states()["openai"]
    answer = await lanes.gateway.post("/openai/chat/completions", {**BODY, "model": model})
    assert answer.status_code == 200, f"the key does not rest: {state}"


async def test_a_tier_that_is_too_slow_is_left_in_time(start: Start, sim: RunningSimulator) -> None:
    lanes = await lanes_on(start, patience={"assumed_flex_s": 0.1, "assumed_now_s": 3599, "margin_s": 0})
    job = await lanes.submit(body={**BODY, "model": "openai/gpt-5@flex_latency=600"})
    assert job["lane"] == "flex"
    done = await lanes.ended(job)
    assert (done["status"], done["lane"]) == ("completed", "now")
    tried = tiers(sim)[:-1]  # nothing if this machine stood still for a second
    assert lanes.counted in ([], [("flex", "late")])
    assert (await lanes.times.of("openai/gpt-5@flex_latency=600"))[Lane.FLEX].counts == ({LATE: 1} if tried else {})


async def test_a_lane_is_not_tried_after_its_time(start: Start, sim: RunningSimulator) -> None:
    lanes = await lanes_on(start, patience={"assumed_flex_s": 0.001, "assumed_now_s": 3599.98, "margin_s": 0})
    job = await lanes.submit()
    assert job["lane"] == "flex"
    assert (await lanes.ended(job))["lane"] == "now"
    assert tiers(sim) == [None]


async def test_the_cheapest_target_of_a_route_is_tried_first(start: Start, sim: RunningSimulator) -> None:
    dear = {"*/gpt-dear": {"input": 1000, "output": 1000}, "*/gpt-cheap": {"input": 1, "output": 1}}
    targets = [{"model": "sim/gpt-dear"}, {"model": "sim/gpt-cheap", "weight": 1e-9}]
    more: Any = {"prices": dear, "routes": {"smart": {"targets": targets}}}
    gateway = await start(jobs={"patience": {**PATIENCE, "min_samples": 1}}, **more)
    lanes = Lanes(gateway)
    await lanes.times.record("sim/gpt-cheap", Lane.NOW, 0.1)
    job = await lanes.submit(body={**BODY, "model": "smart"})
    assert job["lane"] == "least_cost"
    done = await lanes.ended(job)
    assert (done["lane"], done["result"]["model"]) == ("least_cost", "gpt-cheap")


async def test_no_patience_is_what_it_always_was(start: Start, sim: RunningSimulator) -> None:
    lanes = await lanes_on(start)
    for patience in (None, "0"):
        job = await lanes.submit(patience)
        assert job.get("lane") == (None if patience is None else "now")
        done = await lanes.ended(job)
        assert (done["status"], done.get("lane")) == ("completed", job.get("lane"))
    assert tiers(sim) == [None, None]


async def test_deadlines_keys_and_routes_say_how_long_a_job_can_wait(start: Start) -> None:
    policy = {"keys": {"a": 3600}, "routes": {"openai/gpt-4*": 3600}, "default_s": 0}
    key = {"value": KEY_A}
    lanes = await lanes_on(start, patience=policy, virtual_keys={"a": key})
    assert "lane" not in await lanes.submit(None)
    assert (await lanes.submit(None, **{"x-bf-vk": KEY_A}))["lane"] == "flex"
    assert (await lanes.submit(None, {**BODY, "model": "openai/gpt-4o"}))["lane"] == "flex"
    assert (await lanes.submit(None, **{"x-bf-async-deadline": "3600"}))["lane"] == "flex"
    assert (await lanes.submit("3600", **{"x-bf-async-deadline": "30"}))["lane"] == "now", "the deadline comes first"
    assert (await lanes.submit("0", **{"x-bf-vk": KEY_A}))["lane"] == "now"


@pytest.mark.parametrize("value", ["soon", "-1", "", "nan", "1e3", "1" * 300])
async def test_patience_that_is_no_number_is_refused(start: Start, value: str) -> None:
    gateway = await start()
    answer = await gateway.post(ASYNC, BODY, headers={"x-bf-async-patience": value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "x-bf-async-patience")


async def test_the_sdk_surfaces_say_the_lane_in_headers(start: Start) -> None:
    lanes = await lanes_on(start)
    sent = {"x-bf-async": "true", "x-bf-async-patience": "3600"}
    answer = await lanes.gateway.post("/openai/chat/completions", BODY, headers=sent)
    assert answer.headers["x-bf-async-lane"] == "flex"
    assert float(answer.headers["x-bf-async-expected-saving-usd"]) > 0
    assert "x-bf-async-promote-at" in answer.headers
    await lanes.worker.work_off()
    done = await lanes.gateway.poll(answer.headers["x-bf-async-id"])
    assert (done.headers["x-bf-async-lane"], "x-bf-async-promote-at" in done.headers) == ("flex", False)


async def test_a_response_in_the_background_waits_as_long_as_its_window(start: Start) -> None:
    lanes = await lanes_on(start)
    body = {
        "model": "openai/gpt-5",
        "input": "hi",
        "background": True,
        "background_options": {"completion_window": "2h"},
    }
    answer = await lanes.gateway.post("/openai/responses", body)
    assert answer.headers["x-bf-async-lane"] == "flex", answer.text
    async with lanes.gateway.http.stream("POST", "/openai/responses", json={**body, "stream": True}) as streamed:
        assert streamed.status_code == 200, "somebody reads along: it is not slowed down"
    listed = (await lanes.gateway.http.get("/v1/async/jobs")).json()["data"]
    found = [(await lanes.gateway.http.get(f"/v1/async/jobs/{job['id']}")).json()["lane"] for job in listed]
    assert sorted(found) == ["flex", "now"]

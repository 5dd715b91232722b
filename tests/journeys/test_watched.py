"""The pages' own configuration on a whole gateway: one trace to a collector, one scrape, an alert to two receivers."""

import asyncio
import json
import os
import re
import sysconfig
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families
from standardwebhooks.webhooks import Webhook

from tests.served import Served, clean_environ
from tests.serving import serving
from tests.tracing.collector import Collector, Span, collecting
from tests.waiting import wait_until
from tests.webhooks.lane import SECRET

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "19-watch.md").read_text()
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TOKEN = "monitoring-token-0123456789"
QUESTION: Any = [{"role": "user", "content": "How much did we spend?"}]
LATE_S = 90  # every wait here is for something that is done within 15 s on an idle machine
NAMES = {
    "POST chat.completions", "admission", "submit chat.completions", "queue wait", "run chat.completions",
    "chat gpt-4o@status=503", "chat gpt-4o", "webhook",
}  # fmt: skip
# What a reader of the page changes for a machine of their own.
HERE = {
    "sample_ratio = 0.01": "sample_ratio = 1.0",
    "above = 60\n": "above = 0.001\n",
    "for_s = 120": "for_s = 0",
    '"alert.resolved", "budget.threshold"]': '"alert.resolved", "async_job.completed"]',
}


class Receiver:
    """Somebody's HTTP server, which keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((scope["path"], headers, body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    def events(self, path: str = "/hooks/finops") -> dict[str, dict[str, Any]]:
        """Events by their type, signatures verified."""
        found = {}
        for its, headers, body in self.requests:
            if its == path:
                event = Webhook(SECRET).verify(body, headers)
                found[event["type"]] = event["data"]
        return found

    def texts(self, path: str = "/services/T00/B00/XXXX") -> list[str]:
        return [json.loads(body)["text"] for its, _, body in self.requests if its == path]


@dataclass
class Watched:
    """A gateway with its collector and the receiver of its events."""

    gateway: Served
    collector: Collector
    receiver: Receiver

    async def finops(self, line: str) -> str:
        """Run a command of the page as it stands; what it printed."""
        path = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
        ended = await asyncio.create_subprocess_exec(
            "bash", "-c", line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env=clean_environ(PATH=path, FINOPS_URL=self.gateway.url, FINOPS_KEY=self.gateway.admin_key),
        )  # fmt: skip
        printed, _ = await ended.communicate()
        assert ended.returncode == 0, printed.decode()
        return printed.decode()

    async def scrape(self) -> dict[str, float]:
        """Scrape with the monitoring token: sums of the samples by name."""
        async with httpx.AsyncClient(trust_env=False) as client:
            reply = await client.get(f"{self.gateway.url}/metrics", headers={"authorization": f"Bearer {TOKEN}"})
        sums: dict[str, float] = {}
        for family in text_string_to_metric_families(reply.text):
            for sample in family.samples:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums


def configuration(collector: str, receiver: str) -> str:
    """The examples of the page, with the addresses and bounds of this test."""
    alerts, traces = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    text = f"{alerts}\n{traces}\n[server]\nallow_private_network = true\nmetrics_auth = true\n"
    addresses = {
        "https://example.com": receiver, "https://hooks.slack.com": receiver, "http://127.0.0.1:4318": collector,
    }  # fmt: skip
    for old, new in {**HERE, **addresses}.items():
        assert old in text, old
        text = text.replace(old, new)
    return text + '[fallbacks]\n"openai/gpt-4o@status=503" = ["sim/gpt-4o"]\n'


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    receiver = Receiver()
    async with AsyncExitStack() as stack:
        collector = await stack.enter_async_context(collecting())
        origin = await stack.enter_async_context(serving(receiver))
        (folder / "finops.toml").write_text(configuration(collector.url, origin))
        gateway = Served(
            folder / "data", "--demo", "--workers", "2", "--config", str(folder / "finops.toml"),
            OPS_WEBHOOK_SECRET=SECRET, COLLECTOR_TOKEN="collector-token", FINOPS_MONITORING_TOKEN=TOKEN,
        )  # fmt: skip
        try:
            await asyncio.to_thread(gateway.wait_until_serving)
            yield Watched(gateway, collector, receiver)
        finally:
            await asyncio.to_thread(gateway.stop)


async def submit(gateway: Served, count: int) -> list[str]:
    """Submit jobs with the official SDK, the first within a trace of the caller's; their ids."""
    http = openai.DefaultAsyncHttpxClient(trust_env=False)
    ids = []
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/openai", api_key="none", http_client=http) as client:
        for number in range(count):
            caller = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "x-bf-async-webhook": "ops"}
            job = await client.chat.completions.create(
                model="openai/gpt-4o@status=503" if not number else "sim/gpt-4o",
                messages=QUESTION,
                extra_headers={"x-bf-async": "true", "x-bf-async-priority": "high", **({} if number else caller)},
            )
            ids.append(job.id)
    return ids


def assert_one_trace(spans: list[Span], job_id: str) -> None:
    """The caller's trace leads through submit, wait, run, retries, fallback and webhook, across processes."""
    failed = [span for span in spans if span.name == "chat gpt-4o@status=503"]
    assert len(failed) >= 2, "a retry is an attempt of its own"
    assert all(span.failed and span.attributes["error.type"] == "503" for span in failed)
    [submitted] = [span for span in spans if span.name == "submit chat.completions"]
    [run] = [span for span in spans if span.name == "run chat.completions"]
    [answered] = [span for span in spans if span.name == "chat gpt-4o"]
    assert (run.links, answered.parent) == ((submitted.id,), run.id)
    assert {span.parent for span in failed} == {run.id}
    assert {span.attributes["finops.job.id"] for span in (submitted, run, answered)} == {job_id}
    assert {span.resource["finops.tier"] for span in spans} == {"api", "worker"}


async def test_a_platform_team_sees_a_whole_gateway_from_outside(tmp_path: Path) -> None:
    async with watched(tmp_path) as system:
        receiver, collector = system.receiver, system.collector
        await system.finops('finops queue pause all --reason "a trial of the alerts"')
        jobs = await submit(system.gateway, 5)
        await wait_until(lambda: "alert.firing" in receiver.events() and receiver.texts(), LATE_S)
        firing = receiver.events()["alert.firing"]
        assert (firing["rule"], firing["status"], firing["metric"]) == ("old-jobs", "firing", "queue_age")
        assert "old-jobs" in receiver.texts()[0]

        blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        [commands] = [block for block in blocks if "finops alerts" in block]
        listed, *muted = [await system.finops(line) for line in commands.splitlines()]
        assert "old-jobs" in listed
        assert all("old-jobs" in printed for printed in muted)

        async def signal() -> bool:
            scale = await scaled(system.gateway)
            return (scale["claimable"], scale["workers"]) == (5, 2)

        await wait_until(signal, LATE_S)

        await system.finops("finops queue resume all")
        await wait_until(lambda: {"alert.resolved", "async_job.completed"} <= set(receiver.events()), LATE_S)

        def traced() -> list[Span]:
            found = [span for span in collector.spans if span.trace_id == TRACE]
            return found if {span.name for span in found} >= NAMES else []

        assert_one_trace(await wait_until(traced, LATE_S), jobs[0])
        assert {headers["authorization"] for _, headers in collector.requests} == {"collector-token"}

        async def summed() -> dict[str, float]:
            sums = await system.scrape()
            counted = {name: sums.get(f"finops_{name}") for name in expected}
            return sums if counted == expected else {}

        expected = {
            "jobs_submitted_total": 5, "jobs_finished_total": 5, "jobs_claimed_total": 5, "queue_depth": 0,
            "alert_firing": 0, "queue_pauses": 0,
        }  # fmt: skip
        await wait_until(summed, LATE_S)


async def scaled(gateway: Served) -> dict[str, Any]:
    """What an autoscaler reads, with the monitoring token."""
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {"authorization": f"Bearer {TOKEN}"}
        found: dict[str, Any] = (await client.get(f"{gateway.url}/api/queue/scale", headers=headers)).json()
    return found

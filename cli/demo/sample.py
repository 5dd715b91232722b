"""Sample traffic for every page of the console: made by the gateway's own API, beside a month of past use.

    FINOPS_ADMIN_KEY=... FINOPS_REDIS_URL=... python -m cli.demo.sample http://127.0.0.1:8080

`finops serve --demo` runs it once, in the background, when its store is empty.
"""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

import click
import httpx

from cli.demo.history import APPS, MODELS, past_uses
from shared.governance.ledger.past import write_past
from shared.store.multiplexed import MultiplexedClient

TEAMS = {"search": "discovery", "support-bot": "care", "reports": "finance", "research": "science"}
BUDGETS = {"search": 12, "support-bot": 20, "reports": 0.002, "research": 40}
PROMPT = [{"role": "user", "content": "Summarise what changed this week, in three sentences."}]
WEBHOOK = "orders"
LOST_WEBHOOK = "crm"


class SampleTraffic:
    """Fills an empty gateway that was started with ``--demo``.

    Args:
        client: Of the gateway, with its admin key.
        store_url: Its store, to write the past.
        webhooks: Whether the webhooks of the demo are configured.
    """

    def __init__(self, client: httpx.AsyncClient, store_url: str, *, webhooks: bool = True) -> None:
        self._client = client
        self._store_url = store_url
        self._webhooks = webhooks
        self._keys: dict[str, dict[str, Any]] = {}

    async def is_needed(self) -> bool:
        """Whether the gateway has neither keys nor jobs."""
        answers = [await self._client.get(path) for path in ("/api/keys?limit=1", "/api/jobs?limit=1")]
        return not any(answer.raise_for_status().json()["data"] for answer in answers)

    async def fill(self) -> None:
        """Make everything; the jobs may still run afterwards.

        Raises:
            httpx.HTTPError: The gateway refuses something, or does not answer.
        """
        await self._make_keys()
        await self._write_past()
        await self._client.put("/api/queue/pauses/model%3Agpt-4.1", json={"reason": "maintenance until noon"})
        await self._batch()
        await asyncio.gather(self._submit_jobs(), self._schedule())
        await self._call()  # last, so that the newest calls are of every kind

    async def _make_keys(self) -> None:
        for name, team in TEAMS.items():
            budget = {"limit_usd": BUDGETS[name], "window": "1d"}
            rate_limit = {"requests": 600, "window": "1m"}
            body = {"name": name, "team": team, "budget": budget, "rate_limit": rate_limit}
            self._keys[name] = (await self._post("/api/keys", body)).json()
        old = (await self._post("/api/keys", {"name": "ci-2025", "team": "discovery"})).json()
        await self._post(f"/api/keys/{old['id']}/revoke")

    async def _post(self, path: str, body: Any = None, key: str = "", **headers: str) -> httpx.Response:  # noqa: ANN401
        if key:
            headers["x-bf-vk"] = self._keys[key]["value"]
        return await self._client.post(path, json=body, headers=headers)

    async def _write_past(self) -> None:
        store = MultiplexedClient(self._store_url, client_name="finops-demo")
        keys = {name: (str(self._keys[name]["id"]), team) for name, team in TEAMS.items()}
        try:
            await write_past(store, past_uses(keys, datetime.now(UTC)))
        finally:
            await store.aclose()

    async def _call(self) -> None:
        """Calls with and without success, of two runs; the same again is answered by the cache."""
        for at, name in enumerate([*TEAMS, "search", "research", "search", "search", "reports", "reports"]):
            provider, model, _ = MODELS[at % len(MODELS)]
            body = {"model": f"{provider}/{model}", "messages": PROMPT}
            headers = {"x-bf-dim-app": APPS[at % 3], "x-bf-run-id": f"digest-{at % 2}", "x-bf-run-budget-usd": "2"}
            for _ in range(2):
                await self._post("/v1/chat/completions", body, name, **headers)
        for status in (500, 429, 500):
            failing = {"model": f"sim/gpt-4o@status={status}", "messages": PROMPT}
            await self._post("/v1/chat/completions", failing, "search")

    async def _submit_jobs(self) -> None:
        """Completed, failed, running, waiting, deferred and cancelled ones, some with webhooks."""
        for at in range(12):
            provider, model, _ = MODELS[at % len(MODELS)]
            headers = {"x-bf-dim-app": APPS[at % 3], **self._webhook(at)}
            await self._job(f"{provider}/{model}", ("search", "support-bot", "research")[at % 3], **headers)
        for model in ("sim/gpt-4o@status=400", "sim/gpt-4o@status=404"):
            await self._job(model, "support-bot", **{"x-bf-dim-app": "mail"}, **self._webhook(0))
        for seconds in (900, 1200):
            await self._job(f"sim/gpt-4o@latency={seconds}", "research", **{"x-bf-dim-app": "ingest"})
        for _ in range(3):
            await self._job("openai/gpt-4.1", "search", **{"x-bf-async-priority": "high"})
        await self._job("openai/gpt-4o", "research", **{"x-bf-async-delay": "3600"})
        cancelled = await self._job("sim/gpt-4o@latency=900", "search")
        await self._post(f"/api/jobs/{cancelled}/cancel")

    def _webhook(self, number: int) -> dict[str, str]:
        if not self._webhooks or number % 3:
            return {}
        return {"x-bf-async-webhook": WEBHOOK if number else LOST_WEBHOOK}

    async def _job(self, model: str, key: str, **headers: str) -> str:
        body = {"model": model, "messages": PROMPT}
        answer = await self._post("/v1/async/chat/completions", body, key, **headers)
        return str(answer.raise_for_status().json()["id"])

    async def _schedule(self) -> None:
        request = {"type": "chat.completions", "body": {"model": "openai/gpt-4o", "messages": PROMPT}}
        common = {"timezone": "Europe/Berlin", "request": request}
        path = "/v1/async/schedules"
        await self._post(path, {"name": "Morning report", "cron": "30 6 * * MON-FRI", **common}, "reports")
        await self._post(path, {"name": "Weekly digest", "cron": "0 8 * * MON", **common}, "research")
        paused = await self._post(path, {"name": "Index refresh", "every_s": 900, "request": request}, "search")
        await self._post(f"{path}/{paused.json()['id']}/pause", key="search")

    async def _batch(self) -> None:
        for models in (["sim/gpt-4o"] * 24, ["sim/gpt-4o", "sim/gpt-4o@status=400"] * 6):
            lines = [
                {"custom_id": str(at), "method": "POST", "url": "/v1/chat/completions", "body": _body(model)}
                for at, model in enumerate(models)
            ]
            content = "\n".join(map(json.dumps, lines)).encode()
            headers = {"x-bf-vk": self._keys["research"]["value"]}
            files = {"file": ("lines.jsonl", content, "application/jsonl")}
            uploaded = await self._client.post("/v1/files", data={"purpose": "batch"}, files=files, headers=headers)
            file_id = uploaded.raise_for_status().json()["id"]
            body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
            (await self._post("/v1/batches", body, "research")).raise_for_status()


def _body(model: str) -> dict[str, Any]:
    return {"model": model, "messages": PROMPT}


async def fill(url: str, store_url: str, admin_key: str, *, webhooks: bool = True) -> bool:
    """Fill a gateway if it is empty; returns whether it was.

    Args:
        url: Of the gateway.
        store_url: Of its store.
        admin_key: Its admin key.
        webhooks: Whether the webhooks of the demo are configured.

    Raises:
        httpx.HTTPError: The gateway refuses something, or does not answer.
    """
    headers = {"authorization": f"Bearer {admin_key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
        sample = SampleTraffic(client, store_url, webhooks=webhooks)
        if not await sample.is_needed():
            return False
        await sample.fill()
        return True


def main() -> int:
    """Fill the gateway that the command line names; its admin key and store are in the environment."""
    (url,) = sys.argv[1:]
    filled = asyncio.run(fill(url, os.environ["FINOPS_REDIS_URL"], os.environ["FINOPS_ADMIN_KEY"]))
    if filled:
        click.echo(f"finops: sample data are in place; look around at {url}/ui", err=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

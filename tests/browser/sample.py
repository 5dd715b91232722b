"""A month of use for the console to show: keys, jobs of every kind, and 30 days of usage before today.

The same every time, so that screenshots differ only where the console does.
"""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from redis import Redis

from shared.store.datadir import running_store_url
from tests.served import Served

DAYS = 30
HOURS = 24
TEAMS = {"search": "discovery", "support-bot": "care", "reports": "finance", "research": "science"}
MODELS = (
    ("openai", "gpt-4o", 3.2),
    ("anthropic", "claude-sonnet-4-5", 4.1),
    ("vertex", "gemini-2.5-flash", 0.9),
    ("openai", "gpt-4o-mini", 0.3),
)
APPS = ("web", "ingest", "mail")
BUDGETS = {"search": 12, "support-bot": 20, "reports": 5, "research": 40}
PROMPT = [{"role": "user", "content": "Summarise what changed this week, in three sentences."}]


class Sample:
    """Fills a gateway that was started with ``--demo``.

    Args:
        gateway: It runs and is empty.
        admin_key: Its admin key.
    """

    def __init__(self, gateway: Served, admin_key: str) -> None:
        self._gateway = gateway
        self._random = random.Random(11)
        self._keys: dict[str, dict[str, Any]] = {}
        self._client = httpx.Client(
            base_url=gateway.url, headers={"authorization": f"Bearer {admin_key}"}, timeout=30, trust_env=False
        )

    def fill(self) -> None:
        """Make everything; the jobs may still run afterwards."""
        with self._client:
            self._make_keys()
            self._write_history()
            self._client.put("/api/queue/pauses/model%3Agpt-4.1", json={"reason": "maintenance until noon"})
            self._call()
            self._submit_jobs()
            self._schedule()
            self._batch()

    def _make_keys(self) -> None:
        for name, team in TEAMS.items():
            body = {
                "name": name,
                "team": team,
                "budget": {"limit_usd": BUDGETS[name], "window": "1d"},
                "rate_limit": {"requests": 600, "window": "1m"},
            }
            self._keys[name] = self._post("/api/keys", body).json()
        old = self._post("/api/keys", {"name": "ci-2025", "team": "discovery"}).json()
        self._post(f"/api/keys/{old['id']}/revoke", None)

    def _post(self, path: str, body: Any, key: str = "", **headers: str) -> httpx.Response:
        if key:
            headers["x-bf-vk"] = self._keys[key]["value"]
        return self._client.post(path, json=body, headers=headers)

    def _write_history(self) -> None:
        """Write the sums of past hours and days, which no call can make."""
        url = running_store_url(Path(self._gateway.data_dir))
        assert url
        today = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        with Redis.from_url(url) as store, store.pipeline(transaction=False) as pipe:
            for ago in range(1, HOURS):
                moment = today - timedelta(hours=ago)
                self._write_sums(pipe, f"finops:usage:h:{moment:%Y-%m-%dT%H}", 0.05 + 0.07 * (8 < moment.hour < 19))
            for ago in range(1, DAYS):
                day = today - timedelta(days=ago)
                self._write_sums(pipe, f"finops:usage:d:{day:%Y-%m-%d}", 0.5 if day.weekday() > 4 else 1.3 - ago / 60)
            self._write_sums(pipe, f"finops:usage:d:{today:%Y-%m-%d}", 0.6)
            pipe.execute()

    def _write_sums(self, pipe: Any, name: str, scale: float) -> None:
        for at, (key, team) in enumerate(TEAMS.items()):
            for provider, model, usd in MODELS[at % 2 :]:
                calls = max(1, round(scale * self._random.uniform(60, 140)))
                cost = round(usd * scale * self._random.uniform(0.7, 1.6) * 1_000_000)
                sums = {
                    "calls": calls, "errors": round(calls * self._random.uniform(0, 0.04)), "unpriced": 0,
                    "input": calls * 1800, "output": calls * 420, "cached": calls * 300, "reasoning": 0, "cost": cost,
                    "list": round(cost * 1.15), "latency_ms": calls * self._random.randint(700, 1600),
                    "attempts": calls, "hits": calls // 9, "saved": cost // 11,
                }  # fmt: skip
                dims = f"app={APPS[at % len(APPS)]}"
                group = (self._keys[key]["id"], key, team, "", provider, model, "chat.completions", dims)
                pipe.hset(name, "\x1f".join(group), ",".join(map(str, sums.values())))
                pipe.expire(name, 400 * 86_400)

    def _call(self) -> None:
        for at, name in enumerate([*TEAMS, "search", "research", "search"]):
            provider, model, _ = MODELS[at % len(MODELS)]
            body = {"model": f"{provider}/{model}", "messages": PROMPT}
            headers = {"x-bf-dim-app": APPS[at % 3], "x-bf-run-id": f"digest-{at % 2}", "x-bf-run-budget-usd": "2"}
            self._post("/v1/chat/completions", body, name, **headers)
        self._post("/v1/chat/completions", {"model": "sim/gpt-4o@status=500", "messages": PROMPT}, "search")

    def _submit_jobs(self) -> None:
        """Completed, failed, running, waiting, deferred and cancelled ones."""
        for at in range(12):
            provider, model, _ = MODELS[at % len(MODELS)]
            self._job(
                f"{provider}/{model}", ("search", "support-bot", "research")[at % 3], **{"x-bf-dim-app": APPS[at % 3]}
            )
        for model in ("sim/gpt-4o@status=400", "sim/gpt-4o@status=404"):
            self._job(model, "support-bot", **{"x-bf-dim-app": "mail"})
        for seconds in (900, 1200):
            self._job(f"sim/gpt-4o@latency={seconds}", "research", **{"x-bf-dim-app": "ingest"})
        for _ in range(3):
            self._job("openai/gpt-4.1", "search", **{"x-bf-async-priority": "high"})
        self._job("openai/gpt-4o", "research", **{"x-bf-async-delay": "3600"})
        cancelled = self._job("sim/gpt-4o@latency=900", "search")
        self._post(f"/api/jobs/{cancelled}/cancel", None)

    def _job(self, model: str, key: str, **headers: str) -> str:
        answer = self._post("/v1/async/chat/completions", {"model": model, "messages": PROMPT}, key, **headers)
        assert answer.status_code in {200, 202}, f"{model}: {answer.text}"
        return str(answer.json()["id"])

    def _schedule(self) -> None:
        request = {"type": "chat.completions", "body": {"model": "openai/gpt-4o", "messages": PROMPT}}
        common = {"timezone": "Europe/Berlin", "request": request}
        self._post("/v1/async/schedules", {"name": "Morning report", "cron": "30 6 * * MON-FRI", **common}, "reports")
        self._post("/v1/async/schedules", {"name": "Weekly digest", "cron": "0 8 * * MON", **common}, "research")
        paused = self._post(
            "/v1/async/schedules", {"name": "Index refresh", "every_s": 900, "request": request}, "search"
        )
        self._post(f"/v1/async/schedules/{paused.json()['id']}/pause", None)

    def _batch(self) -> None:
        request = {"model": "sim/gpt-4o", "messages": PROMPT}
        line = {"method": "POST", "url": "/v1/chat/completions", "body": request}
        content = "\n".join(json.dumps({"custom_id": str(at), **line}) for at in range(40))
        headers = {"x-bf-vk": self._keys["research"]["value"]}
        files = {"file": ("lines.jsonl", content), "purpose": (None, "batch")}
        file_id = self._client.post("/v1/files", files=files, headers=headers).raise_for_status().json()["id"]
        body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        self._post("/v1/batches", body, "research").raise_for_status()

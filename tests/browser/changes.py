"""One change for each live page of the console: made through the API, seen on the open page without a reload."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
from playwright.sync_api import Locator, Page, expect

CHAT = {"messages": [{"role": "user", "content": "hello"}]}
SLOW = "sim/gpt-4o@latency=600"


class Api:
    """The gateway's API, as its administrator."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str) -> Any:
        return self._client.get(path).raise_for_status().json()

    def send(self, method: str, path: str, body: Any = None) -> None:
        self._client.request(method, path, json=body).raise_for_status()

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._client.post(path, json=body, headers=headers).raise_for_status().json()

    def submit(self, model: str, **headers: str) -> str:
        """Submit a job without a key; its id."""
        body = {"model": model, **CHAT}
        return str(self.post("/v1/async/chat/completions", body, authorization="", **headers)["id"])

    def complete(self, prompt: str = "hello", key: str = "", **headers: str) -> None:
        """Make a call, with or without a virtual key."""
        body = {"model": "sim/gpt-4o", "messages": [{"role": "user", "content": prompt}]}
        self.post("/v1/chat/completions", body, authorization="", **({"x-bf-vk": key} if key else {}), **headers)

    def make_key(self, name: str) -> dict[str, str]:
        """Make a virtual key of a team of the same name, which may make 50 calls a day."""
        body = {"name": name, "team": name, "rate_limit": {"requests": 50, "window": "1d"}}
        made: dict[str, str] = self.post("/api/keys", body)
        return made

    def upload(self, lines: Sequence[dict[str, Any]]) -> str:
        """Upload the lines of a batch; the id of the file."""
        files = {"file": ("lines.jsonl", "\n".join(map(json.dumps, lines))), "purpose": (None, "batch")}
        headers = {"authorization": "", "x-bf-provider": "finops"}
        return str(self._client.post("/v1/files", files=files, headers=headers).raise_for_status().json()["id"])


@dataclass(frozen=True)
class Change:
    """What is done while a page is open.

    Attributes:
        path: The page.
        make: Does it; what it returns tells ``watch`` what to look for.
        watch: Called with the open page before the change; finds, by what ``make`` returned, what only it shows.
        undo: Takes it back.
    """

    path: str
    make: Callable[[], Any]
    watch: Callable[[Page], Callable[[Any], Locator]]
    undo: Callable[[], object] = lambda: None


def _overview(api: Api, name: str) -> Change:
    return Change("/", lambda: api.complete(name), lambda page: _changed(_figure(page, "Calls today")))


def _jobs(api: Api, name: str) -> Change:
    return Change(
        f"/jobs?label=app:{name}",
        lambda: api.submit("sim/gpt-4o", **{"x-bf-dim-app": name}),
        lambda page: lambda job: page.locator(f"tbody a[href$='{job}']"),
    )


def _job(api: Api, name: str) -> Change:
    job = api.submit(SLOW, **{"x-bf-dim-app": name})
    return Change(
        f"/jobs/{job}",
        lambda: api.post(f"/api/jobs/{job}/cancel"),
        lambda page: lambda _: page.locator("dl .badge", has_text="cancelled"),
    )


def _queue(api: Api, name: str) -> Change:
    path = f"/api/queue/pauses/team:{name}"
    return Change(
        "/queue",
        lambda: api.send("PUT", path, {"reason": "maintenance"}),
        lambda page: lambda _: page.locator("tbody tr", has_text=name),
        lambda: api.send("DELETE", path),
    )


def _batches(api: Api, name: str) -> Change:
    line = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": {"model": "sim/gpt-4o", **CHAT}}
    body = {"input_file_id": api.upload([line]), "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return Change(
        "/batches",
        lambda: api.post("/v1/batches", body, authorization="")["id"],
        lambda page: lambda batch: page.locator(f"tbody [title='{batch}']"),
    )


def _schedules(api: Api, name: str) -> Change:
    request = {"type": "chat.completions", "body": {"model": "sim/gpt-4o", **CHAT}}
    schedule = {"name": name, "every_s": 3600, "request": request}
    return Change(
        "/schedules",
        lambda: api.post("/v1/async/schedules", schedule),
        lambda page: lambda _: page.locator("tbody tr", has_text=name),
    )


def _spend(api: Api, name: str) -> Change:
    key = api.make_key(name)["value"]
    return Change(
        "/spend", lambda: api.complete(name, key), lambda page: lambda _: page.locator("tbody tr td", has_text=name)
    )


def _limits(api: Api, name: str) -> Change:
    key = api.make_key(name)["value"]
    return Change(
        "/limits",
        lambda: api.complete(name, key),
        lambda page: lambda _: page.locator("tbody tr", has_text=name).locator("td:nth-child(4)", has_text="1"),
    )


def _keys(api: Api, name: str) -> Change:
    return Change(
        f"/keys?team={name}",
        lambda: api.make_key(name),
        lambda page: lambda made: page.locator(f"tbody [title='{made['id']}']"),
    )


def _providers(api: Api, name: str) -> Change:
    api.complete(name)  # so that there is a figure before the change

    def watch(page: Page) -> Callable[[Any], Locator]:
        card = page.locator(".card", has=page.get_by_role("heading", name="sim", exact=True))
        figure = card.locator("dt:text-is('Calls since yesterday') + dd")
        expect(figure).to_contain_text("failed")
        return _changed(figure)

    return Change("/providers", lambda: api.complete(f"{name} again"), watch)


def _calls(api: Api, name: str) -> Change:
    key = api.make_key(name)
    return Change(
        f"/calls?key={key['id']}",
        lambda: api.complete(name, key["value"]),
        lambda page: lambda _: page.locator("tbody tr", has_text=name),
    )


def _cache(api: Api, name: str) -> Change:
    return Change("/cache", lambda: api.complete(name), lambda page: _changed(_figure(page, "Stored answers")))


def _webhooks(api: Api, name: str) -> Change:
    return Change(
        "/webhooks?status=delivered",
        lambda: api.submit("sim/gpt-4o", **{"x-bf-dim-app": name, "x-bf-async-webhook": "orders"}),
        lambda page: lambda job: page.locator(f"tbody a[href$='{job}']"),
    )


def _alerts(api: Api, _: str) -> Change:
    rule = "/api/alerts/failures"
    return Change(
        "/alerts",
        lambda: api.post(f"{rule}/mute"),
        lambda page: lambda _: page.get_by_role("button", name="Unmute"),
        lambda: api.send("POST", f"{rule}/unmute"),
    )


def _audit(api: Api, name: str) -> Change:
    key = api.make_key(name)["id"]
    return Change(
        f"/audit?target={key}",
        lambda: api.send("POST", f"/api/keys/{key}/revoke"),
        lambda page: lambda _: page.locator("tbody tr", has_text="revoke"),
    )


def _runs(api: Api, name: str) -> Change:
    return Change(
        "/runs",
        lambda: api.complete(name, **{"x-bf-run-id": name}),
        lambda page: lambda _: page.locator("tbody tr", has_text=name),
    )


def _figure(page: Page, label: str) -> Locator:
    """The figure of a card; the first of that label."""
    return page.locator(".stat", has=page.locator(".label", has_text=re.compile(f"^{label}$"))).locator(".value")


def _changed(figure: Locator) -> Callable[[Any], Locator]:
    """The figure once it is another than now."""
    now = re.compile(f"^{re.escape(figure.inner_text())}$")
    return lambda _: figure.filter(has_not_text=now)


PREPARE: Sequence[Callable[[Api, str], Change]] = (
    _overview, _jobs, _job, _queue, _batches, _schedules, _spend, _limits, _keys, _providers, _calls, _cache, _webhooks,
    _alerts, _audit, _runs,
)  # fmt: skip


def prepare_changes(api: Api) -> Iterator[tuple[str, Change]]:
    """Yield the title of each live page and a change of it; each is prepared when it is asked for."""
    for prepare in PREPARE:
        yield prepare.__name__[1:].capitalize(), prepare(api, f"change-{uuid4().hex[:8]}")

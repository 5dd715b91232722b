"""`/api/prices/data`: newer published prices, used by every process, only when asked for."""

from typing import Any

import orjson

from tests.api.conftest import ADMIN_KEY, Gateway, Start
from tests.price_data import CHEAP, provider

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
CHAT = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


async def put(gateway: Gateway, rows: Any, query: str = "") -> Any:
    content = rows if isinstance(rows, bytes) else orjson.dumps(rows)
    return await gateway.http.put(f"/api/prices/data{query}", content=content, headers=ADMIN)


async def cost_usd(gateway: Gateway) -> float:
    answer = await gateway.post("/v1/chat/completions", CHAT)
    assert answer.status_code == 200
    return float(answer.headers["x-bf-cost-usd"])


async def test_newer_prices_are_used_everywhere_once_an_administrator_gives_them(start: Start) -> None:
    gateway, other = await start(), await start()
    bundled = (await gateway.http.get("/api/prices/data", headers=ADMIN)).json()
    assert (bundled["source"], bundled["stored_at"]) == ("bundled", None)
    before = await cost_usd(gateway)
    tried = (await put(gateway, CHEAP, "?dry_run=true&source=prices.json")).json()
    assert (tried["dry_run"], tried["models"], tried["added"]) == (True, 2, ["openai/new-model"])
    change = next(each for each in tried["changed"] if each["id"] == "openai/gpt-4o")
    assert (change["before"]["input"], change["after"]["input"], change["after"]["output"]) == (2.5, 1.0, 2.0)
    assert await cost_usd(gateway) == before, "a dry run changes nothing"
    stored = (await put(gateway, CHEAP, "?source=prices.json")).json()
    assert (stored["source"], stored["dry_run"], stored["version"]) == ("prices.json", False, tried["version"])
    assert await cost_usd(gateway) < before
    await other.services.prices.refresh()
    assert await cost_usd(other) == await cost_usd(gateway)
    listed = (await gateway.http.get("/api/prices?provider=openai&model=new-model", headers=ADMIN)).json()["data"]
    assert [(each["prices"]["input"], each["version"]) for each in listed] == [(3.0, stored["version"])]
    assert (await gateway.http.get("/api/prices/data", headers=ADMIN)).json()["version"] == stored["version"]
    actions = (await gateway.http.get("/api/audit", headers=ADMIN)).json()["data"]
    assert [each["detail"]["dry_run"] for each in actions if each["action"] == "PUT /api/prices/data"] == [False, True]
    gone = await gateway.http.delete("/api/prices/data", headers=ADMIN)
    assert gone.json() == bundled
    assert await cost_usd(gateway) == before


async def test_unusable_data_and_strangers_are_refused(start: Start) -> None:
    gateway = await start()
    for rows, message in (
        (b"nonsense", "not valid JSON"),
        ([provider("mistral", a={"input_mtok": 1})], "no prices of 'openai'"),
        ([provider(a={"input_mtok": -1})], "below zero"),
    ):
        refused = await put(gateway, rows)
        assert (refused.status_code, message in refused.json()["error"]["message"]) == (400, True), refused.text
    for method in ("GET", "PUT", "DELETE"):
        assert (await gateway.http.request(method, "/api/prices/data", content=b"[]")).status_code == 401
    assert (await gateway.http.get("/api/prices/data", headers=ADMIN)).json()["source"] == "bundled"
    described = (await gateway.http.get("/openapi.json")).json()["paths"]["/api/prices/data"]["put"]
    assert described["requestBody"]["content"]["application/json"]["example"]

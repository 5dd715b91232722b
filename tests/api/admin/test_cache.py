"""The cache over HTTP: its figures, purges by administrators and callers, and one entry's removal."""

from typing import Any

import pytest

from shared.cache.audit_log import Family
from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, KEY_B, Gateway, Start

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
CACHE = {"mode": "exact", "lookup_timeout_s": 20}
KEYS = {"team-a": {"value": KEY_A, "team": "red"}, "team-b": {"value": KEY_B, "team": "red"}}


@pytest.fixture
async def cached(start: Start) -> Gateway:
    return await start(cache=CACHE, virtual_keys=KEYS)


async def ask(gateway: Gateway, key: str = KEY_A, *, cache_key: str = "", **body: Any) -> Any:
    named = {"x-bf-cache-key": cache_key} if cache_key else {}
    answer = await gateway.post("/v1/chat/completions", {**CHAT, **body}, headers={"x-bf-vk": key, **named})
    assert gateway.services.inference.cache
    await gateway.services.inference.cache.store.flush()
    return answer


async def hits(gateway: Gateway, key: str = KEY_A, **request: Any) -> bool:
    return "hit" in (await ask(gateway, key, **request)).headers["cache-status"]


async def purge(gateway: Gateway, path: str = "/api/cache/purge", key: str = "", **body: Any) -> Any:
    headers = {"x-bf-vk": key} if key else ADMIN
    return await gateway.post(path, body, headers=headers)


async def test_figures(cached: Gateway) -> None:
    await ask(cached)
    await ask(cached)
    found = (await cached.http.get("/api/cache", headers=ADMIN)).json()
    assert (found["mode"], found["scope"], found["entries"], found["days"]) == ("exact", "key", 1, 7)
    assert 0 < found["bytes"] < found["max_bytes"]
    assert found["lookups"] == {"hit": 1, "miss": 1, "bypass": 0}
    assert (found["hit_rate"], found["stored"]) == (0.5, 1)
    for bad in ("0", "36", "many"):
        assert (await cached.http.get(f"/api/cache?days={bad}", headers=ADMIN)).status_code == 400
    assert (await cached.http.get("/api/cache")).status_code == 401


async def test_the_evidence_of_semantic_matches_is_reported(start: Start) -> None:
    semantic = {"embedding": "openai/text-embedding-3-small", "max_wrong": 0.1, "shadow": False}
    gateway = await start(cache={**CACHE, "mode": "semantic", "semantic": semantic}, virtual_keys=KEYS)
    empty = (await gateway.http.get("/api/cache/shadow", headers=ADMIN)).json()
    assert (empty["mode"], empty["shadow"], empty["guards"], empty["data"]) == ("semantic", False, "strict", [])
    audits = gateway.services.inference.cache.store.audits
    for number in range(60):
        await audits.record(Family("s-1", "key:team-a", "openai/gpt-4o"), 93, agreed=True)
        await audits.record(Family("s-2", "key:team-b", "openai/gpt-4o"), 90, agreed=number % 2 == 0)
    found = (await gateway.http.get("/api/cache/shadow", headers=ADMIN)).json()["data"]
    assert [(each["scope"], each["state"], each["serves_from"]) for each in found] == [
        ("key:team-a", "serving", 0.93),
        ("key:team-b", "learning", None),
    ]
    assert (found[1]["compared"], found[1]["disagreed"]) == (60, 30)
    assert found[0]["wrong_upper_bound"] == pytest.approx(0.0487, abs=1e-3)
    assert found[0]["by_similarity"] == [{"similarity": 0.93, "compared": 60, "disagreed": 0}]
    assert (await gateway.http.get("/api/cache/shadow")).status_code == 401


async def test_administrators_purge_by_scope_key_and_model(cached: Gateway) -> None:
    for key in (KEY_A, KEY_B):
        await ask(cached, key)
        await ask(cached, key, cache_key="k")
        await ask(cached, key, model="gpt-4o-mini")
    dry = await purge(cached, dry_run=True)
    assert dry.json() == {"object": "cache.purge", "purged": 6, "dry_run": True}
    assert await hits(cached)
    assert (await purge(cached, scope="key:team-a", cache_key="k")).json()["purged"] == 1
    assert (await purge(cached, model="gpt-4o-mini", scope="team-b")).json()["purged"] == 1
    assert not await hits(cached, cache_key="k")
    assert await hits(cached, KEY_B, cache_key="k")
    assert not await hits(cached, KEY_B, model="gpt-4o-mini")
    assert await hits(cached, model="openai/gpt-4o-mini")
    assert (await purge(cached, before=1_000_000_000)).json()["purged"] == 0
    assert (await purge(cached)).json()["purged"] == 6
    assert not await hits(cached)
    audit = (await cached.http.get("/api/audit", headers=ADMIN)).json()["data"]
    assert audit[0]["action"] == "POST /api/cache/purge"


@pytest.mark.parametrize(
    "body",
    [
        {"scope": "planet:earth"},
        {"scope": "key:"},
        {"scope": ""},
        {"before": 4_000_000_000},
        {"before": "yesterday"},
        {"model": "a\nb"},
        {"cache_key": "k" * 257},
        {"everything": True},
        {"dry_run": "perhaps"},
    ],
)
async def test_an_unclear_purge_is_refused(gateway: Gateway, body: dict[str, Any]) -> None:
    refused = await purge(gateway, **body)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == next(iter(body))


async def test_callers_purge_their_own_alone(cached: Gateway) -> None:
    for key in (KEY_A, KEY_B):
        await ask(cached, key)
        await ask(cached, key, cache_key="k")
    assert (await purge(cached, "/v1/cache/purge", KEY_A, cache_key="k")).json()["purged"] == 1
    assert (await purge(cached, "/v1/cache/purge", KEY_A)).json()["purged"] == 1
    assert await hits(cached, KEY_B)
    refused = await purge(cached, "/v1/cache/purge", KEY_A, scope="key:team-b")
    assert refused.status_code in (400, 422)
    assert await hits(cached, KEY_B)


async def test_a_cache_that_all_share_is_purged_by_administrators_alone(start: Start) -> None:
    shared = await start(cache={**CACHE, "scope": "shared"}, virtual_keys=KEYS)
    await ask(shared)
    assert await hits(shared, KEY_B)
    assert (await purge(shared, "/v1/cache/purge", KEY_A)).status_code == 403
    assert (await purge(shared, scope="anything")).status_code == 400
    assert (await purge(shared, scope="shared")).json()["purged"] == 1


async def test_one_answer_is_removed_by_its_id_and_a_cache_key_for_all(cached: Gateway) -> None:
    cache_id = (await ask(cached)).headers["x-bf-cache-id"]
    removed = await cached.http.delete(f"/api/cache/entries/{cache_id}", headers=ADMIN)
    assert removed.json() == {"id": cache_id, "object": "cache.entry", "deleted": True}
    assert not await hits(cached)
    assert (await cached.http.delete(f"/api/cache/clear/{cache_id}", headers=ADMIN)).status_code == 200
    assert (await cached.http.delete(f"/api/cache/clear/{cache_id}", headers=ADMIN)).status_code == 404
    for key in (KEY_A, KEY_B):
        await ask(cached, key, cache_key="k")
    cleared = await cached.http.delete("/api/cache/clear-by-key/k", headers=ADMIN)
    assert cleared.json()["purged"] == 2


async def test_the_answers_of_a_deleted_key_are_gone(start: Start) -> None:
    gateway = await start(cache=CACHE)
    made = (await gateway.post("/api/keys", {"name": "short"}, headers=ADMIN)).json()
    await ask(gateway, made["value"])
    assert (await gateway.http.get("/api/cache", headers=ADMIN)).json()["entries"] == 1
    await gateway.http.delete(f"/api/keys/{made['id']}", headers=ADMIN)
    assert (await gateway.http.get("/api/cache", headers=ADMIN)).json()["entries"] == 0


async def test_a_cache_that_is_off_is_shown_and_purged_too(gateway: Gateway) -> None:
    found = (await gateway.http.get("/api/cache", headers=ADMIN)).json()
    assert (found["mode"], found["entries"], found["hit_rate"]) == ("off", 0, None)
    assert (await purge(gateway)).json()["purged"] == 0

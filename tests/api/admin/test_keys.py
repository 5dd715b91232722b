"""``/api/keys``: keys made, changed and ended at run time by administrators."""

import asyncio
from typing import Any

import pytest

from tests.api.admin.administering import ADMIN, make, refused, use
from tests.api.conftest import KEY_A, Gateway, Start
from tests.waiting import wait_until


async def test_a_key_is_made_shown_without_its_value_and_used(gateway: Gateway) -> None:
    made = await make(gateway, "search", team="t", budget={"limit_usd": 5, "window": "1d"}, dimensions={"app": "x"})
    assert made["value"].startswith("sk-bf-")
    assert (made["object"], made["name"], made["status"], made["configured"]) == (
        "virtual_key",
        "search",
        "active",
        False,
    )
    document = (await gateway.http.get(f"/api/keys/{made['id']}", headers=ADMIN)).json()
    assert document == {name: value for name, value in made.items() if name != "value"}
    assert document["budgets"] == [{"limit_usd": 5.0, "window": "1d", "on_exhausted": "reject"}]
    assert (await use(gateway, made["value"], model="openai/gpt-4o")).status_code == 200


async def test_the_answer_with_the_value_is_not_to_be_stored(gateway: Gateway) -> None:
    answer = await gateway.post("/api/keys", {"name": "a"}, headers=ADMIN)
    assert answer.headers["cache-control"] == "no-store"
    rotated = await gateway.post(f"/api/keys/{answer.json()['id']}/rotate", headers=ADMIN)
    assert rotated.headers["cache-control"] == "no-store"


async def test_keys_are_listed_by_pages_and_by_what_they_are(tenants: Gateway) -> None:
    first = await make(tenants, "one", team="red", customer="acme")
    second = await make(tenants, "two", team="blue")
    await tenants.post(f"/api/keys/{second['id']}/revoke", headers=ADMIN)

    async def ids(query: str = "") -> list[str]:
        page = (await tenants.http.get(f"/api/keys{query}", headers=ADMIN)).json()
        return [key["id"] for key in page["data"]]

    assert await ids() == ["team-a", "team-b", first["id"], second["id"]]
    assert await ids("?team=red") == await ids("?customer=acme") == [first["id"]]
    assert await ids("?status=revoked") == [second["id"]]
    page = (await tenants.http.get("/api/keys?limit=1&status=active&after=team-a", headers=ADMIN)).json()
    assert (page["last_id"], page["has_more"]) == ("team-b", True)
    assert await ids("?after=team-b&limit=1") == [first["id"]]
    assert (await refused(tenants, "GET", "/api/keys?after=vk_gone", 400))["param"] == "after"
    assert (await refused(tenants, "GET", "/api/keys?status=new", 400))["param"] == "status"
    assert (await refused(tenants, "GET", "/api/keys?limit=0", 400))["param"] == "limit"


async def test_a_configured_key_is_shown_and_only_the_file_changes_it(tenants: Gateway) -> None:
    document = (await tenants.http.get("/api/keys/team-a", headers=ADMIN)).json()
    assert (document["configured"], document["hint"]) == (True, KEY_A[-4:])
    assert KEY_A not in str(document)
    for method, path in (("POST", "/revoke"), ("POST", "/rotate"), ("DELETE", "")):
        assert "finops.toml" in (await refused(tenants, method, f"/api/keys/team-a{path}", 400))["message"]
    error = await refused(tenants, "PATCH", "/api/keys/team-a", 400, json={"weight": 2})
    assert "change it there" in error["message"]


async def test_a_change_acts_and_leaves_the_rest(gateway: Gateway) -> None:
    made = await make(gateway, team="red", budget={"limit_usd": 5})
    changed = (await gateway.http.patch(f"/api/keys/{made['id']}", json={"models": ["openai/*"]}, headers=ADMIN)).json()
    assert (changed["team"], changed["models"], changed["budgets"]) == ("red", ["openai/*"], made["budgets"])
    await wait_until(lambda: _answers(gateway, made["value"], 403))
    body = {"name": "b", "budget": None, "models": ["*"]}
    free = (await gateway.http.patch(f"/api/keys/{made['id']}", json=body, headers=ADMIN)).json()
    assert (free["name"], free["budgets"]) == ("b", [])
    assert (await refused(gateway, "PATCH", f"/api/keys/{made['id']}", 400, json={}))["param"] == "body"


async def _answers(gateway: Gateway, value: str, status: int) -> bool:
    return (await use(gateway, value)).status_code == status


async def test_changes_at_the_same_time_are_all_kept(gateway: Gateway) -> None:
    made = await make(gateway)
    path = f"/api/keys/{made['id']}"
    changes: list[dict[str, Any]] = [
        {"team": "t"},
        {"customer": "c"},
        {"weight": 2},
        {"models": ["x/*"]},
        {"name": "n"},
    ]
    calls = [gateway.http.patch(path, json=part, headers=ADMIN) for part in changes]
    await asyncio.gather(*calls, gateway.post(f"{path}/revoke", headers=ADMIN))
    document = (await gateway.http.get(path, headers=ADMIN)).json()
    assert document["status"] == "revoked"
    kept = [part for part in changes if part.items() <= document.items()]
    entries = (await gateway.http.get(f"/api/audit?target={made['id']}", headers=ADMIN)).json()["data"]
    done = [entry for entry in entries if entry["action"].startswith("PATCH") and entry["status"] == 200]
    assert len(kept) == len(done)


async def test_a_rotated_key_has_two_values_for_the_grace_period(gateway: Gateway) -> None:
    made = await make(gateway)
    path = f"/api/keys/{made['id']}"
    rotated = (await gateway.post(f"{path}/rotate", {"grace_s": 60}, headers=ADMIN)).json()
    assert rotated["value"] != made["value"]
    assert [await _answers(gateway, value, 200) for value in (made["value"], rotated["value"])] == [True, True]
    last = (await gateway.post(f"{path}/rotate", headers=ADMIN)).json()
    for value in (made["value"], rotated["value"]):
        await wait_until(lambda value=value: _answers(gateway, value, 401))
    assert await _answers(gateway, last["value"], 200)
    assert (await refused(gateway, "POST", f"{path}/rotate", 400, json={"grace_s": -1}))["param"] == "grace_s"


async def test_a_revoked_key_is_refused_and_changed_no_more(gateway: Gateway) -> None:
    made = await make(gateway)
    path = f"/api/keys/{made['id']}"
    assert (await use(gateway, made["value"], model="openai/gpt-4o")).status_code == 200
    assert (await gateway.post(f"{path}/revoke", headers=ADMIN)).json()["status"] == "revoked"
    assert (await gateway.post(f"{path}/revoke", headers=ADMIN)).status_code == 200
    await wait_until(lambda: _answers(gateway, made["value"], 403))
    for method, tail, body in (("POST", "/rotate", {}), ("PATCH", "", {"weight": 2})):
        assert (await refused(gateway, method, path + tail, 409, json=body))["code"] == "key_revoked"


async def test_a_deleted_key_is_unknown(gateway: Gateway) -> None:
    made = await make(gateway)
    path = f"/api/keys/{made['id']}"
    assert (await gateway.http.delete(path, headers=ADMIN)).json() == {
        "id": made["id"], "object": "virtual_key", "deleted": True,
    }  # fmt: skip
    await wait_until(lambda: _answers(gateway, made["value"], 401))
    for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/limits"), ("POST", "/revoke")):
        assert (await refused(gateway, method, path + tail, 404))["code"] == "key_not_found"


@pytest.mark.parametrize("end", ["revoke", "delete", "expire"])
async def test_waiting_jobs_of_a_key_that_ended_fail_without_a_call(gateway: Gateway, sim: Any, end: str) -> None:
    made = await make(gateway)
    job_id = await gateway.submit(**{"x-bf-vk": made["value"]})
    path = f"/api/keys/{made['id']}"
    if end == "revoke":
        await gateway.post(f"{path}/revoke", headers=ADMIN)
    elif end == "delete":
        await gateway.http.delete(path, headers=ADMIN)
    else:
        await gateway.http.patch(path, json={"expires_at": "2020-01-01T00:00:00Z"}, headers=ADMIN)
    await wait_until(lambda: _answers(gateway, made["value"], 401 if end == "delete" else 403))
    calls = len(sim.requests)
    await gateway.worker.work_off()
    job = (await gateway.http.get(f"/api/jobs/{job_id}", headers=ADMIN)).json()
    assert (job["status"], job["error"]["code"]) == ("failed", "virtual_key_blocked")
    assert len(sim.requests) == calls


async def test_a_changed_share_and_limit_act_on_jobs_that_wait(gateway: Gateway) -> None:
    made = await make(gateway, max_concurrent_jobs=1)
    for _ in range(3):
        await gateway.submit(**{"x-bf-vk": made["value"]})
    [first] = await gateway.worker.claim(3)
    assert await gateway.worker.claim(3) == ()
    change = {"max_concurrent_jobs": 2, "weight": 5}
    await gateway.http.patch(f"/api/keys/{made['id']}", json=change, headers=ADMIN)
    [second] = await gateway.worker.claim(3)
    stored = await gateway.services.commands.execute("HGET", f"finops:caller:{made['id']}", "weight")
    assert float(stored) == 5
    await gateway.http.patch(f"/api/keys/{made['id']}", json={"max_concurrent_jobs": None}, headers=ADMIN)
    [third] = await gateway.worker.claim(3)
    for claim in (first, second, third):
        await gateway.worker.run(claim)


async def test_the_limits_of_a_key_say_how_they_stand_and_where_they_are_heading(start: Start) -> None:
    gateway = await start(teams={"red": {"budget": {"limit_usd": 90, "window": "1M"}}})
    limits = {"budgets": [{"limit_usd": 1}, {"limit_usd": 2, "window": "rolling:1d"}]}
    made = await make(gateway, team="red", rate_limit={"requests": 5, "tokens": 100_000}, **limits)
    assert (await use(gateway, made["value"], model="openai/gpt-4o")).status_code == 200
    found = (await gateway.http.get(f"/api/keys/{made['id']}/limits", headers=ADMIN)).json()["data"]
    named = {(row["kind"], row["of"], row["window"]): row for row in found}
    assert (row := named["requests", "key", "1m"])["used"] == 1
    assert (row["limit"], row["left"]) == (5, 4)
    assert named["budget", "key", "1d"]["limit_usd"] == 1.0
    assert named["budget", "key", "1d"]["forecast"]["exhausted_at"] is None
    assert "forecast" not in named["budget", "key", "rolling:1d"]
    assert named["budget", "team", "1M"]["of_name"] == "red"
    assert named["tokens", "key", "1m"]["resets_at"].endswith("Z")
    bare = await make(gateway)
    assert (await gateway.http.get(f"/api/keys/{bare['id']}/limits", headers=ADMIN)).json()["data"] == []


async def test_an_exhausted_budget_is_forecast(gateway: Gateway) -> None:
    made = await make(gateway, budget={"limit_usd": 0})
    [row] = (await gateway.http.get(f"/api/keys/{made['id']}/limits", headers=ADMIN)).json()["data"]
    assert row["forecast"]["exhausted_at"] is not None


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"name": "a", "budgit": {"limit_usd": 1}}, "budgit", "did you mean 'budget'?"),
        ({"name": "a", "budget": {"limit": 1, "limit_usd": 1}}, "budget.limit", "did you mean 'limit_usd'?"),
        ({"name": "a", "value": "sk-bf-mine"}, "value", "unknown key"),
        ({"name": "a", "budget": {"limit_usd": -1}}, "budget.limit_usd", "must be at least 0"),
        ({"name": "a", "rate_limit": {"requests": 1, "window": "2d"}}, "rate_limit.window", "must be 1m"),
        ({"name": "a", "weight": 0}, "weight", "must be at least"),
        ({"name": "a", "models": ["x"] * 201}, "models", "200 or fewer"),
        ({"name": "a", "team": "a\x1fb"}, "team", "match"),
        ({"name": "a", "dimensions": {"Not a name": "x"}}, "dimensions.Not a name.[key]", "match"),
        ({"name": "a", "fallbacks": ["nowhere/x"]}, "fallbacks", "nowhere"),
        ({"name": "a\nb"}, "name", "letters"),
        ({"name": 7}, "name", "must be a string"),
        ({}, "name", "required"),
        ([], "body", "dictionary"),
        ("text", "body", "dictionary"),
    ],
)
async def test_a_wrong_body_is_refused_with_its_path_and_the_nearest_known_name(
    gateway: Gateway, body: Any, param: str, words: str
) -> None:
    error = await refused(gateway, "POST", "/api/keys", 400, json=body)
    assert error["param"] == param
    assert words in error["message"]


async def test_invalid_json_and_large_bodies_are_refused(gateway: Gateway) -> None:
    kind = {**ADMIN, "content-type": "application/json"}
    broken = await gateway.http.post("/api/keys", content=b"{", headers=kind)
    assert (broken.status_code, broken.json()["error"]["message"]) == (400, "The request body is not valid JSON.")
    deep = await gateway.http.post("/api/keys", content=b"[" * 60_000, headers=kind)
    assert deep.status_code == 400
    large = await gateway.http.post("/api/keys", content=b'{"name":"' + b"a" * 70_000 + b'"}', headers=kind)
    assert (large.status_code, large.json()["error"]["code"]) == (413, "request_too_large")


async def test_a_fallback_may_be_an_alias_or_a_route(start: Start) -> None:
    gateway = await start(
        aliases={"fast": "sim/gpt-4o"}, routes={"smart": {"targets": [{"model": "sim/a"}, {"model": "sim/b"}]}}
    )
    made = await make(gateway, fallbacks=["fast", "smart", "sim/gpt-4o"])
    assert (await use(gateway, made["value"], model="sim/x@status=500")).status_code == 200


async def test_an_unreachable_store_is_a_503(start: Start) -> None:
    gateway = await start(redis_url="redis://127.0.0.1:1/0")
    for path in ("/api/keys", "/api/audit", "/api/keys/vk_1"):
        assert (await refused(gateway, "GET", path, 503))["code"] == "store_unavailable"
    assert (await refused(gateway, "POST", "/api/keys", 503, json={"name": "a"}))["code"] == "store_unavailable"

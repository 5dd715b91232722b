"""API tokens: a role and an end each, one table of what every route needs, hashes alone in the store."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.admin.permissions import PERMISSIONS, permission_for
from shared import clock
from shared.errors import StoreUnavailable
from shared.governance import keyspace
from shared.governance.keys import tokens as tokens_module
from shared.governance.keys.roles import GIVEN_ROLES, Permission, Role
from shared.governance.keys.roles import PERMISSIONS as GRANTED
from tests.api.admin.administering import ADMIN, refused
from tests.api.conftest import ADMIN_KEY, Gateway, Start


async def make_token(gateway: Gateway, role: str = "viewer", **more: Any) -> dict[str, Any]:
    answer = await gateway.post("/api/tokens", {"name": f"ci {role}", "role": role, **more}, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    made: dict[str, Any] = answer.json()
    return made


def bearer(value: str) -> dict[str, str]:
    return {"authorization": f"Bearer {value}"}


async def test_a_token_administers_in_its_role_until_it_is_deleted(gateway: Gateway) -> None:
    made = await make_token(gateway, "operator")
    value, token_id = made["value"], made["id"]
    as_token = bearer(value)
    listed = (await gateway.http.get("/api/tokens", headers=as_token)).json()["data"]
    assert [token["id"] for token in listed] == [token_id]
    assert (await gateway.http.get(f"/api/tokens/{token_id}", headers=as_token)).json() == listed[0]
    assert "value" not in listed[0]
    assert listed[0]["created_by"].startswith("admin key ")
    pause = await gateway.http.put("/api/queue/pauses/all", json={"reason": "test"}, headers=as_token)
    assert pause.status_code == 200, pause.text
    key = await gateway.post("/api/keys", {"name": "a"}, headers=as_token)
    assert (key.status_code, key.json()["error"]["code"]) == (403, "role_too_low")
    assert f"needs the role admin; token ci operator ({token_id}) has the role operator" in key.text
    trail = (await gateway.http.get("/api/audit", headers=ADMIN)).json()["data"]
    assert [(entry["action"], entry["who"]) for entry in trail[:1]] == [
        ("PUT /api/queue/pauses/{scope}", f"token ci operator ({token_id})")
    ]
    assert trail[1]["action"] == "POST /api/tokens"
    assert trail[1]["target"] == token_id
    stored = await gateway.services.commands.execute("GET", keyspace.token(token_id))
    for text in (str(trail), stored.decode()):
        assert value not in text
        assert value[-43:] not in text
    deleted = await gateway.http.delete(f"/api/tokens/{token_id}", headers=ADMIN)
    assert deleted.json() == {"object": "api_token", "id": token_id, "deleted": True}
    assert (await gateway.http.get("/api/keys", headers=as_token)).status_code == 401
    for method in ("GET", "DELETE"):
        assert (await refused(gateway, method, f"/api/tokens/{token_id}", 404))["code"] == "token_not_found"
    assert (await refused(gateway, "GET", "/api/tokens/nonsense", 404))["code"] == "token_not_found"


async def test_every_route_of_the_administration_lets_in_its_roles_alone(gateway: Gateway) -> None:
    assert permission_for("GET", "/api/new") is Permission.ADMINISTER
    values = {role: (await make_token(gateway, role.value))["value"] for role in GIVEN_ROLES}
    for route in PERMISSIONS:
        method, path = route.split()
        # An id that does not exist; the roles are checked before it is looked up.
        path = path.replace("{", "").replace("}", "")
        assert (await gateway.http.request(method, path)).status_code == 401, route
        allowed = {role for role in GIVEN_ROLES if PERMISSIONS[route] in GRANTED[role]}
        for role in set(GIVEN_ROLES) - allowed:
            answer = await gateway.http.request(method, path, headers=bearer(values[role]))
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "role_too_low"), (route, role)
        if method == "GET":
            for role in allowed:
                assert (await gateway.http.get(path, headers=bearer(values[role]))).status_code in {200, 404}, route


async def test_a_role_lets_pass_where_it_should(gateway: Gateway) -> None:
    finance = bearer((await make_token(gateway, "finance"))["value"])
    body = {"limit": "x", "amount_usd": 1, "until": "2099-01-01T00:00:00Z", "reason": "r"}
    for path, headers in (("/api/keys/x/limits/raise", finance), ("/api/keys/x/limits/raise", ADMIN)):
        assert (await gateway.post(path, body, headers=headers)).status_code == 400
    admin = bearer((await make_token(gateway, "admin"))["value"])
    assert (await gateway.post("/api/keys", {"name": "a"}, headers=admin)).status_code == 201
    assert (await gateway.http.get("/v1/async/jobs/x", headers=admin)).status_code in {401, 404}
    assert not gateway.services.governance.is_admin({b"authorization": admin["authorization"].encode()})


async def test_the_monitoring_token_is_a_role_of_the_same_table(start: Start) -> None:
    token = "monitoring-token-0123456789"
    gateway = await start(
        auth={"admin_key": ADMIN_KEY, "monitoring_token": token}, server={"metrics_auth": True, "shutdown_grace_s": 2}
    )
    viewer = (await make_token(gateway))["value"]
    for value in (token, viewer, ADMIN_KEY):
        for path in ("/metrics", "/api/queue/scale"):
            assert (await gateway.http.get(path, headers=bearer(value))).status_code == 200, path
    assert (await gateway.http.get("/metrics")).status_code == 401
    answer = await gateway.http.get("/api/keys", headers=bearer(token))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "admin_key_required")
    assert Role.MONITORING not in GIVEN_ROLES


async def test_a_wrong_value_counts_as_a_guess(gateway: Gateway) -> None:
    made = await make_token(gateway)
    other = made["value"][:-43] + "A" * 43
    statuses = []
    for value in (other, "fin-tok_0123456789abcdef-" + "A" * 43, "fin-", f"{made['value']}x"):
        answer = await gateway.http.get("/api/tokens", headers=bearer(value))
        statuses.append((answer.status_code, answer.json()["error"]["code"]))
    assert statuses == [(401, "admin_key_required")] * 4


async def test_a_token_ends_by_itself(gateway: Gateway) -> None:
    now = clock.now()
    soon = await make_token(gateway, expires_at=(now + timedelta(days=1)).isoformat())
    late = await make_token(gateway)
    ttl = [await gateway.services.commands.execute("TTL", keyspace.token(made["id"])) for made in (soon, late)]
    assert 86_000 < ttl[0] <= 86_400
    assert 89 * 86_400 < ttl[1] <= 90 * 86_400
    await gateway.services.commands.execute("DEL", keyspace.token(soon["id"]))  # as at its end
    listed = (await gateway.http.get("/api/tokens", headers=ADMIN)).json()["data"]
    assert [token["id"] for token in listed] == [late["id"]]
    await gateway.services.commands.execute("ZADD", keyspace.TOKENS, 1, soon["id"])
    await make_token(gateway)
    assert await gateway.services.commands.execute("ZSCORE", keyspace.TOKENS, soon["id"]) is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": "a"}, "role"),
        ({"role": "viewer"}, "name"),
        ({"name": "a", "role": "root"}, "role"),
        ({"name": "a", "role": "monitoring"}, "role"),
        ({"name": "x" * 101, "role": "viewer"}, "name"),
        ({"name": "a\nb", "role": "viewer"}, "name"),
        ({"name": "a", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "a", "role": "viewer", "expires_at": "2999-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "a", "role": "viewer", "expires_at": "2027-01-01T00:00:00"}, "expires_at"),
        ({"name": "a", "role": "viewer", "expire_at": 1}, "expire_at"),
    ],
)
async def test_bad_requests_are_refused(gateway: Gateway, body: dict[str, Any], param: str) -> None:
    assert (await refused(gateway, "POST", "/api/tokens", 400, json=body))["param"] == param


async def test_tokens_are_bounded(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "MAX_TOKENS", 1)
    assert (await gateway.http.get("/api/tokens", headers=ADMIN)).json()["data"] == []
    await make_token(gateway)
    body = {"name": "b", "role": "viewer"}
    assert (await refused(gateway, "POST", "/api/tokens", 409, json=body))["code"] == "too_many_tokens"


async def test_a_token_cannot_be_checked_without_the_store(start: Start) -> None:
    gateway = await start(redis_url="redis://127.0.0.1:1/0")
    value = "fin-tok_0123456789abcdef-" + "A" * 43
    answers: list[httpx.Response] = await asyncio.gather(
        gateway.http.get("/api/prices", headers=bearer(value)), gateway.http.get("/api/prices", headers=ADMIN)
    )
    assert [answer.status_code for answer in answers] == [503, 200]
    with pytest.raises(StoreUnavailable):
        await gateway.services.tokens.list()

"""``/api``: closed to all but administrators, slow to those who guess, and what is done there is kept."""

import logging
from typing import Any

import httpx
import pytest

from api.http.login_throttle import BURST, LoginThrottle
from shared.errors import TooManyAttempts
from tests.api.admin.administering import ADMIN, make, refused
from tests.api.conftest import KEY_A, Gateway, Start


async def test_nothing_of_a_request_is_read_before_its_key(gateway: Gateway) -> None:
    kind = {"content-type": "application/json"}
    for method, path in (
        ("POST", "/api/keys"),
        ("PATCH", "/api/keys/x"),
        ("GET", "/api/audit"),
        ("DELETE", "/api/keys/x"),
    ):
        answer = await gateway.http.request(method, path, content=b"{", headers=kind)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "admin_key_required")


async def test_administration_is_closed_to_virtual_keys(tenants: Gateway) -> None:
    made = await make(tenants)
    for header in ("x-bf-vk", "authorization", "x-api-key", "x-bf-admin-key"):
        for value in (made["value"], KEY_A):
            secret = f"Bearer {value}" if header == "authorization" else value
            answer = await tenants.http.get("/api/keys", headers={header: secret})
            assert answer.status_code in {401, 429}


async def test_a_refusal_says_whether_a_key_is_missing_wrong_or_not_configured(start: Start) -> None:
    gateway, without = await start(), await start(auth={})
    asked = {
        "none": await gateway.http.get("/api/keys"),
        "wrong": await gateway.http.get("/api/keys", headers={"authorization": "Bearer x"}),
        "unset": await without.http.get("/api/keys", headers=ADMIN),
    }
    texts = {name: answer.json()["error"]["message"].partition("`. ")[2] for name, answer in asked.items()}
    assert texts == {
        "none": "",
        "wrong": "The key of this request is neither.",
        "unset": "No admin key is configured: set FINOPS_ADMIN_KEY or auth.admin_key.",
    }


async def test_the_admin_key_is_accepted_in_every_header(gateway: Gateway) -> None:
    key = "test-admin-key-0123456789"
    for headers in ({"x-api-key": key}, {"x-bf-admin-key": key}, {"authorization": "Basic x", "x-bf-admin-key": key}):
        assert (await gateway.http.get("/api/keys", headers=headers)).status_code == 200


async def test_guessing_the_admin_key_is_throttled_and_the_right_one_always_works(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.services.attempts._clock = lambda: 0.0  # no token returns while a slow machine makes its guesses

    async def attempt(key: str) -> httpx.Response:
        return await gateway.http.get("/api/keys", headers={"authorization": f"Bearer {key}"})

    for _ in range(3 * BURST):
        assert (await attempt("an old key that a machine goes on with")).status_code == 401
    answers = [await attempt(f"guess-{at}") for at in range(BURST)]
    assert answers[-1].status_code == 429
    assert answers[-1].json()["error"]["code"] == "too_many_attempts"
    assert answers[-1].headers["retry-after"] == "6"
    assert caplog.text.count("Too many wrong keys") == 1
    assert "guess" not in caplog.text
    assert (await gateway.http.get("/api/keys")).status_code == 401
    assert (await gateway.http.get("/api/keys", headers=ADMIN)).status_code == 200


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_guesses_come_back_one_by_one_and_others_are_not_concerned() -> None:
    clock = _Clock()
    attempts = LoginThrottle(clock)
    for at in range(BURST):
        assert attempts.allows("10.0.0.1", b"%d" % at)
        attempts.wrong("10.0.0.1", b"%d" % at)
    with pytest.raises(TooManyAttempts) as limited:
        attempts.wrong("10.0.0.1", b"another")
    assert limited.value.retry_after_s == 6
    assert not attempts.allows("10.0.0.1", b"another")
    attempts.wrong("10.0.0.1", b"9")  # the same wrong key again
    attempts.wrong("10.0.0.1", b"")  # no key
    assert attempts.allows("10.0.0.2", b"another")
    clock.now = 6
    assert attempts.allows("10.0.0.1", b"another")
    assert not attempts.allows("10.0.0.1", b"9")


def test_an_ipv6_guesser_has_one_network_and_mapped_addresses_are_the_address() -> None:
    attempts = LoginThrottle(_Clock())
    for at in range(BURST):
        attempts.wrong(f"2001:db8::{at:x}", b"%d" % at)
        attempts.wrong("::ffff:10.0.0.1", b"%d" % at)
        attempts.wrong("not an address", b"%d" % at)
    for address in ("2001:db8::ffff", "10.0.0.1", "not an address"):
        with pytest.raises(TooManyAttempts):
            attempts.wrong(address, b"x")
    assert attempts.allows("2001:db8:0:1::", b"x")


def test_no_more_addresses_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.http.login_throttle.REMEMBERED", 2)
    attempts = LoginThrottle(_Clock())
    for at in range(3):
        attempts.wrong(f"10.0.0.{at}", b"x")
    assert attempts.allows("10.0.0.0", b"x")
    assert not attempts.allows("10.0.0.2", b"x")


async def test_every_change_by_an_administrator_is_audited(tenants: Gateway) -> None:
    made = await make(tenants, "search", budget={"limit_usd": 5})
    path = f"/api/keys/{made['id']}"
    await tenants.http.patch(path, json={"weight": 2}, headers={**ADMIN, "x-request-id": "req-1"})
    await tenants.post(f"{path}/rotate", {"grace_s": 5}, headers=ADMIN)
    await refused(tenants, "POST", "/api/keys/vk_nobody/revoke", 404)
    await refused(tenants, "POST", "/api/keys", 400, json={"nme": 1})
    job_id = await tenants.submit(**{"x-bf-vk": KEY_A})
    await tenants.post(f"/v1/async/jobs/{job_id}/cancel", headers=ADMIN)
    await tenants.http.get("/api/webhooks/secret", headers=ADMIN)
    await tenants.http.get("/api/keys", headers=ADMIN)
    page = (await tenants.http.get("/api/audit", headers=ADMIN)).json()
    recorded = [(entry["action"], entry["target"], entry["status"]) for entry in reversed(page["data"])]
    assert recorded == [
        ("POST /api/keys", made["id"], 201),
        ("PATCH /api/keys/{key_id}", made["id"], 200),
        ("POST /api/keys/{key_id}/rotate", made["id"], 200),
        ("POST /api/keys/{key_id}/revoke", "vk_nobody", 404),
        ("POST /api/keys", "", 400),
        ("POST /v1/async/jobs/{job_id}/cancel", job_id, 200),
        ("GET /api/webhooks/secret", "webhook secret", 200),
    ]
    changed = page["data"][5]
    assert (changed["detail"], changed["request_id"], changed["address"]) == ({"weight": 2}, "req-1", "127.0.0.1")
    assert changed["who"].startswith("admin key ")
    assert made["value"] not in str(page)
    assert "test-admin-key" not in str(page)


async def test_callers_actions_on_their_own_jobs_are_not_audited(tenants: Gateway) -> None:
    job_id = await tenants.submit(**{"x-bf-vk": KEY_A})
    await tenants.post(f"/v1/async/jobs/{job_id}/cancel", headers={"x-bf-vk": KEY_A})
    assert (await tenants.http.get("/api/audit", headers=ADMIN)).json()["data"] == []


async def test_the_trail_is_read_page_by_page_and_by_target(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [(await make(gateway, f"k{at}"))["id"] for at in range(5)]

    async def page(query: str) -> dict[str, Any]:
        found: dict[str, Any] = (await gateway.http.get(f"/api/audit?{query}", headers=ADMIN)).json()
        return found

    first = await page("limit=2")
    assert [entry["target"] for entry in first["data"]] == ids[:2:-1]
    assert first["has_more"]
    rest = await page(f"after={first['last_id']}")
    assert [entry["target"] for entry in rest["data"]] == ids[2::-1]
    assert (rest["has_more"], rest["last_id"]) == (False, None)
    monkeypatch.setattr("shared.governance.ledger.audit._READ_AT_ONCE", 1)
    monkeypatch.setattr("shared.governance.ledger.audit.MAX_SCAN", 2)
    short = await page(f"target={ids[0]}")
    assert (short["data"], short["has_more"]) == ([], True)
    monkeypatch.setattr("shared.governance.ledger.audit.MAX_SCAN", 9)
    assert [entry["target"] for entry in (await page(f"target={ids[0]}"))["data"]] == [ids[0]]
    for cursor in ("x", "1-", "1-\u00b2", "9" * 50 + "-1"):
        assert (await refused(gateway, "GET", f"/api/audit?after={cursor}", 400))["param"] == "after"


async def test_an_audit_entry_that_cannot_be_stored_is_logged_and_the_key_still_returned(
    gateway: Gateway, redis: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.set("finops:audit", "in the way")
    with caplog.at_level(logging.INFO, "finops.audit"):
        made = await make(gateway)
    [entry, failure] = [record for record in caplog.records if record.name == "finops.audit"]
    assert (entry.target, entry.status) == (made["id"], 201)
    assert "could not be stored" in failure.getMessage()
    assert made["value"] not in caplog.text


async def test_administration_is_described(gateway: Gateway) -> None:
    described = (await gateway.http.get("/openapi.json")).json()
    create = described["paths"]["/api/keys"]["post"]
    assert create["security"] == [{"AdminKey": []}]
    assert {"201", "400", "401", "429", "503"} <= set(create["responses"])
    assert "422" not in create["responses"]
    body = described["components"]["schemas"]["NewKey"]
    assert body["required"] == ["name"]
    assert {"budget", "rate_limits", "team", "weight", "dimensions", "expires_at"} <= set(body["properties"])
    assert "value" not in body["properties"]
    assert described["components"]["securitySchemes"]["AdminKey"]["scheme"] == "bearer"
    for path in ("/api/keys/{key_id}/rotate", "/api/keys/{key_id}/limits", "/api/audit", "/api/jobs"):
        assert path in described["paths"]

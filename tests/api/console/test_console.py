"""``/ui``: the console's files are safe to serve, and a session sees what its key may see, from its own pages only."""

import gzip
import re
from typing import Any

import httpx
import pytest

from api.http.console_assets import load_assets
from shared.governance.keys.sessions import COOKIE, Sessions, is_same_origin, token_of
from tests.api.admin.administering import ADMIN, make
from tests.api.conftest import ADMIN_KEY, KEY_A, Gateway

SIGN_IN = "/ui/session"


@pytest.fixture
async def browser(gateway: Gateway) -> Any:
    async with httpx.AsyncClient(base_url=gateway.url, timeout=20) as client:
        yield client


async def sign_in(client: httpx.AsyncClient, **proof: str) -> httpx.Response:
    return await client.post(SIGN_IN, json=proof)


async def test_every_address_below_ui_is_the_page(browser: httpx.AsyncClient) -> None:
    for path in ("/ui", "/ui/", "/ui/jobs/123?status=failed", "/ui/<script>"):
        answer = await browser.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


async def test_files_are_immutable_and_the_page_is_revalidated(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/ui")
    assert page.headers["cache-control"] == "no-cache"
    assert (await browser.get("/ui", headers={"if-none-match": page.headers["etag"]})).status_code == 304
    (script,) = re.findall(r'src="([^"]+main\.js)"', page.text)
    answer = await browser.get(script)
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/javascript")
    plain = await browser.get(script, headers={"accept-encoding": "identity"})
    assert plain.content == answer.content
    missing = await browser.get("/ui/0123/app/none.js")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")


def test_scripts_are_sent_without_their_doc_comments() -> None:
    scripts = [asset.plain for path, asset in load_assets().files.items() if "/app/" in path and path.endswith(".js")]
    assert scripts
    for script in scripts:
        assert b"/**" not in script


def test_the_console_names_no_other_origin_and_stays_small() -> None:
    assets = load_assets()
    packed = sum(len(asset.packed) for path, asset in assets.files.items() if not path.endswith(".txt"))
    assert packed < 90 * 1024
    for path, asset in assets.files.items():
        assert gzip.decompress(asset.packed) == asset.plain
        if "/app/" in path:
            assert not re.search(rb"https?://(?!\$)", asset.plain), path


@pytest.fixture(scope="module")
def api_client() -> str:
    (found,) = [asset.plain.decode() for path, asset in load_assets().files.items() if path.endswith("app/lib/api.js")]
    return found


async def test_every_operation_that_the_console_calls_is_described(browser: httpx.AsyncClient, api_client: str) -> None:
    rows = re.findall(r'^  \w+: \["([A-Z]+)", "([^"]+)"\]', api_client, re.MULTILINE)
    assert len(rows) > 20
    paths = (await browser.get("/openapi.json")).json()["paths"]
    described = {(method.upper(), re.sub(r"\{\w+\}", "{}", path)) for path, item in paths.items() for method in item}
    assert {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in rows} - described == set()


async def test_an_administrator_signs_in_and_out(browser: httpx.AsyncClient) -> None:
    assert (await browser.get(SIGN_IN)).json() == {"session": None}
    answer = await sign_in(browser, key=ADMIN_KEY)
    assert answer.json()["session"]["role"] == "admin"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert ADMIN_KEY not in cookie
    assert (await browser.get("/api/keys")).status_code == 200
    assert (await browser.get(SIGN_IN)).json()["session"]["role"] == "admin"
    assert (await browser.delete(SIGN_IN)).status_code == 204
    assert (await browser.get("/api/keys")).status_code == 401


async def test_a_virtual_key_sees_its_own_only(tenants: Gateway) -> None:
    async with httpx.AsyncClient(base_url=tenants.url, timeout=20) as client:
        answer = await sign_in(client, key=KEY_A)
        assert answer.json()["session"] | {"expires_at": ""} == {
            "role": "key",
            "name": "team-a",
            "key_id": "team-a",
            "expires_at": "",
        }
        assert (await client.get("/v1/async/jobs")).status_code == 200
        assert (await client.get("/v1/usage")).status_code == 200
        for path in ("/api/keys", "/api/overview", "/api/system"):
            assert (await client.get(path)).status_code == 401


async def test_revoking_a_key_ends_its_sessions(tenants: Gateway) -> None:
    made = await make(tenants)
    async with httpx.AsyncClient(base_url=tenants.url, timeout=20) as client:
        assert (await sign_in(client, key=made["value"])).status_code == 200
        await tenants.post(f"/api/keys/{made['id']}/revoke", headers=ADMIN)
        assert (await client.get("/v1/async/jobs")).status_code in {401, 403}


async def test_a_session_is_of_no_use_to_other_sites(browser: httpx.AsyncClient) -> None:
    await sign_in(browser, key=ADMIN_KEY)
    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
    ):
        assert (await browser.post("/api/keys", json={"name": "x"}, headers=headers)).status_code == 401
        assert (await browser.post(SIGN_IN, json={"key": ADMIN_KEY}, headers=headers)).status_code == 403
        assert (await browser.delete(SIGN_IN, headers=headers)).status_code == 403
    own = {"sec-fetch-site": "same-origin", "origin": str(browser.base_url)}
    assert (await browser.post("/api/keys", json={"name": "x"}, headers=own)).status_code == 201


async def test_wrong_keys_are_slowed_down(browser: httpx.AsyncClient) -> None:
    answers = [await sign_in(browser, key=f"guess-{at}") for at in range(12)]
    assert answers[0].status_code == 401
    assert answers[-1].status_code == 429
    assert "retry-after" in answers[-1].headers


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"key": 1}', b'{"key": "' + b"x" * 5000 + b'"}'])
async def test_a_malformed_sign_in_is_a_400(browser: httpx.AsyncClient, body: bytes) -> None:
    assert (await browser.post(SIGN_IN, content=body)).status_code == 400


async def test_an_empty_proof_is_refused(browser: httpx.AsyncClient) -> None:
    for proof in ({}, {"key": ""}, {"ticket": ""}, {"ticket": "unknown"}):
        assert (await sign_in(browser, **proof)).status_code == 401


async def test_a_ticket_signs_the_administrator_in_once(gateway: Gateway, browser: httpx.AsyncClient) -> None:
    made = (await gateway.post("/api/console/ticket", headers=ADMIN)).json()
    assert made["path"] == f"/ui#ticket={made['ticket']}"
    assert (await sign_in(browser, ticket=made["ticket"])).json()["session"]["role"] == "admin"
    assert (await sign_in(browser, ticket=made["ticket"])).status_code == 401


async def test_the_overview_counts_calls_spend_and_failed_jobs(gateway: Gateway) -> None:
    before = (await gateway.http.get("/api/overview", headers=ADMIN)).json()
    assert before["today"]["calls"] == 0
    assert len(before["hours"]) == 24
    await gateway.submit({"model": "sim/gpt-4o@status=400", "messages": [{"role": "user", "content": "x"}]})
    await gateway.worker.work_off()
    gateway.services.shared_answers.forget()
    after = (await gateway.http.get("/api/overview", headers=ADMIN)).json()
    assert [job["status"] for job in after["failed_jobs"]] == ["failed"]
    assert set(after["providers"]) >= {"sim"}


async def test_the_system_page_masks_secrets(gateway: Gateway) -> None:
    answer = await gateway.http.get("/api/system", headers=ADMIN)
    assert answer.json()["store"]["role"] == "master"
    assert ADMIN_KEY not in answer.text


async def test_a_forgotten_token_is_nobody(gateway: Gateway) -> None:
    sessions = Sessions(gateway.services.commands)
    for token in ("", "x" * 65, "ünknown", "unknown"):
        assert await sessions.find(token) is None
    assert not await sessions.use_ticket("ü")
    assert token_of(b'%s="broken' % COOKIE.encode()) == ""
    assert not is_same_origin({b"origin": b"https://a.example", b"host": b"b.example"})
    assert is_same_origin({b"origin": b"https://a.example", b"host": b"a.example"})

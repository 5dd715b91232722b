"""People sign in at a real OpenID provider, and have in the console and ``/api`` the role that it gives them."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.api.conftest import ADMIN_KEY, Gateway, Start

SDK_JS = Path(__file__).parents[2] / "sdk_js"
CALLBACK = "http://127.0.0.1:1/ui/login/callback"  # as registered at the provider; the tests go to the gateway's port

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """The certified provider of Node.js, as a process."""
    node = shutil.which("node")
    assert node and (SDK_JS / "node_modules" / "oidc-provider").is_dir(), "run `make setup`"
    command = [node, "openid_provider.mjs", CALLBACK]
    with subprocess.Popen(command, cwd=SDK_JS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture
async def gateway(start: Start, issuer: str) -> Gateway:
    return await start(auth=_auth(issuer))


def _auth(issuer: str, **more: Any) -> dict[str, Any]:
    client = {"client_id": "finops", "client_secret": "a-secret-of-the-client"}
    return {"admin_key": ADMIN_KEY, "oidc": {"issuer": issuer, **client, "redirect_uri": CALLBACK, **more}}


async def at_provider(browser: httpx.AsyncClient, url: str, login: str) -> str:
    """Sign in at the provider as a browser does, and return the address that it sends the browser back to."""
    for _ in range(8):
        answer = await browser.get(url)
        if answer.is_redirect:
            url = str(httpx.URL(url).join(answer.headers["location"]))
            if url.startswith(CALLBACK):
                return url
            continue
        form = re.search(r'<form[^>]* action="([^"]+)"', answer.text)
        assert form, answer.text
        answer = await browser.post(form[1], data={"prompt": "login", "login": login, "password": "any"})
        assert answer.is_redirect, answer.text
        url = str(httpx.URL(form[1]).join(answer.headers["location"]))
    raise AssertionError(f"no way back from {url}")


async def sign_in(gateway: Gateway, browser: httpx.AsyncClient, login: str) -> httpx.Response:
    begun = await browser.get(f"{gateway.url}/ui/login")
    assert begun.status_code == 302
    back = await at_provider(browser, begun.headers["location"], login)
    return await browser.get(f"{gateway.url}/ui/login/callback?{urlsplit(back).query}")


async def test_a_person_signs_in_and_may_do_what_the_role_allows(gateway: Gateway) -> None:
    async with httpx.AsyncClient() as browser:
        assert (await browser.get(f"{gateway.url}/ui/session")).json() == {"session": None, "login": "/ui/login"}
        done = await sign_in(gateway, browser, "operator+viewer")
        assert (done.status_code, done.headers["location"]) == (302, "/ui")
        cookies = done.headers.get_list("set-cookie")
        assert any(each.startswith("finops_session=") and "HttpOnly; SameSite=Strict" in each for each in cookies)
        assert any(each.startswith("finops_sign_in=; ") for each in cookies)
        who = (await browser.get(f"{gateway.url}/ui/session")).json()["session"]
        assert (who["role"], who["key_id"]) == ("operator", "")
        assert who["name"] == "operator+viewer@example.com (operator+viewer)"
        assert (await browser.get(f"{gateway.url}/api/keys")).status_code == 200
        paused = await browser.put(f"{gateway.url}/api/queue/pauses/all", json={"reason": "test"})
        assert paused.status_code == 200
        refused = await browser.post(f"{gateway.url}/api/keys", json={"name": "a"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "role_too_low")
        foreign = await browser.get(f"{gateway.url}/api/keys", headers={"sec-fetch-site": "cross-site"})
        assert foreign.status_code == 401
        assert (await browser.get(f"{gateway.url}/v1/async/jobs")).json().get("error", {}).get("code") != "role_too_low"
        trail = (await browser.get(f"{gateway.url}/api/audit")).json()["data"]
        assert [(entry["action"], entry["who"]) for entry in trail] == [
            ("PUT /api/queue/pauses/{scope}", who["name"]),
            ("GET /ui/login/callback", who["name"]),
        ]
        assert trail[1]["detail"]["role"] == "operator"
        assert (await browser.delete(f"{gateway.url}/ui/session")).status_code == 204
        assert (await browser.get(f"{gateway.url}/api/keys")).status_code == 401


async def test_an_administrator_who_signed_in_may_do_everything(gateway: Gateway) -> None:
    async with httpx.AsyncClient() as browser:
        await sign_in(gateway, browser, "admin")
        made = await browser.post(f"{gateway.url}/api/tokens", json={"name": "ci", "role": "viewer"})
        assert made.json()["created_by"] == "admin@example.com (admin)"
        assert (await browser.get(f"{gateway.url}/v1/async/jobs")).status_code == 200


async def test_who_has_no_role_is_refused_unless_one_is_given_to_all(start: Start, issuer: str) -> None:
    for more, location in (({}, "/ui#problem=no_role"), ({"default_role": "viewer"}, "/ui")):
        gateway = await start(auth=_auth(issuer, **more))
        async with httpx.AsyncClient() as browser:
            done = await sign_in(gateway, browser, "guest")
            assert done.headers["location"] == location


async def test_a_public_client_signs_in_by_pkce_and_its_own_names_of_roles(start: Start, issuer: str) -> None:
    own = {"client_id": "public", "client_secret": None, "roles": {"finance": ["finops-controlling"]}}
    gateway = await start(auth=_auth(issuer, **own))
    async with httpx.AsyncClient() as browser:
        await sign_in(gateway, browser, "controlling")
        assert (await browser.get(f"{gateway.url}/ui/session")).json()["session"]["role"] == "finance"


async def test_an_answer_is_taken_from_the_browser_that_began_and_once(gateway: Gateway) -> None:
    async with httpx.AsyncClient() as browser, httpx.AsyncClient() as stranger:
        begun = await browser.get(f"{gateway.url}/ui/login")
        asked = dict(parse_qsl(urlsplit(begun.headers["location"]).query))
        assert asked["code_challenge_method"] == "S256"
        assert asked["scope"] == "openid profile email"
        back = await at_provider(browser, begun.headers["location"], "admin")
        path = f"{gateway.url}/ui/login/callback?{urlsplit(back).query}"
        assert (await stranger.get(path)).headers["location"] == "/ui#problem=failed"
        await stranger.get(f"{gateway.url}/ui/login")
        assert (await stranger.get(path)).headers["location"] == "/ui#problem=failed"
        pending = browser.cookies.get("finops_sign_in", path="/ui/login")
        assert pending
        assert (await browser.get(path)).headers["location"] == "/ui"
        again = await stranger.get(path, headers={"cookie": f"finops_sign_in={pending}"})
        assert again.headers["location"] == "/ui#problem=failed"

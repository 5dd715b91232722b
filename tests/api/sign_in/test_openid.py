"""What an OpenID provider answers is believed only if it is genuine: signature, issuer, audience, time and nonce."""

import asyncio
import base64
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from api.http import openid
from api.http.openid import OpenIdProvider, PendingSignIn, SignInError, build_openid
from shared.governance.keys.roles import Administrator, Role
from shared.settings.auth import OidcSettings
from shared.settings.model import Settings
from tests.api.conftest import Start

KEY = RSAKey.generate_key(2048, {"kid": "a"})
OTHER = RSAKey.generate_key(2048, {"kid": "a"})
PENDING = PendingSignIn("state", "nonce", "verifier", "https://gateway.example/ui/login/callback")
ASKED = {"state": "state", "code": "code"}


class Upstream:
    """A provider that answers what a test wants."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.documents: dict[str, Any] = {
            "/.well-known/openid-configuration": {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/auth",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            },
            "/keys": {"keys": [KEY.as_dict(private=False)]},
        }
        self.sign()

    def sign(self, key: Any = KEY, algorithm: str = "RS256", **changes: Any) -> None:
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": "finops", "sub": "7", "exp": now + 300, "iat": now, "nonce": "nonce",
            "roles": ["finops-viewer", 3], **changes,
        }  # fmt: skip
        token = jwt.encode({"alg": algorithm, "kid": "a"}, {k: v for k, v in claims.items() if v is not None}, key)
        self.documents["/token"] = {"access_token": "at", "token_type": "Bearer", "id_token": token}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if length:
                await reader.readexactly(int(length[0].split(b":")[1]))
            document = self.documents.get(head.split(b" ")[1].decode())
            body = orjson.dumps(document)
            status = b"200 OK" if document is not None else b"404 Not Found"
            writer.write(
                b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                % (status, len(body))
            )
            writer.write(body)
            await writer.drain()
            writer.close()
            return


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    listener = socket.create_server(("127.0.0.1", 0))
    upstream = Upstream(listener.getsockname()[1])
    async with await asyncio.start_server(upstream.answer, sock=listener):
        yield upstream


async def provider_of(upstream: Upstream, **more: Any) -> OpenIdProvider:
    options = OidcSettings(issuer=upstream.issuer, client_id="finops", **more)
    found = await asyncio.to_thread(build_openid, options)
    assert found is not None
    return found


async def finish(upstream: Upstream, query: dict[str, str] = ASKED, **more: Any) -> Administrator:
    return await (await provider_of(upstream, **more)).finish(PENDING, query)


async def test_a_genuine_answer_is_believed(upstream: Upstream) -> None:
    assert await finish(upstream) == Administrator("person 7", Role.VIEWER)
    upstream.sign(roles="finops-admin", preferred_username="ada")
    assert await finish(upstream) == Administrator("ada (7)", Role.ADMIN)
    upstream.sign(roles=None, realm_access={"roles": ["finops-finance"]}, aud=["finops", "other"], azp="finops")
    assert (await finish(upstream, role_claim="realm_access.roles")).role is Role.FINANCE


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "http://other.example"},
        {"aud": "other"},
        {"aud": ["finops", "other"]},
        {"exp": 1},
        {"exp": None},
        {"nonce": "of another sign-in"},
        {"nonce": None},
        {"sub": None},
        {"key": OTHER},
        {"key": OctKey.import_key("a" * 32), "algorithm": "HS256"},
    ],
)
async def test_an_answer_that_is_not_genuine_is_refused(upstream: Upstream, changes: dict[str, Any]) -> None:
    upstream.sign(**changes)
    with pytest.raises(SignInError) as refused:
        await finish(upstream)
    assert refused.value.code == "failed"


async def test_an_unsigned_token_is_refused(upstream: Upstream) -> None:
    parts = [{"alg": "none"}, {"iss": upstream.issuer, "sub": "7"}]
    encoded = [base64.urlsafe_b64encode(orjson.dumps(part)).decode().rstrip("=") for part in parts]
    upstream.documents["/token"]["id_token"] = f"{encoded[0]}.{encoded[1]}."
    with pytest.raises(SignInError, match=r"Error|algorithm"):
        await finish(upstream)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"state": "other", "code": "c"}, "failed"),
        ({}, "failed"),
        ({"state": "état", "code": "c"}, "failed"),
        ({"state": "state", "error": "access_denied"}, "denied"),
        ({"state": "state", "code": "c", "iss": "http://mix-up.example"}, "failed"),
    ],
)
async def test_an_answer_without_its_state_code_or_issuer_is_refused(
    upstream: Upstream, query: dict[str, str], code: str
) -> None:
    with pytest.raises(SignInError) as refused:
        await finish(upstream, query)
    assert refused.value.code == code


async def test_user_info_is_asked_for_a_claim_that_the_token_lacks(upstream: Upstream) -> None:
    metadata = upstream.documents["/.well-known/openid-configuration"]
    metadata["userinfo_endpoint"] = f"{upstream.issuer}/me"
    upstream.documents["/me"] = {"sub": "7", "roles": ["finops-operator"], "email": "ada@example.com"}
    upstream.sign(roles=None)
    assert await finish(upstream) == Administrator("ada@example.com (7)", Role.OPERATOR)
    upstream.documents["/me"]["sub"] = "8"
    with pytest.raises(SignInError) as refused:
        await finish(upstream)
    assert refused.value.code == "no_role"


@pytest.mark.parametrize(
    "metadata",
    [None, ["a list"], {"issuer": "http://other.example"}, {"token_endpoint": "file:///etc/passwd"}],
)
async def test_a_provider_that_answers_something_else_is_named(start: Start, upstream: Upstream, metadata: Any) -> None:
    path = "/.well-known/openid-configuration"
    known = upstream.documents[path]
    upstream.documents[path] = {**known, **metadata} if isinstance(metadata, dict) else metadata
    gateway = await start(auth={"oidc": {"issuer": upstream.issuer, "client_id": "finops"}})
    answer = await gateway.http.get("/ui/login")
    assert (answer.status_code, answer.headers["location"]) == (302, "/ui#problem=failed")


async def test_signing_in_is_off_unless_it_is_configured(
    start: Start, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await start()
    assert (await gateway.http.get("/ui/session")).json() == {"session": None}
    for path in ("/ui/login", "/ui/login/callback"):
        assert (await gateway.http.get(path)).status_code == 404

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(openid.importlib, "import_module", missing)
    assert build_openid(OidcSettings(issuer=upstream.issuer, client_id="finops")) is None
    assert "finops-gateway[oidc]" in caplog.text


async def test_a_damaged_cookie_is_no_sign_in(start: Start, upstream: Upstream) -> None:
    gateway = await start(auth={"oidc": {"issuer": upstream.issuer, "client_id": "finops"}})
    for fields in (b"{", b"[1,2,3,4]", b"[]", b"3"):
        cookie = base64.urlsafe_b64encode(fields).decode()
        answer = await gateway.http.get("/ui/login/callback", headers={"cookie": f"finops_sign_in={cookie}"})
        assert answer.headers["location"] == "/ui#problem=failed"
    begun = await gateway.http.get("/ui/login", headers={"host": "gateway.example"})
    assert "redirect_uri=http%3A%2F%2Fgateway.example%2Fui%2Flogin%2Fcallback" in begun.headers["location"]


@pytest.mark.parametrize("issuer", ["http://login.example.com", "ftp://login.example.com", "https://", "login"])
def test_an_issuer_has_an_https_address(issuer: str) -> None:
    with pytest.raises(ValueError, match="must be an https URL"):
        Settings.model_validate({"auth": {"oidc": {"issuer": issuer, "client_id": "finops"}}})

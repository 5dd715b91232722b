import sys
import time
from datetime import UTC, datetime, timedelta

import google.auth
import google.auth.crypt
import google.auth.exceptions
import google.auth.jwt
import httpx
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.errors import UpstreamFailure, UpstreamRefused
from shared.providers.hosts.google import GoogleTokens, signed_assertion
from shared.providers.hosts.vertex import VertexHost
from shared.providers.wires.base import UpstreamRequest
from tests.providers.hosts.request_cases import KEY, Network, provider_of, token

SECRET = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ACCOUNT = {
    "type": "service_account",
    "project_id": "p",
    "private_key_id": "kid-1",
    "private_key": SECRET.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode(),
    "client_email": "robot@p.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}
SAID = orjson.dumps(ACCOUNT).decode()
GEMINI = UpstreamRequest(path="/models/gemini-3-pro:streamGenerateContent?alt=sse", body=b"")


async def destination_of(network, request=GEMINI, key=None, environ=None, **settings):
    tokens = GoogleTokens(network, environ or {})
    host = VertexHost(tokens)
    try:
        return await host.destination(provider_of("vertex", **{"project": "p", **settings}), key, "m", request)
    finally:
        await tokens.aclose()


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (GEMINI.path, b"/publishers/google/models/gemini-3-pro:streamGenerateContent?alt=sse"),
        ("/publishers/anthropic/models/c@1:rawPredict", b"/publishers/anthropic/models/c@1:rawPredict"),
        ("/chat/completions", b"/endpoints/openapi/chat/completions"),
    ],
)
async def test_each_publisher_has_its_path(path, target):
    place = await destination_of(
        Network(token()), UpstreamRequest(path=path, body=b""), project="my p", credentials=SAID
    )
    assert place.target == b"/v1/projects/my%20p/locations/global" + target
    assert dict(place.headers) == {"authorization": "Bearer tok"}


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("", "aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us-central1", "us-central1-aiplatform.googleapis.com"),
    ],
)
async def test_each_location_has_its_address(location, host):
    place = await destination_of(Network(token()), location=location, credentials=SAID)
    assert place.origin.host == host
    assert f"/locations/{location or 'global'}/".encode() in place.target


async def test_the_catalogue_of_a_publisher_is_the_same_in_every_project():
    request = UpstreamRequest(path="/publishers/google/models?pageSize=100", body=b"")
    place = await destination_of(Network(token()), request, credentials=SAID)
    assert place.target == b"/v1beta1/publishers/google/models?pageSize=100"


async def test_an_address_of_ones_own_keeps_the_paths():
    place = await destination_of(Network(token()), base_url="http://127.0.0.1:9001", location="eu", credentials=SAID)
    assert place.origin.authority == b"127.0.0.1:9001"
    assert place.target.startswith(b"/v1/projects/p/locations/eu/publishers/google/models/")


async def test_a_key_is_one_of_googles_and_nobody_is_asked_for_a_token():
    network = Network(token())
    assert dict((await destination_of(network, key=KEY)).headers) == {"x-goog-api-key": "sk-secret"}
    assert network.urls == []


def test_an_assertion_is_the_one_that_google_auth_makes():
    ours = signed_assertion(ACCOUNT, 1_795_360_000)
    claims = {
        "iss": ACCOUNT["client_email"],
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": ACCOUNT["token_uri"],
        "iat": 1_795_360_000,
        "exp": 1_795_363_600,
    }
    signer = google.auth.crypt.RSASigner.from_service_account_info(ACCOUNT)
    theirs = google.auth.jwt.encode(signer, claims).decode()
    public = SECRET.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert google.auth.jwt.decode(ours, certs=public, verify=False) == claims
    assert google.auth.jwt.decode_header(ours) == google.auth.jwt.decode_header(theirs)
    google.auth.crypt.RSAVerifier.from_string(public).verify(*_signed(ours))
    assert orjson.loads(_part(ours, 1)) == orjson.loads(_part(theirs, 1))


def _part(token, at):
    return google.auth._helpers.padded_urlsafe_b64decode(token.split(".")[at])


def _signed(token):
    message, _, _ = token.rpartition(".")
    return message.encode(), _part(token, 2)


async def test_a_token_is_asked_for_once_per_account(tmp_path):
    path = tmp_path / "key.json"
    path.write_text(SAID)
    network = Network(token("one"), token("two"))
    tokens = GoogleTokens(network, {"GOOGLE_APPLICATION_CREDENTIALS": str(path)})
    by_environment, own = provider_of("vertex"), provider_of("vertex", credentials=SAID)
    assert [await tokens.get(each) for each in (by_environment, own, by_environment, own)] == ["one", "two"] * 2
    assert network.urls == ["https://oauth2.googleapis.com/token"] * 2
    assert network.forms[0]["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert network.forms[0]["assertion"].count(".") == 2
    await tokens.aclose()


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("/nowhere/key.json", "neither a readable key file"),
        ("{", "neither a readable key file"),
        ('{"type": "service_account"}', "incomplete"),
        (orjson.dumps({**ACCOUNT, "private_key": "none"}).decode(), "incomplete"),
        ('{"type": "external_account"}', "type 'external_account'"),
    ],
)
async def test_invalid_credentials_are_reported(given, fault):
    with pytest.raises(UpstreamRefused, match=fault) as caught:
        await destination_of(Network(token()), credentials=given)
    assert caught.value.status == 401


async def test_a_user_asks_with_a_refresh_token():
    user = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    network = Network(token())
    place = await destination_of(network, credentials=orjson.dumps(user).decode())
    assert dict(place.headers) == {"authorization": "Bearer tok"}
    fields = {"client_id": "c", "client_secret": "s", "refresh_token": "r"}
    assert network.forms == [{"grant_type": "refresh_token", **fields}]


async def test_a_key_file_that_is_a_list_is_none(tmp_path):
    path = tmp_path / "key.json"
    path.write_text("[]")
    with pytest.raises(UpstreamRefused, match="not a JSON object"):
        await destination_of(Network(token()), credentials=str(path))


async def test_an_identity_service_that_is_away_may_be_back_soon():
    with pytest.raises(UpstreamFailure, match="cannot be reached") as caught:
        await destination_of(Network(httpx.ConnectError("x")), credentials=SAID)
    assert caught.value.retryable


class Found:
    """Credentials as google-auth finds them, without its network."""

    def __init__(self, expiry=None, failure=None):
        self.expiry, self._failure, self.token, self.refreshed = expiry, failure, None, 0

    def refresh(self, request):
        self.refreshed += 1
        if self._failure:
            raise self._failure
        self.token = f"adc-{self.refreshed}"


async def test_without_a_key_file_google_auth_finds_credentials(monkeypatch):
    far = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)
    for expiry, asked in ((far, 1), (None, 2)):
        found, clock = Found(expiry), [time.time()]
        monkeypatch.setattr(google.auth, "default", lambda scopes, found=found: (found, "p"))
        tokens = GoogleTokens(Network(token()), {}, now=lambda clock=clock: clock[0])
        assert await tokens.get(provider_of("vertex")) == "adc-1"
        clock[0] += 295
        assert await tokens.get(provider_of("vertex")) == f"adc-{asked}"
        await tokens.aclose()


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (google.auth.exceptions.TransportError("x"), UpstreamFailure),
        (google.auth.exceptions.RefreshError("x"), UpstreamRefused),
    ],
)
async def test_errors_of_google_auth_are_reported(failure, kind, monkeypatch):
    monkeypatch.setattr(google.auth, "default", lambda scopes: (Found(failure=failure), "p"))
    with pytest.raises(UpstreamFailure) as caught:
        await destination_of(Network(token()))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("missing", "given", "fault"),
    [
        ("google.auth", "", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("cryptography.hazmat.primitives.asymmetric.padding", SAID, "extra 'vertex'"),
    ],
)
async def test_a_missing_package_is_named(missing, given, fault, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UpstreamRefused, match=fault):
        await destination_of(Network(token()), credentials=given)

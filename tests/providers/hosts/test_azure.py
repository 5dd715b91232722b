import httpx
import pytest

from shared.errors import UpstreamFailure, UpstreamRefused
from shared.providers.base import Provider, ProviderKey
from shared.providers.hosts.azure import AzureHost
from shared.providers.hosts.entra import EntraTokens
from shared.providers.wires.base import UpstreamRequest
from tests.providers.hosts.request_cases import KEY, Network, provider_of, token

APPLICATION = {"AZURE_TENANT_ID": "my/tenant", "AZURE_CLIENT_ID": "app", "AZURE_CLIENT_SECRET": "hush"}
CHAT = UpstreamRequest(path="/chat/completions", body=b"")


@pytest.mark.parametrize(
    ("version", "path", "target"),
    [
        ("", "/chat/completions", b"/openai/v1/chat/completions"),
        ("2024-10-21", "/chat/completions", b"/openai/deployments/prod%2Fx/chat/completions?api-version=2024-10-21"),
        ("2024-10-21", "/responses", b"/openai/responses?api-version=2024-10-21"),
        ("2024-10-21", "/files?limit=1", b"/openai/files?limit=1&api-version=2024-10-21"),
    ],
)
@pytest.mark.parametrize("base_url", ["https://r.openai.azure.com", "https://r.openai.azure.com/openai/v1"])
async def test_azure_has_two_kinds_of_paths(version: str, path: str, target: bytes, base_url: str) -> None:
    provider = Provider(name="azure", wire="openai", host="azure", base_url=base_url, api_version=version)
    key = ProviderKey(name="k", value="secret")
    place = await AzureHost().destination(provider, key, "prod/x", UpstreamRequest(path=path, body=b""))
    assert place.target == target
    assert place.origin.host == "r.openai.azure.com"
    assert place.headers == (("api-key", "secret"),)
    assert (await AzureHost().destination(provider, None, "m", UpstreamRequest(path=path, body=b""))).headers == ()


async def headers_of(network, environ, key=None):
    tokens = EntraTokens(network, environ, now=lambda: 0.0)
    host = AzureHost(tokens)
    provider = provider_of("azure", base_url="https://r.openai.azure.com")
    try:
        return [dict((await host.destination(provider, key, "m", CHAT)).headers) for _ in range(2)]
    finally:
        await tokens.aclose()


async def test_without_a_key_the_application_asks_for_a_token_once():
    network = Network(token("one"), token("two"))
    assert await headers_of(network, APPLICATION) == [{"authorization": "Bearer one"}] * 2
    assert network.urls == ["https://login.microsoftonline.com/my%2Ftenant/oauth2/v2.0/token"]
    assert network.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "app",
            "client_secret": "hush",
            "scope": "https://cognitiveservices.azure.com/.default",
        }
    ]


async def test_a_key_comes_first_and_half_an_application_is_none():
    network = Network(token())
    assert (await headers_of(network, APPLICATION, KEY))[0] == {"api-key": "sk-secret"}
    assert (await headers_of(network, {**APPLICATION, "AZURE_CLIENT_SECRET": ""}))[0] == {}
    assert network.urls == []


@pytest.mark.parametrize("host", ["https://login.microsoftonline.us/", "login.microsoftonline.us"])
async def test_sovereign_clouds_have_their_own_authority(host):
    network = Network(token())
    await headers_of(network, {**APPLICATION, "AZURE_AUTHORITY_HOST": host})
    assert network.urls[0].startswith("https://login.microsoftonline.us/my")


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        ((401, {"error": "invalid_client", "error_description": "secret hush"}), UpstreamRefused, "invalid_client"),
        ((404, b"<html>"), UpstreamRefused, "status 404"),
        ((400, []), UpstreamRefused, "status 400"),
        ((429, {"error": "slow_down"}), UpstreamFailure, "slow_down"),
        ((503, {"error": 7}), UpstreamFailure, "status 503"),
        ((200, {"access_token": ""}), UpstreamFailure, "status 200"),
        (httpx.ConnectTimeout("hush"), UpstreamFailure, "ConnectTimeout"),
        (OSError("hush"), UpstreamFailure, "OSError"),
    ],
)
async def test_a_missing_token_is_an_error_without_secrets(answer, kind, message):
    with pytest.raises(UpstreamFailure) as caught:
        await headers_of(Network(answer), APPLICATION)
    assert type(caught.value) is kind
    assert message in str(caught.value)
    assert "hush" not in str(caught.value)
    if kind is UpstreamRefused:
        assert (caught.value.status, caught.value.type) == (401, "upstream_authentication_error")


@pytest.mark.parametrize(("life", "asked"), [("3600", 1), (None, 2), ("soon", 2)])
async def test_a_token_without_a_lifetime_gets_a_short_one(life, asked):
    now = 0.0
    network = Network((200, {"access_token": "a", "expires_in": life}))
    tokens = EntraTokens(network, APPLICATION, now=lambda: now)
    assert await tokens.get() == "a"
    now = 299.0
    assert await tokens.get() == "a"
    assert len(network.urls) == asked
    await tokens.aclose()

import pytest

from shared.providers.base import Key, Provider
from shared.providers.hosts.azure import AzureHost
from shared.providers.wires.base import UpstreamRequest


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
    key = Key(name="k", value="secret")
    place = await AzureHost().destination(provider, key, "prod/x", UpstreamRequest(path=path, body=b""))
    assert place.target == target
    assert place.origin.host == "r.openai.azure.com"
    assert place.headers == {"api-key": "secret"}
    assert (await AzureHost().destination(provider, None, "m", UpstreamRequest(path=path, body=b""))).headers == {}

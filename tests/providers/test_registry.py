import re

import pytest
from genai_prices.data_snapshot import get_snapshot

from shared.errors import UnknownProvider
from shared.providers.base import Provider
from shared.providers.registry import (
    BY_NAME,
    ROWS,
    UNPUBLISHED,
    IncompleteProvider,
    ProviderRow,
    configured_providers,
)
from shared.providers.transport import Origin
from shared.settings.model import Settings

NAMED_IN_THE_PROMISE = {
    *("openai", "azure", "ollama", "groq", "mistral", "openrouter", "together", "fireworks", "deepseek", "xai"),
    *("cerebras", "perplexity", "nvidia", "vllm", "sglang", "lmstudio", "llama.cpp"),
    *("anthropic", "gemini", "vertex", "bedrock"),
}


def test_every_promised_provider_is_a_row() -> None:
    assert BY_NAME.keys() >= NAMED_IN_THE_PROMISE


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_is_complete(row) -> None:
    assert row.title
    assert row.source.startswith("https://")
    assert row.base_url or row.url_env or row.address
    assert row.variables
    assert "chat.completions" in row.request_types
    provider = configured_providers(Settings(), dict.fromkeys(row.variables[0], "https://host.example"))[row.name]
    assert Origin.parse(provider.base_url) if row.base_url else provider.base_url in {"", "https://host.example"}
    assert re.fullmatch(r"[a-z0-9.]+", row.name)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_states_where_its_prices_come_from(row: ProviderRow) -> None:
    """A published source, declared free, or explicitly unpublished: a row that says nothing leaves budgets blind."""
    assert row.free == (row.prices is None)
    if row.prices not in {None, UNPUBLISHED}:
        assert row.prices in {provider.id for provider in get_snapshot().providers}


def test_free_rows_are_local_servers() -> None:
    assert {row.name for row in ROWS if row.free} == {row.name for row in ROWS if "127.0.0.1" in row.base_url}


def test_a_key_in_the_environment_configures_its_provider() -> None:
    providers = configured_providers(Settings(), {"GROQ_API_KEY": "gsk", "OLLAMA_HOST": "box:11434"})
    assert set(providers) == {"groq", "ollama"}
    assert len(providers) == 2
    assert providers["groq"].keys[0].value == "gsk"
    assert providers["ollama"].base_url == "http://box:11434/v1"
    assert "gsk" not in repr(providers["groq"])


def test_azure_needs_its_endpoint() -> None:
    assert not configured_providers(Settings(), {"AZURE_OPENAI_API_KEY": "k"})
    azure = configured_providers(
        Settings(), {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com/"}
    )["azure"]
    assert azure.base_url == "https://r.openai.azure.com"
    assert azure.host == "azure"
    with pytest.raises(IncompleteProvider, match="AZURE_OPENAI_ENDPOINT"):
        configured_providers(Settings.model_validate({"providers": {"azure": {}}}), {})


def test_the_file_wins_over_the_environment() -> None:
    settings = {"providers": {"openai": {"base_url": "http://h/v1", "keys": [{"value": "mine"}]}}}
    openai = configured_providers(Settings.model_validate(settings), {"OPENAI_API_KEY": "other"})["openai"]
    assert openai.base_url == "http://h/v1"
    assert [key.value for key in openai.keys] == ["mine"]
    assert openai.keys[0].name == "openai-1"


def test_a_custom_provider_needs_wire_and_base_url() -> None:
    mine = {"providers": {"my-vllm": {"wire": "openai", "base_url": "http://gpu-box:8000/v1"}}}
    assert "images.edits" in configured_providers(Settings.model_validate(mine), {})["my-vllm"].request_types
    for name, settings, fault in (
        ("my-vllm", {"base_url": "http://h"}, 'wire = "openai"'),
        ("my-vllm", {"wire": "openai"}, "base_url is required"),
        ("a/b", {"wire": "openai", "base_url": "http://h"}, "no slash"),
    ):
        with pytest.raises(IncompleteProvider, match=fault):
            configured_providers(Settings.model_validate({"providers": {name: settings}}), {})


@pytest.mark.parametrize(
    ("model", "provider", "rest"),
    [
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("gpt-4o", "openai", "gpt-4o"),
        ("ft:gpt-4o-mini:org::id", "openai", "ft:gpt-4o-mini:org::id"),
        ("ollama/llama3.1:8b", "ollama", "llama3.1:8b"),
        ("ollama/meta-llama/llama-3-70b", "ollama", "meta-llama/llama-3-70b"),
    ],
)
def test_a_models_prefix_names_its_provider(model: str, provider: str, rest: str) -> None:
    providers = configured_providers(Settings(), {"OPENAI_API_KEY": "k", "OLLAMA_HOST": "http://h/v1"})
    found, name = providers.resolve(model)
    assert (found.name, name) == (provider, rest)


def test_names_are_unique() -> None:
    assert len(ROWS) == len(BY_NAME) >= 40


def configured(environ: dict[str, str], **provider: object) -> Provider:
    providers = configured_providers(Settings.model_validate({"providers": provider}), environ)
    return next(iter(providers.values()))


def test_an_address_may_name_variables_of_the_environment() -> None:
    cloudflare = {"CLOUDFLARE_API_TOKEN": "t", "CLOUDFLARE_ACCOUNT_ID": "acc"}
    assert configured(cloudflare).base_url == "https://api.cloudflare.com/client/v4/accounts/acc/ai/v1"
    databricks = {"DATABRICKS_TOKEN": "t", "DATABRICKS_HOST": "https://adb-1.azuredatabricks.net/"}
    assert configured(databricks).base_url == "https://adb-1.azuredatabricks.net/serving-endpoints"
    assert not configured_providers(Settings(), {"DATABRICKS_TOKEN": "t"})
    with pytest.raises(IncompleteProvider, match="DATABRICKS_HOST"):
        configured({"DATABRICKS_TOKEN": "t"}, databricks={})
    own = configured({}, databricks={"base_url": "http://127.0.0.1:9001"})
    assert own.base_url == "http://127.0.0.1:9001"


def test_bedrock_needs_a_region_and_credentials() -> None:
    keyed = configured({"AWS_BEARER_TOKEN_BEDROCK": "b", "AWS_REGION": "eu-west-1"})
    assert (keyed.region, keyed.keys[0].value, keyed.base_url) == ("eu-west-1", "b", "")
    signed = configured({"AWS_ACCESS_KEY_ID": "a", "AWS_DEFAULT_REGION": "us-east-1"})
    assert (signed.region, signed.keys, signed.host) == ("us-east-1", (), "bedrock")
    assert not configured_providers(Settings(), {"AWS_ACCESS_KEY_ID": "a"})
    assert configured({"AWS_REGION": "eu-west-1"}, bedrock={"region": "us-west-2"}).region == "us-west-2"
    with pytest.raises(IncompleteProvider, match=r"region is required \(or AWS_REGION"):
        configured({}, bedrock={})


def test_vertex_needs_a_project_but_no_location() -> None:
    world = configured({"VERTEX_PROJECT": "p"})
    assert (world.project, world.location, world.base_url, world.wire) == ("p", "", "", "vertex")
    found = configured(
        {"GOOGLE_APPLICATION_CREDENTIALS": "k.json", "GOOGLE_CLOUD_PROJECT": "q", "VERTEX_LOCATION": "eu"}
    )
    assert (found.project, found.location) == ("q", "eu")
    assert not configured_providers(Settings(), {"GOOGLE_CLOUD_PROJECT": "p"})
    with pytest.raises(IncompleteProvider, match=r"project is required \(or VERTEX_PROJECT"):
        configured({}, vertex={})


def test_a_providers_wire_decides_the_header_of_its_key() -> None:
    place = {"base_url": "http://h", "region": "eu-west-1"}
    wires = {"anthropic": "x-api-key", "gemini": "x-goog-api-key", "bedrock": "bedrock", "openai": "direct"}
    for wire, host in wires.items():
        assert configured({}, mine={"wire": wire, **place}).host == host
    with pytest.raises(IncompleteProvider, match="region"):
        configured({}, mine={"wire": "bedrock", "base_url": "http://h"})


def test_ollamas_own_format_is_beside_its_openai_endpoint() -> None:
    assert configured({"OLLAMA_HOST": "box:11434"}, ollama={"wire": "ollama"}).base_url == "http://box:11434"
    assert configured({}, ollama={"wire": "ollama"}).base_url == "http://127.0.0.1:11434"


def test_an_unconfigured_provider_is_refused_with_its_variables() -> None:
    providers = configured_providers(Settings(), {})
    with pytest.raises(UnknownProvider, match="set AWS_BEARER_TOKEN_BEDROCK and AWS_REGION or "):
        providers.resolve("bedrock/m")
    with pytest.raises(UnknownProvider, match="set GROQ_API_KEY"):
        providers.resolve("groq/m")


def test_a_further_account_of_a_cloud_has_its_own_address_and_keys() -> None:
    settings = {
        "azure-eu": {"host": "azure", "base_url": "https://eu.openai.azure.com", "keys": [{"value": "k"}]},
        "bedrock-us": {"host": "bedrock", "region": "us-east-1"},
        "vertex-b": {"host": "vertex", "project": "b"},
    }
    environ = {"AZURE_OPENAI_ENDPOINT": "https://first.example", "AZURE_OPENAI_API_KEY": "first"}
    providers = configured_providers(Settings.model_validate({"providers": settings}), environ)
    eu = providers["azure-eu"]
    assert (eu.host, eu.wire, eu.base_url) == ("azure", "openai", "https://eu.openai.azure.com")
    assert [key.value for key in eu.keys] == ["k"]
    assert eu.request_types == providers["azure"].request_types
    assert (providers["bedrock-us"].wire, providers["bedrock-us"].region) == ("bedrock", "us-east-1")
    assert (providers["vertex-b"].wire, providers["vertex-b"].project) == ("vertex", "b")


@pytest.mark.parametrize(
    ("name", "settings", "fault"),
    [
        ("azure-eu", {"host": "azure"}, "base_url is required"),
        ("vertex-b", {"host": "vertex", "project": "b", "wire": "gemini"}, "remove wire"),
        ("openai", {"host": "azure"}, "has its own"),
    ],
)
def test_an_invalid_host_is_refused(name: str, settings: dict[str, str], fault: str) -> None:
    with pytest.raises(IncompleteProvider, match=fault):
        configured_providers(Settings.model_validate({"providers": {name: settings}}), {})

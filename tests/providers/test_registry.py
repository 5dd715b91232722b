import re

import pytest

from shared.providers.registry import BY_NAME, ROWS, IncompleteProvider, configured_providers
from shared.providers.transport import Origin
from shared.settings.model import Settings

NAMED_IN_THE_PROMISE = {
    *("openai", "azure", "ollama", "groq", "mistral", "openrouter", "together", "fireworks", "deepseek", "xai"),
    *("cerebras", "perplexity", "nvidia", "vllm", "sglang", "lmstudio", "llama.cpp"),
}


def test_every_promised_provider_is_a_row() -> None:
    assert BY_NAME.keys() >= NAMED_IN_THE_PROMISE


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_is_whole(row) -> None:
    assert row.title
    assert row.source.startswith("https://")
    assert row.base_url or row.url_env
    assert row.key_env or row.url_env
    assert "chat.completions" in row.request_types
    if row.base_url:
        assert Origin.parse(row.base_url)
    assert re.fullmatch(r"[a-z0-9.]+", row.name)


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
    said = {"providers": {"openai": {"base_url": "http://h/v1", "keys": [{"value": "mine"}]}}}
    openai = configured_providers(Settings.model_validate(said), {"OPENAI_API_KEY": "other"})["openai"]
    assert openai.base_url == "http://h/v1"
    assert [key.value for key in openai.keys] == ["mine"]
    assert openai.keys[0].name == "openai-1"


def test_a_provider_of_ones_own_says_its_wire_and_place() -> None:
    mine = {"providers": {"my-vllm": {"wire": "openai", "base_url": "http://gpu-box:8000/v1"}}}
    assert "images.edits" in configured_providers(Settings.model_validate(mine), {})["my-vllm"].request_types
    for name, said, fault in (
        ("my-vllm", {"base_url": "http://h"}, 'wire = "openai"'),
        ("my-vllm", {"wire": "openai"}, "base_url is needed"),
        ("a/b", {"wire": "openai", "base_url": "http://h"}, "no slash"),
    ):
        with pytest.raises(IncompleteProvider, match=fault):
            configured_providers(Settings.model_validate({"providers": {name: said}}), {})


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

"""Configurations of LiteLLM and Bifrost are translated; what has no counterpart is listed."""

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from cli.importers.draft import Draft
from cli.importers.fields import number
from cli.importers.toml_text import toml_text
from shared.settings.load import load_settings
from simulator.serve import running
from tests.cli.conftest import Finops

HERE = Path(__file__).parent
FILES = sorted((HERE / "litellm").glob("*.yaml"))
QUESTION = [{"role": "user", "content": "Hello"}]


def translated(finops: Finops, file: Path, kind: str = "litellm") -> tuple[dict[str, Any], str]:
    """The new configuration, and what was said of the translation."""
    result = finops("config", "import", kind, str(file))
    assert result.exit_code == 0, result.output
    return tomllib.loads(result.stdout), result.stderr


# Per file: what callers ask for, and the model that a provider was asked for then.
CALLS = {
    "quickstart": {"gpt-4o": "gpt-4o", "claude": "claude-sonnet-4-5", "flash": "gemini-2.5-flash"},
    "load_balancing": {"gpt-4o": "gpt-4o", "gpt-4": "gpt-4o", "default": "gpt-4o"},
    "fallbacks": {"fast": "llama-3.1-8b-instant", "mistral-large": "mistral-large-latest"},
    "clouds": {"bedrock-nova": "amazon.nova-pro-v1:0", "vertex-flash": "gemini-2.5-flash", "openai/gpt-4.1": "gpt-4.1"},
    "local": {"llama": "meta-llama/Llama-3.1-8B-Instruct", "qwen": "qwen2.5-coder", "local": "llama3.1:8b"},
}
PATHS = {"openai": "/v1", "groq": "/v1", "mistral": "/v1", "gemini": "/v1beta"}


def pointed_at(simulator: str, document: dict[str, Any]) -> dict[str, Any]:
    """The same configuration with the simulator where the internet would be."""
    for name, provider in document["providers"].items():
        provider.setdefault("base_url", simulator + PATHS.get(name, ""))
        if name == "vertex":  # its token would come from Google
            provider["headers"] = {"authorization": "Bearer demo"}
            provider["keys"] = ["demo"]
    return document


def environ_of(simulator: str) -> dict[str, str]:
    bases = dict.fromkeys(("AZURE_EU_BASE", "AZURE_US_BASE", "OLLAMA_BASE"), simulator)
    bases |= dict.fromkeys(("VLLM_A", "VLLM_B", "CORP_BASE"), f"{simulator}/v1")
    keys = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "AZURE_EU_KEY", "AZURE_US_KEY", "CORP_KEY")
    more = ("GROQ_KEY_A", "GROQ_KEY_B", "MISTRAL_API_KEY", "LITELLM_MASTER_KEY")
    aws = {"AWS_ACCESS_KEY_ID": "AKIA0123456789", "AWS_SECRET_ACCESS_KEY": "secret"}
    return bases | aws | {name: f"sk-{name.lower()}-0123456789" for name in (*keys, *more)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_a_configuration_of_litellm_is_served(finops: Finops, file: Path, tmp_path: Path, redis_url: str) -> None:
    def load(simulator: str) -> Any:
        document, _ = translated(finops, file)
        path = tmp_path / "imported.toml"
        path.write_text(toml_text(pointed_at(simulator, document)))
        environ = {**environ_of(simulator), "FINOPS_REDIS_URL": redis_url}
        return create_app(load_settings(path, environ), environ=environ)

    async with running() as simulator:
        app = await asyncio.to_thread(load, simulator.origin)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client,
        ):
            for model, called in CALLS[file.stem].items():
                answer = await client.post("/v1/chat/completions", json={"model": model, "messages": QUESTION})
                assert answer.status_code == 200, f"{model}: {answer.text}"
                asked = simulator.requests[-1]
                assert called in f"{asked.path} {(asked.body or {}).get('model')}"


def test_single_deployments_become_aliases_and_literal_keys_are_kept(finops: Finops) -> None:
    document, log = translated(finops, HERE / "litellm" / "quickstart.yaml")
    assert document == {
        "providers": {
            "openai": {"keys": ["env.OPENAI_API_KEY"]},
            "anthropic": {"keys": ["sk-ant-literal-0123456789"]},
            "gemini": {"keys": ["env.GEMINI_API_KEY"]},
        },
        "aliases": {
            "claude": "anthropic/claude-sonnet-4-5",
            "flash": "gemini/gemini-2.5-flash",
            "embeddings": "openai/text-embedding-3-small",
        },
    }
    assert "not translated: model_list[1] claude: max_tokens: a default of requests" in log
    assert "not translated: litellm_settings: drop_params:" in log
    assert "set these variables: GEMINI_API_KEY, OPENAI_API_KEY" in log


def test_deployments_of_one_name_become_a_weighted_route(finops: Finops) -> None:
    document, log = translated(finops, HERE / "litellm" / "load_balancing.yaml")
    targets = [
        {"model": "azure/gpt-4o-eu", "weight": 600},
        {"model": "azure-2/gpt-4o-us", "weight": 300},
        {"model": "openai/gpt-4o", "weight": 100},
    ]
    assert document["routes"] == {"gpt-4o": {"strategy": "weighted", "targets": targets}}
    assert document["aliases"] == {"gpt-4": "gpt-4o", "default": "gpt-4o"}
    assert document["prices"] == {"azure/gpt-4o-eu": {"input": 2, "output": 8}}
    second = document["providers"]["azure-2"]
    assert second["host"] == "azure"
    assert second["base_url"] == "env.AZURE_US_BASE"
    assert second["retry"] == {"max_attempts": 3}
    assert second["timeouts"] == {"total_s": 30}
    assert second["breaker"] == {"consecutive_failures": 4, "open_s": 30}
    assert "not translated: router_settings: redis_host: set FINOPS_REDIS_URL" in log
    assert "rpm, tpm: used as weights" in log


def test_keys_fallbacks_and_the_master_key_are_translated(finops: Finops) -> None:
    document, log = translated(finops, HERE / "litellm" / "fallbacks.yaml")
    groq = document["providers"]["groq"]
    assert [key["value"] for key in groq["keys"]] == ["env.GROQ_KEY_A", "env.GROQ_KEY_B"]
    assert groq["retry"] == {"max_attempts": 4}
    anthropic = document["providers"]["anthropic"]
    assert anthropic["retry"] == {"max_attempts": 1}
    assert anthropic["timeouts"] == {"total_s": 120, "first_token_s": 20}
    assert document["fallbacks"] == {
        "fast": ["mistral/mistral-large-latest"],
        "mistral-large": ["anthropic/claude-sonnet-4-5"],
    }
    assert document["auth"] == {"admin_key": "env.LITELLM_MASTER_KEY"}
    for line in (
        "fallbacks fast: 'gone' is no model of this file",
        "litellm_settings: cache: configure the cache by hand",
        "general_settings: database_url: keys, teams and budgets of LiteLLM's database",
        "litellm_settings: context_window_fallbacks:",
    ):
        assert f"not translated: {line}" in log
    assert "secret" not in log


def test_clouds_wildcards_and_what_is_unknown(finops: Finops) -> None:
    document, log = translated(finops, HERE / "litellm" / "clouds.yaml")
    assert document["providers"]["bedrock"] == {"region": "us-west-2"}
    assert document["providers"]["vertex"] == {"project": "my-project", "location": "us-central1"}
    assert document["aliases"] == {
        "bedrock-claude": "bedrock/anthropic.claude-3-5-sonnet-20241022-v2:0",
        "bedrock-nova": "bedrock/amazon.nova-pro-v1:0",
        "vertex-flash": "vertex/gemini-2.5-flash",
    }
    assert "model_list *: call these models as anthropic/<model>" in log
    assert "model_list[5] unknown: the provider 'watsonx' is not known here" in log
    assert "environment_variables: AWS_REGION: set it in the environment" in log
    assert "aws_access_key_id: set AWS_ACCESS_KEY_ID in the environment" in log


def test_servers_of_ones_own_get_names_of_their_own(finops: Finops) -> None:
    document, log = translated(finops, HERE / "litellm" / "local.yaml")
    providers = document["providers"]
    assert providers["vllm-a"] == {"wire": "openai", "base_url": "env.VLLM_A", "keys": ["none"]}
    assert providers["corp-base"]["headers"] == {"x-team": "search", "openai-organization": "org-1"}
    assert providers["corp-base"]["concurrency"] == 20
    assert providers["vllm"] == {"base_url": "env.VLLM_A"}
    assert providers["ollama"]["wire"] == "ollama"
    assert providers["ollama-2"] == {"wire": "openai", "base_url": "http://127.0.0.1:11434/v1"}
    assert document["routes"]["llama"]["targets"] == [
        "vllm-a/meta-llama/Llama-3.1-8B-Instruct",
        "vllm-b/meta-llama/Llama-3.1-8B-Instruct",
    ]
    assert "routing_strategy least-busy: not known here" in log


def test_a_configuration_of_bifrost_is_translated(finops: Finops) -> None:
    document, log = translated(finops, HERE / "bifrost.json", "bifrost")
    providers = document["providers"]
    assert providers["my-vllm"] == {"wire": "openai", "base_url": "http://gpu:8000/v1", "keys": ["none"]}
    assert providers["ollama"] == {"base_url": "http://127.0.0.1:11434/v1"}
    assert providers["azure"]["deployments"] == {"gpt-4o": "eu-4o"}
    assert providers["azure-2"]["host"] == "azure"
    assert providers["bedrock"] == {"region": "us-west-2"}
    assert providers["vertex"] == {
        "project": "my-project",
        "credentials": "env.VERTEX_KEY",
        "location": "us-central1",
    }
    openai = next(table for name, table in providers.items() if name == "openai-example")
    assert openai["wire"] == "openai"
    assert openai["base_url"] == "https://openai.example/v1"
    assert openai["retry"] == {"max_attempts": 3, "backoff_initial_s": 0.1, "backoff_max_s": 2}
    assert openai["keys"] == [
        {"value": "env.OPENAI_API_KEY", "name": "main", "weight": 0.7, "models": ["gpt-4o"]},
        {"value": "env.OPENAI_KEY_2", "name": "rest", "weight": 0.3},
    ]
    assert document["server"] == {"max_body_mb": 20}
    assert document["auth"] == {"require_virtual_key": True}
    assert document["teams"] == {"search": {"budget": {"limit_usd": 500, "window": "1M"}}}
    assert document["virtual_keys"] == {
        "search-prod": {
            "value": "env.SEARCH_KEY",
            "team": "search",
            "models": ["openai/gpt-4o", "azure/*"],
            "budget": {"limit_usd": 50.5, "window": "1d"},
            "rate_limits": [{"requests": 100, "window": "1m"}, {"tokens": 10_000, "window": "rolling:5m"}],
        },
        "two-budgets": {
            "value": "vk_two",
            "customer": "acme",
            "budgets": [{"limit_usd": 1, "window": "1d"}, {"limit_usd": 10, "window": "rolling:7d"}],
        },
    }
    for line in (
        "governance.customers acme: window 30s: is not known here; 1M is used",
        "governance.virtual_keys old: is not active",
        "providers.strange: its base 'cohere' is no wire here",
        "providers.elevenlabs: this provider is not known here",
        "providers.bedrock.keys[0].access_key: set AWS_ACCESS_KEY_ID",
        "providers.openai.network_config.insecure_skip_verify: has no counterpart",
        "providers.openai.buffer_size:",
        "future: has no counterpart",
    ):
        assert f"not translated: {line}" in log
    assert "$schema" not in log


def test_the_file_is_written_for_its_owner_alone_and_not_replaced_unasked(finops: Finops, tmp_path: Path) -> None:
    source, output = str(HERE / "litellm" / "quickstart.yaml"), tmp_path / "finops.toml"
    assert finops("config", "import", "litellm", source, "--output", str(output)).exit_code == 0
    assert output.stat().st_mode & 0o777 == 0o600
    again = finops("config", "import", "litellm", source, "--output", str(output))
    assert again.exit_code == 1
    assert "--force" in again.output
    assert finops("config", "import", "litellm", source, "--output", str(output), "--force").exit_code == 0
    nowhere = finops("config", "import", "litellm", source, "--output", str(tmp_path / "no" / "file"))
    assert "cannot write" in nowhere.output


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        ("litellm", b"a: [", "not valid: "),
        ("litellm", b"providers: {}", "no model_list"),
        ("litellm", b"!!python/object/apply:os.system [true]", "not valid: "),
        ("litellm", b"- 1", "no model_list"),
        ("bifrost", b"{", "not valid: "),
        ("bifrost", b"[" * 100_000, "not valid: "),
        ("bifrost", b"{}", "no providers"),
        ("bifrost", b"\xff", "cannot read"),
        ("bifrost", b" " * (4 * 1024 * 1024 + 1), "larger than 4 MB"),
        ("bifrost", b'{"providers":{"ollama":{"network_config":{"base_url":"ftp://x"}}}}', "base_url: must start with"),
    ],
)
def test_a_file_that_cannot_be_translated_is_refused(
    finops: Finops, tmp_path: Path, kind: str, content: bytes, reason: str
) -> None:
    file = tmp_path / "config"
    file.write_bytes(content)
    result = finops("config", "import", kind, str(file))
    assert result.exit_code == 1
    assert reason in result.output


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"model_name": "x"},
        {"model_name": ["x"], "litellm_params": {"model": "openai/x"}},
        {"model_name": "x", "litellm_params": {"model": "openai/"}},
    ],
)
def test_odd_entries_are_noted_and_left_out(entry: dict[str, Any]) -> None:
    from cli.importers.litellm import translate

    draft = translate({"model_list": [entry, "text"]})
    assert draft.document() == {}
    assert [note for note in draft.notes if "has no name or model" in note]


def test_a_provider_can_be_named_before_its_models() -> None:
    from cli.importers.litellm import translate

    params = {"custom_llm_provider": "groq", "model": "groq/llama"}
    draft = translate(
        {"model_list": [{"model_name": "a", "litellm_params": params}], "router_settings": {"redis_url": "redis://r"}}
    )
    assert draft.tables == {"aliases": {"a": "groq/llama"}, "redis": {"url": "redis://r"}}


def test_names_and_texts_of_every_kind_survive_as_toml() -> None:
    document = {"a b": {'"\\\n\x7f é': [True, 1.5, {"x.y": "z"}], "empty": {}}, "top": 1}
    assert tomllib.loads(toml_text({"top": 1, **document})) == document


@pytest.mark.parametrize("value", [True, None, "x", "nan", "1e999", [], 10**400])
def test_what_is_no_finite_number_is_none(value: object) -> None:
    assert number(value) is None


def test_a_deployment_of_azure_without_an_address_has_litellms_variable() -> None:
    from cli.importers.litellm import translate

    params = {"model": "azure/gpt-4o"}
    entries = [
        {"model_name": name, "litellm_params": params, "model_info": {"id": "1", "tier": "free"}} for name in "ab"
    ]
    draft = translate(
        {
            "model_list": entries,
            "router_settings": {"model_group_alias": {"a": "a", "c": 1}},
            "extra": {},
            "guardrails": [],
        }
    )
    assert draft.document() == {
        "providers": {"azure": {"base_url": "env.AZURE_API_BASE", "keys": ["env.AZURE_API_KEY"]}},
        "aliases": {"a": "azure/gpt-4o", "b": "azure/gpt-4o", "c": "1"},
    }
    assert {"model_list[0] a: model_info.tier: has no counterpart", "extra: has no counterpart"} <= set(draft.notes)
    assert "guardrails: configure each endpoint as [guardrails.<name>]" in draft.notes


def test_odd_limits_and_durations_of_bifrost_are_left_out() -> None:
    from cli.importers.bifrost import translate

    network = {"retry_backoff_initial": "500ms", "retry_backoff_max": "soon"}
    key = {"id": "1", "value": "vk_1", "budgets": [{"max_limit": "much"}, {"id": "unknown"}]}
    draft = translate({"providers": {"groq": {"network_config": network}}, "governance": {"virtual_keys": [key]}})
    assert draft.document() == {
        "providers": {"groq": {"retry": {"backoff_initial_s": 0.5}}},
        "virtual_keys": {"1": {"value": "vk_1"}},
    }


def test_nothing_is_asked_for_where_every_variable_is_set(finops: Finops, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"providers": {"ollama": {}}}')
    assert "set these variables" not in finops("config", "import", "bifrost", str(file)).stderr


def test_notes_are_not_repeated() -> None:
    draft = Draft()
    draft.note("a", "b")
    draft.note("a", "b")
    assert draft.notes == ["a: b"]

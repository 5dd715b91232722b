"""Variables that nobody reads, short forms, and references to nothing."""

from pathlib import Path

import pytest

from shared.providers import references
from shared.providers.references import InvalidReference, check_references
from shared.providers.registry import configured_providers
from shared.settings.load import InvalidConfiguration, load_settings
from shared.settings.model import Settings


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (
            "FINOPS_REQUIRE_VIRTUAL_KEYS",
            "FINOPS_REQUIRE_VIRTUAL_KEYS is unknown; did you mean FINOPS_REQUIRE_VIRTUAL_KEY?",
        ),
        ("FINOPS_REDIS", "did you mean FINOPS_REDIS_URL?"),
        ("FINOPS_QQQQQQQQQQQQQQQ", "known are FINOPS_ADMIN_KEY"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(name: str, fault: str) -> None:
    with pytest.raises(InvalidConfiguration) as refusal:
        load_settings(None, {name: "true"})
    assert fault in str(refusal.value)


def test_variables_that_the_file_refers_to_are_known(tmp_path: Path) -> None:
    file = tmp_path / "finops.toml"
    file.write_text("[providers.openai]\nkeys = ['env.FINOPS_OPENAI']\n[virtual_keys.a]\nvalue = 'env.FINOPS_TEAM_A'\n")
    settings = load_settings(file, {"FINOPS_OPENAI": "sk-1", "FINOPS_TEAM_A": "sk-bf-1"})
    assert settings.providers["openai"].keys[0].value.get_secret_value() == "sk-1"


def test_variables_of_kubernetes_services_are_left_alone() -> None:
    address = "tcp://10.0.0.1:8080"
    names = ("FINOPS_PORT", "FINOPS_PORT_8080_TCP", "FINOPS_API_PORT", "FINOPS_API_PORT_8080_TCP_ADDR")
    settings = load_settings(None, dict.fromkeys(names, address) | {"FINOPS_SERVICE_HOST": "10.0.0.1"})
    assert settings.server.port == 8080
    assert load_settings(None, {"FINOPS_PORT": "9000"}).server.port == 9000


def settings_of(folder: Path, text: str) -> Settings:
    (folder / "finops.toml").write_text(text)
    return load_settings(folder / "finops.toml", {})


def test_keys_and_targets_may_be_plain_lists(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        "[providers.openai]\nkeys = ['sk-1', { value = 'sk-2' }]\n[routes.r]\ntargets = ['openai/a', 'openai/b']\n",
    )
    assert [key.value.get_secret_value() for key in settings.providers["openai"].keys] == ["sk-1", "sk-2"]
    assert [target.model for target in settings.routes["r"].targets] == ["openai/a", "openai/b"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[providers.openai]\napi_key = 'x'\n", "did you mean 'keys', as in keys = [\"env.OPENAI_API_KEY\"]?"),
        ("[providers.openai]\napi_base = 'x'\n", "did you mean 'base_url'?"),
        ("[server]\nport = 'abc'\n", "server.port: must be a whole number, not 'abc'"),
        ("[server]\nport = 99999\n", "server.port: must be at most 65535, not 99999"),
        ("[providers.openai]\nkeys = [5]\n", "providers.openai.keys.0: must be a table"),
    ],
)
def test_what_people_type_is_understood_in_the_refusal(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(InvalidConfiguration) as refusal:
        settings_of(tmp_path, text)
    assert fault in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[aliases]\nfast = 'grok/llama'\n", "aliases.fast: 'grok/llama' leads to no configured provider."),
        ("[routes.smart]\ntargets = ['nosuch/m']\n", "routes.smart.targets.0: 'nosuch/m' leads"),
        ("[fallbacks]\n'openai/x' = ['openai/y', 'opnai/y']\n", "Did you mean 'openai'?"),
        ("[virtual_keys.k]\nfallbacks = ['gemini/x']\n", "virtual_keys.k.fallbacks.0: 'gemini/x' leads"),
        ("[webhooks.a]\nurl = 'ftp://x'\nsecret = 's'\n", "webhooks.a.url: must start with https://; http:// is for"),
        ("[webhooks.a]\nurl = 'http://x'\nsecret = 's'\n", "webhooks.a.url: must start with https://"),
        ("[webhooks.a]\nurl = 'https://:1'\nsecret = 's'\n", "webhooks.a.url: names no host"),
        ("[webhooks.a]\nurl = 'https://[x'\nsecret = 's'\n", "webhooks.a.url: is not a valid URL"),
        (
            "[webhooks.a]\nurl = 'ftp://x'\nsecret = 's'\nallow_private_network = true\n",
            "webhooks.a.url: must start with https://",
        ),
    ],
)
def test_a_reference_to_nothing_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    settings = settings_of(tmp_path, f"{text}[providers.openai]\nkeys = ['sk-1']\n")
    with pytest.raises(InvalidReference) as refusal:
        check_references(settings, configured_providers(settings, {}))
    assert fault in str(refusal.value)


@pytest.mark.parametrize(
    ("semantic", "fault"),
    [
        ("embedding = 'nobody/e'", "cache.semantic.embedding: 'nobody/e' leads to no configured provider"),
        ("embedding = 'openai/e'\njudge = 'nobody/j'", "cache.semantic.judge: 'nobody/j' leads to no"),
    ],
)
def test_semantic_matches_need_models_that_are_there(tmp_path: Path, semantic: str, fault: str) -> None:
    text = f"[cache]\nmode = 'semantic'\n[cache.semantic]\n{semantic}\n[providers.openai]\nkeys = ['sk-1']\n"
    settings = settings_of(tmp_path, text)
    with pytest.raises(InvalidReference, match=fault):
        check_references(settings, configured_providers(settings, {}))


def test_local_embeddings_need_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tmp_path, "[cache]\nmode = 'semantic'\n[cache.semantic]\nembedding = 'local'\n")
    check_references(settings, configured_providers(settings, {}))
    monkeypatch.setattr(references, "find_spec", lambda _name: None)
    with pytest.raises(InvalidReference, match="pip install 'finops-gateway"):
        check_references(settings, configured_providers(settings, {}))


def test_references_to_providers_routes_and_private_receivers_are_accepted(tmp_path: Path) -> None:
    text = """
    [aliases]
    fast = "smart"
    plain = "gpt-4o"
    [routes.smart]
    targets = ["openai/a"]
    [fallbacks]
    "openai/a" = ["smart", "fast", "sim/b"]
    [webhooks.a]
    url = "http://127.0.0.1:1"
    secret = "s"
    allow_private_network = true
    [providers.openai]
    keys = ["sk-1"]
    """
    settings = settings_of(tmp_path, text)
    check_references(settings, configured_providers(settings, {}), ("sim",))

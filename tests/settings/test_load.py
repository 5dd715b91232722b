from pathlib import Path

import pytest

from shared.settings.errors import JSON, fault_of
from shared.settings.load import InvalidConfiguration, effective, load_settings
from shared.settings.model import Settings
from shared.settings.secrets import secrets_of

CONTRACT = """
[redis]
url = "redis://127.0.0.1:6379/0"
[auth]
require_virtual_key = false
admin_key = "env.FINOPS_ADMIN_KEY"
[jobs]
result_ttl_s = 3600
max_queued = 100_000
max_queued_per_key = 10_000
max_attempts = 3
max_run_s = 3600
lease_s = 4
[providers.openai]
base_url = "http://127.0.0.1:9001/v1/"
keys = [{ name = "main", value = "env.OPENAI_API_KEY", weight = 1.0, models = ["*"] }]
timeouts = { connect_s = 5, total_s = 600, first_token_s = 60, stream_idle_s = 60 }
retry = { max_attempts = 3, backoff_initial_s = 0.5, backoff_max_s = 8 }
concurrency = 1000
[providers.my-vllm]
wire = "openai"
base_url = "http://gpu-box:8000/v1"
[providers.azure]
base_url = "https://my-resource.openai.azure.com"
api_version = "2024-10-21"
deployments = { "gpt-4o" = "prod-gpt4o" }
[providers.vertex]
project = "my-project"
location = "us-central1"
credentials = "env.GOOGLE_APPLICATION_CREDENTIALS"
[fallbacks]
"openai/gpt-4o" = ["anthropic/claude-sonnet-4-5", "azure/gpt-4o"]
[virtual_keys.team-a]
value = "env.TEAM_A_KEY"
models = ["openai/*", "anthropic/claude-*"]
budget = { limit_usd = 50.0, window = "1d" }
rate_limit = { requests = 600, tokens = 1_000_000, window = "1m" }
weight = 1.0
max_concurrent_jobs = 100
[webhooks.orders]
url = "https://example.com/hooks/finops"
secret = "env.ORDERS_WEBHOOK_SECRET"
events = ["async_job.completed", "async_job.failed"]
"""
ENVIRON = {
    "OPENAI_API_KEY": "sk-proj-0123456789abcdef",
    "GOOGLE_APPLICATION_CREDENTIALS": "/keys/vertex.json",
    "TEAM_A_KEY": "sk-bf-team-a-0123456789",
    "ORDERS_WEBHOOK_SECRET": "whsec_c2VjcmV0",
}


def write(folder: Path, text: str) -> Path:
    path = folder / "finops.toml"
    path.write_text(text)
    return path


def test_the_public_example_is_understood_whole(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, CONTRACT), ENVIRON)
    assert settings.providers["openai"].keys[0].value.get_secret_value() == ENVIRON["OPENAI_API_KEY"]
    assert settings.providers["openai"].base_url == "http://127.0.0.1:9001/v1"
    assert settings.fallbacks["openai/gpt-4o"] == ("anthropic/claude-sonnet-4-5", "azure/gpt-4o")
    assert settings.virtual_keys["team-a"].max_concurrent_jobs == 100
    assert settings.auth.admin_key is None, "an admin key that is not set is made at first start"


def test_the_environment_alone_is_enough() -> None:
    settings = load_settings(None, {"FINOPS_REDIS_URL": "redis://h/1", "FINOPS_PORT": "9000"})
    assert settings.redis.url is not None
    assert settings.redis.url.get_secret_value() == "redis://h/1"
    assert settings.server.port == 9000
    assert load_settings(None, {}) == Settings()


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path, "[server]\nport = 1234\n")
    assert load_settings(None, {"FINOPS_CONFIG": str(path)}).server.port == 1234


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[jobs]\nmax_atempts = 3\n", "jobs.max_atempts: unknown key; did you mean 'max_attempts'?"),
        ("[providers.openai]\nkeyz = []\n", "providers.openai.keyz: unknown key; did you mean 'keys'?"),
        ("[jobbs]\n", "jobbs: unknown key; did you mean 'jobs'?"),
        (
            "[redis]\nzzzzzzz = 1\n",
            "redis.zzzzzzz: unknown key; known here: allow_eviction, max_memory_mb, shards, url",
        ),
        (
            "[providers.x]\nkeys = [{ value = 'k', wait = 1 }]\n",
            "providers.x.keys.0.wait: unknown key; did you mean 'weight'?",
        ),
        ("[jobs]\nmax_attempts = 0\n", "jobs.max_attempts: must be greater than 0"),
        ("[providers.x]\nbase_url = 'ftp://x'\n", "providers.x.base_url: must start with http"),
        ("jobs = 3\n", "jobs: must be a table"),
        ("[jobs]\nmax_attempts = 1.5\n", "jobs.max_attempts: must be a whole number"),
        ("[jobs]\nmax_attempts = 'x'\n", "jobs.max_attempts: must be a whole number"),
        ("[jobs]\nmax_attempts = 101\n", "jobs.max_attempts: must be at most 100"),
        ("[jobs]\nlease_s = nan\n", "jobs.lease_s: must be at most 3600"),
        ("[jobs]\ndurability = 'some'\n", "jobs.durability: must be 'everysec', 'fsync' or 'replicated'"),
        ("[jobs]\nstream_output = 'perhaps'\n", "jobs.stream_output: must be true or false"),
        ("[providers.x]\nkeys = 'k'\n", "providers.x.keys: must be an array"),
        ("[providers.x]\nbase_url = 5\n", "providers.x.base_url: must be a string"),
        ("[webhooks.x]\nurl = 'https://h'\n", "webhooks.x.secret: is required"),
        ("[routes.r]\ntargets = []\n", "routes.r.targets: must have 1 or more entries, not 0"),
        ("[virtual_keys.k]\nexpires_at = 'soon'\n", "virtual_keys.k.expires_at: must be a date and time (RFC 3339)"),
        ("[virtual_keys.k]\nbudget = { limit_usd = 1, window = '2d' }\n", "virtual_keys.k.budget.window: must be 1m"),
        ("[providers.x]\nkeys = [{ value = 'env.NOPE' }]\n", "the environment variable NOPE is not set"),
        ("jobs = [", "not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_with_key_and_reason(tmp_path: Path, text: str, fault: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InvalidConfiguration) as refusal:
        load_settings(path, {})
    assert fault in str(refusal.value)
    assert str(refusal.value).startswith(f"{path}: ")


def test_an_unknown_kind_of_error_and_the_words_of_json() -> None:
    """A kind of error without words would reach the operator as "is not valid"."""
    assert fault_of({"type": "is_instance_of", "loc": ("a",)}, Settings) == "a: is not valid"
    assert fault_of({"type": "model_type", "loc": ("a",)}, Settings, JSON) == "a: must be an object"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="does not exist"):
        load_settings(tmp_path / "none.toml", {})


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="cannot be read"):
        load_settings(tmp_path, {})


def test_secrets_are_masked_in_output(tmp_path: Path) -> None:
    document = effective(load_settings(write(tmp_path, CONTRACT), ENVIRON))
    assert document["providers"]["openai"]["keys"][0]["value"] == "****cdef"
    assert document["webhooks"]["orders"]["secret"] == "****"
    assert not any(
        secret in str(document) for name, secret in ENVIRON.items() if name != "GOOGLE_APPLICATION_CREDENTIALS"
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://proxy.example/v1", "https://proxy.example/v1"),
        ("https://user:secret@proxy.example/v1", "https://****@proxy.example/v1"),
        ("https://user:sec@ret/x@proxy.example", "https://****@proxy.example"),
        ("https://proxy.example/v1?token=secret&a=b", "https://proxy.example/v1?****"),
        ("https://secret@proxy.example?token=secret", "https://****@proxy.example?****"),
    ],
)
def test_credentials_in_urls_are_masked_in_output(url: str, shown: str) -> None:
    raw = {"providers": {"p": {"wire": "openai", "base_url": url}}, "webhooks": {"w": {"url": url, "secret": "s"}}}
    document = effective(Settings.model_validate(raw))
    assert document["providers"]["p"]["base_url"] == document["webhooks"]["w"]["url"] == shown


def test_the_values_of_providers_headers_are_masked_in_output() -> None:
    headers = {"x-corp-token": "a-long-header-secret", "x-short": "secret"}
    document = effective(Settings.model_validate({"providers": {"openai": {"headers": headers}}}))
    assert document["providers"]["openai"]["headers"] == {"x-corp-token": "****cret", "x-short": "****"}


def test_every_configured_secret_is_found() -> None:
    settings = Settings.model_validate(
        {
            "redis": {"url": "redis://:store-password@host:1/0"},
            "auth": {"admin_key": "the-admin-key"},
            "providers": {"p": {"wire": "openai", "keys": [{"value": "a-provider-key"}], "credentials": "http://[bad"}},
        }
    )
    found = set(secrets_of(settings))
    assert {"store-password", "the-admin-key", "a-provider-key", "http://[bad"} < found

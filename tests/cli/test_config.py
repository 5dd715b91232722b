import json
from pathlib import Path

import pytest

from tests.cli.conftest import Finops
from tests.served import Served

FILE = """
[jobs]
max_attempts = 5
[providers.openai]
keys = [{ name = "main", value = "env.MY_KEY" }]
[fallbacks]
"openai/gpt-4o" = ["openai/gpt-4o-mini", "openai/gpt-4.1"]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MY_KEY", "sk-proj-0123456789abcdef")
    path = tmp_path / "finops.toml"
    path.write_text(FILE)
    return str(path)


def test_defaults_file_and_environment_are_shown_together(
    finops: Finops, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINOPS_PORT", "9999")
    document = finops("config", "show", "--config", file, "--redis-url", "redis://:hunter2@store/0")
    assert document.exit_code == 0
    lines = {line.split()[0]: line.split(maxsplit=1)[1].strip() for line in document.stdout.splitlines()[1:]}
    assert lines["jobs.max_attempts"] == "5"
    assert lines["jobs.lease_s"] == "4"
    assert lines["server.port"] == "9999"
    assert lines["log.requests"] == "true"
    assert lines["auth.admin_key"] == "-"
    assert lines["fallbacks.openai/gpt-4o"] == "openai/gpt-4o-mini, openai/gpt-4.1"
    assert lines["providers.openai.keys[0].value"] == "****cdef"
    assert "0123456789" not in document.output
    assert "hunter2" not in document.output


def test_the_same_as_one_document(finops: Finops, file: str) -> None:
    document = json.loads(finops("config", "show", "--config", file, "--json").stdout)
    assert document["jobs"]["max_attempts"] == 5
    assert document["providers"]["openai"]["keys"][0]["value"] == "****cdef"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[jobs]\nmax_atempts = 3\n", "did you mean 'max_attempts'?"),
        ("[providers.mine]\nbase_url = 'http://x/v1'\n", "providers.mine: unknown provider"),
        ("[jobs\n", "not valid TOML"),
    ],
)
def test_an_invalid_configuration_is_refused(finops: Finops, tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    for command in (("config", "show"), ("worker", "--redis-url", "redis://x"), ("api",), ("serve",)):
        refused = finops(*command, "--config", str(path))
        assert refused.exit_code == 1
        assert reason in refused.stderr


def test_a_store_url_that_is_none_is_refused_and_its_password_is_not_repeated(finops: Finops) -> None:
    refused = finops("worker", "--redis-url", "http://user:hunter2@store")
    assert refused.exit_code == 1
    assert "redis://" in refused.stderr
    assert "hunter2" not in refused.stderr


def test_a_check_says_what_is_configured_or_what_is_wrong(
    finops: Finops, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-0123456789")
    good = finops("config", "check", "--config", file)
    assert (good.exit_code, good.stdout.strip()) == (0, f"{file}: valid; providers: gemini, openai")
    assert finops("config", "check").stdout.strip() == "environment alone: valid; providers: gemini"
    shown = finops("config", "show", "--config", file, "--json").stdout
    assert json.loads(shown)["environment_providers"] == ["gemini"]
    bad = tmp_path / "bad.toml"
    bad.write_text("[aliases]\nfast = 'opnai/gpt-4o'\n[providers.openai]\nkeys = ['sk-1']\n")
    for words in (("config", "check"), ("doctor",), ("serve",), ("api", "--redis-url", "redis://127.0.0.1:1")):
        refused = finops(*words, "--config", str(bad))
        assert refused.exit_code == 1
        text = " ".join(refused.output.split())
        assert "aliases.fast: 'opnai/gpt-4o' leads to no configured provider" in text
        assert "Did you mean 'openai'?" in text
    monkeypatch.setenv("FINOPS_REDIS_URL", "foo")
    assert "FINOPS_REDIS_URL or --redis-url: foo" in finops("config", "check").stderr


def test_a_diff_lists_what_differs_between_two_files(finops: Finops, file: str, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(FILE.replace("max_attempts = 5", "max_attempts = 7"))
    assert finops("config", "diff", file, str(other)).stdout.strip() == "jobs.max_attempts: 5 -> 7"
    assert finops("config", "diff", file, file).stdout.strip() == "no difference"


def test_a_running_gateway_reloads_its_configuration(
    finops: Finops, gateway: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINOPS_URL", gateway.url)
    monkeypatch.setenv("FINOPS_DATA_DIR", str(gateway.data_dir))
    assert finops("config", "reload").stdout == "nothing has changed\n"
    assert json.loads(finops("config", "reload", "--json").stdout)["changed"] is False

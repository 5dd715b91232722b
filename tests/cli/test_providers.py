import json
from pathlib import Path

import pytest

from shared.providers.registry import ROWS
from tests.cli.conftest import Finops

FILE = """
[providers.openai]
keys = [{ value = "sk-proj-0123456789abcdef" }, { value = "sk-proj-fedcba9876543210" }]
[providers.my-vllm]
wire = "openai"
base_url = "http://gpu-box:8000/v1"
[providers.bedrock]
region = "eu-west-1"
"""


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in ROWS:
        for name in {name for names in row.variables for name in names} | {row.key_env, row.url_env} - {""}:
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "finops.toml"
    path.write_text(FILE)
    return str(path)


def test_every_provider_is_listed_with_what_it_would_need(finops: Finops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", "cf-secret-0123456789")
    document = finops("providers", "--json")
    assert document.exit_code == 0
    listed = {each["name"]: each for each in json.loads(document.stdout)}
    assert listed.keys() == {row.name for row in ROWS}
    assert not any(each["configured"] for each in listed.values())
    assert listed["anthropic"]["wire"] == "anthropic"
    assert listed["gemini"]["host"] == "x-goog-api-key"
    assert listed["gemini"]["offers"] == ["chat.completions", "embeddings"]
    assert listed["gemini"]["missing"] == ["GEMINI_API_KEY"]
    assert listed["cloudflare"]["missing"] == ["CLOUDFLARE_ACCOUNT_ID"]
    assert "cf-secret" not in document.output


def test_what_is_configured_is_told_without_its_keys(
    finops: Finops, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk-0123456789abcdef")
    document = finops("providers", "--configured", "--config", file)
    lines = {line.split()[0]: " ".join(line.split()) for line in document.stdout.splitlines()[1:]}
    assert lines.keys() == {"openai", "groq", "bedrock", "my-vllm"}
    assert lines["openai"] == "openai openai direct everything yes, 2 keys"
    assert lines["groq"].endswith("yes, 1 key")
    assert lines["bedrock"] == "bedrock bedrock bedrock chat.completions yes, by its account"
    assert lines["my-vllm"].endswith("everything yes, without a key")
    assert "0123456789" not in document.output


def test_the_table_holds_those_that_are_not_configured_too(finops: Finops, file: str) -> None:
    lines = finops("providers", "--config", file).stdout.splitlines()
    assert len(lines) == 1 + len(ROWS) + 1
    assert any(line.startswith("anthropic") and line.rstrip().endswith("ANTHROPIC_API_KEY") for line in lines)


def test_a_bad_file_is_refused(finops: Finops, tmp_path: Path) -> None:
    path = tmp_path / "finops.toml"
    path.write_text("[providers.mine]\n")
    refused = finops("providers", "--config", str(path))
    assert refused.exit_code == 1
    assert "providers.mine" in refused.output


def test_an_environment_without_a_provider_says_so(finops: Finops) -> None:
    assert finops("providers", "--configured").stdout.startswith("no provider is configured in this environment")

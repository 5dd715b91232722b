"""`finops prices`: prices by source, and what has none."""

import hashlib
import json
from pathlib import Path

import pytest

from cli.client import price_data
from shared.governance.pricing.published import BUNDLED, OWN_TABLE
from shared.providers.registry import ROWS
from tests.cli.conftest import Finops
from tests.price_data import provider
from tests.served import Served

FILE = """
[providers.openai]
keys = [{ value = "sk-proj-0123456789abcdef" }]
[providers.anthropic]
keys = [{ value = "sk-ant-0123456789abcdef" }]
[providers.ollama]
[providers.my-vllm]
wire = "openai"
base_url = "http://gpu-box:8000/v1"
models = ["x", "y-*"]
[providers.other]
wire = "openai"
base_url = "http://gpu-box:8000/v1"
[aliases]
fast = "openai/mystery"
known = "openai/gpt-4o-mini"
again = "fast"
[prices."openai/gpt-4o"]
input = 1
discount = 0.1
max_output = 8_192
[prices."anthropic/claude-[89]*"]
output = 2
[prices."my-vllm/*"]
discount = 0.5
[prices."oth*"]
request = 0.01
[prices.other]
input = 1
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


def test_prices_are_listed_with_their_sources(finops: Finops, file: str) -> None:
    entries = json.loads(finops("prices", "list", "--config", file, "--json").stdout)
    listed = {each["id"]: each for each in entries}
    assert len(listed) == len(entries)
    own = listed["openai/gpt-4o"]
    assert (own["source"], own["discount"], own["max_output"]) == ("configuration and published", 0.1, 8192)
    assert own["prices"]["input"] == 1
    published = listed["openai/gpt-4o-mini"]
    assert published["source"] == "published"
    assert published["version"].startswith("genai-prices ")
    assert published["prices"]["output"] > 0
    assert any(each["date"] for each in entries)
    assert any(each["tiers"] for each in entries)
    pattern = listed["anthropic/claude-[89]*"]
    assert (pattern["source"], pattern["version"], pattern["prices"]) == ("configuration", None, {"output": 2})
    assert listed["ollama/*"]["source"] == "free"
    assert set(listed["ollama/*"]["prices"].values()) == {0}
    assert listed["other/*"]["prices"] == {"request": 0.01}
    assert "my-vllm/*" not in listed  # a discount is no price


def test_lists_are_filtered(finops: Finops, file: str) -> None:
    listed = finops("prices", "list", "--config", file, "--provider", "openai", "--model", "GPT-4O")
    assert "openai/gpt-4o-mini" in listed.stdout
    assert "anthropic" not in listed.stdout
    assert "$1 " in listed.stdout
    assert finops("prices", "list", "--config", file, "--model", "nothing").stdout.strip() == "no prices"
    unknown = finops("prices", "list", "--config", file, "--provider", "nobody")
    assert (unknown.exit_code, "Unknown provider 'nobody'" in unknown.stderr) == (1, True)


def test_one_price_is_explained(finops: Finops, file: str) -> None:
    output = finops("prices", "show", "openai/gpt-4o", "--config", file).stdout
    assert "configuration and published (genai-prices" in output
    assert "10.00%" in output
    tiered = finops("prices", "show", "anthropic/claude-sonnet-4-5", "--config", file).stdout
    assert "prompts above 200,000 tokens" in tiered
    assert "discount" not in tiered
    tuned = json.loads(finops("prices", "show", "openai/ft:gpt-4.1-nano:acme", "--config", file, "--json").stdout)
    assert (tuned["source"], tuned["date"]) == ("published", OWN_TABLE)
    upper = json.loads(finops("prices", "show", "openai/GPT-4o-mini", "--config", file, "--json").stdout)
    assert upper["version"].startswith("genai-prices ")
    for model, message in (
        ("openai/mystery", "no known price"),
        ("openai/mystery-*", "no known price"),
        ("nobody/x", "Unknown provider"),
    ):
        refused = finops("prices", "show", model, "--config", file)
        assert (refused.exit_code, message in refused.stderr) == (1, True)


def test_what_a_budget_would_refuse_is_named(finops: Finops, file: str) -> None:
    checked = finops("prices", "check", "--config", file)
    assert checked.exit_code == 1
    assert "A budget in USD refuses these" in checked.stdout
    document = json.loads(finops("prices", "check", "--config", file, "--json").stdout)
    assert {each["name"]: each["place"] for each in document["unpriced"]} == {
        "my-vllm/*": "providers.my-vllm",
        "my-vllm/x": "providers.my-vllm.models",
        "openai/mystery": "aliases.fast",
    }


def test_a_check_passes_where_budgets_ignore_it_or_all_is_priced(
    finops: Finops, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(file).write_text(FILE + '[ledger]\nunpriced = "allow"\n')
    allowed = finops("prices", "check", "--config", file)
    assert (allowed.exit_code, "Budgets ignore these" in allowed.stdout) == (0, True)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-0123456789abcdef")
    priced = finops("prices", "check")
    assert (priced.exit_code, priced.stdout.startswith("every configured provider")) == (0, True)


def test_a_provider_serves_models_of_others_at_their_prices() -> None:
    assert set(BUNDLED.model_ids("openai")) < set(BUNDLED.model_ids("azure"))
    assert BUNDLED.model_ids("") == []


@pytest.fixture
def admin(gateway: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINOPS_URL", gateway.url)
    monkeypatch.setenv("FINOPS_DATA_DIR", str(gateway.data_dir))


@pytest.mark.process
@pytest.mark.timeout(120)
@pytest.mark.usefixtures("admin")
def test_an_update_shows_what_it_would_change(
    finops: Finops, gateway: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "prices.json"
    openai = provider(gpt_4o={"input_mtok": 1, "output_mtok": {"base": 2, "tiers": [{"start": 9, "price": 3}]}})
    rows = [openai, *(provider(name, a={"input_mtok": 1}) for name in ("anthropic", "google", "azure"))]
    path.write_text(json.dumps(rows))
    output = finops("prices", "update", str(path), "--dry-run").stdout
    assert "openai/gpt-4o: input $2.5 -> $1" in output
    assert "tiers none -> other tiers" in output
    assert "without a price now: " in output
    assert " more" in output
    assert f"would be used: {hashlib.sha256(path.read_bytes()).hexdigest()[:12]} ({path})" in " ".join(output.split())
    document = json.loads(finops("prices", "update", str(path), "--dry-run", "--json").stdout)
    assert document["dry_run"] is True
    assert "in use: genai-prices" in finops("prices", "update", "--bundled").stdout
    assert b"object" in price_data.read_price_data(f"{gateway.url}/v1/models")
    monkeypatch.setattr(price_data, "MAX_BYTES", 10)
    assert "is larger than" in finops("prices", "update", f"{gateway.url}/v1/models").stderr


def test_an_update_that_cannot_be_read_says_so(finops: Finops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cannot read /no/such/file" in finops("prices", "update", "/no/such/file").stderr
    assert "cannot read http://127.0.0.1:9/" in finops("prices", "update", "http://127.0.0.1:9/").stderr
    for arguments in ((), ("x", "--bundled"), ("--bundled", "--dry-run")):
        assert "Give a file or a URL" in finops("prices", "update", *arguments).stderr
    monkeypatch.setattr(price_data, "MAX_BYTES", 10)
    (tmp_path / "large").write_bytes(b"x" * 11)
    assert "is larger than" in finops("prices", "update", str(tmp_path / "large")).stderr

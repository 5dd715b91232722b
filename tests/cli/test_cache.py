"""`finops cache`: figures and purges."""

import json

import pytest

from cli.views.cache import print_cache, print_shadow
from tests.cli.conftest import Finops
from tests.served import Served

CACHE = {
    "mode": "exact", "scope": "key", "entries": 1200, "bytes": 3_145_728, "max_bytes": 268_435_456, "days": 7,
    "lookups": {"hit": 300, "miss": 700, "bypass": 12}, "hit_rate": 0.3, "saved_usd": 1.25,
}  # fmt: skip


@pytest.mark.process
@pytest.mark.timeout(120)
def test_the_cache_is_shown_and_purged(finops: Finops, gateway: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINOPS_URL", gateway.url)
    monkeypatch.setenv("FINOPS_DATA_DIR", str(gateway.data_dir))
    assert "stored answers" in finops("cache", "stats").stdout
    assert json.loads(finops("cache", "stats", "--days", "2", "--json").stdout)["days"] == 2
    assert "no answers were compared" in finops("cache", "shadow").stdout
    assert json.loads(finops("cache", "shadow", "--json").stdout)["data"] == []
    assert finops("cache", "purge", "--model", "sim/gpt-4o", "--dry-run").stdout.endswith("would be purged\n")
    assert json.loads(finops("cache", "purge", "--scope", "key:a", "--json").stdout)["purged"] == 0
    own = json.loads(finops("keys", "create", "cache-owner", "--json").stdout)["value"]
    assert finops("cache", "purge", "--own", "--key", own).stdout == "0 stored answers purged\n"
    refused = finops("cache", "purge", "--own", "--scope", "key:a")
    assert refused.exit_code == 2


def test_figures_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_cache(CACHE)
    printed = capsys.readouterr().out
    assert "300 (30.0%)" in printed
    assert "3.0 of 256 MiB" in printed
    assert "$1.25" in printed
    print_cache({**CACHE, "hit_rate": None})
    assert "%" not in capsys.readouterr().out


def test_the_evidence_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [{"similarity": 0.93, "compared": 1200, "disagreed": 1}]
    counts = {"compared": 1200, "disagreed": 1, "wrong_upper_bound": 0.0039, "by_similarity": steps}
    family = {"scope": "key:a", "model": "p/m", "state": "serving", "serves_from": 0.85, **counts}
    report = {"mode": "semantic", "shadow": False, "embedding": "local", "guards": "strict", "similarity": 0.85}
    report |= {"max_wrong": 0.01, "data": [family, {**family, "serves_from": None}]}
    print_shadow(report)
    printed = capsys.readouterr().out
    assert "served within the bound; embedding local, strict guards" in printed
    assert "1,200" in printed and "0.39%" in printed and "0.93" in printed
    print_shadow({**report, "shadow": True, "data": []})
    assert "nothing is served" in capsys.readouterr().out

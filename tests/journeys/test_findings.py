"""Every finding of the new user's review has its tests: ``findings.toml`` names them, and they exist."""

from pathlib import Path

from tests.findings import missing_tests, read_findings

FINDINGS = read_findings(Path(__file__).parent / "findings.toml")


def test_every_finding_has_its_tests() -> None:
    assert list(FINDINGS) == [f"B{number}" for number in range(1, 26)]


def test_every_named_test_exists() -> None:
    assert missing_tests(FINDINGS) == []

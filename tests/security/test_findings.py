"""Every finding of the security review has its tests: ``findings.toml`` names them, and they exist."""

from pathlib import Path

from tests.findings import missing_tests, read_findings

FINDINGS = read_findings(Path(__file__).parent / "findings.toml")
RANKED = [
    f"{rank}{number}" for rank, most in {"C": 4, "H": 8, "M": 17, "L": 10}.items() for number in range(1, most + 1)
]


def test_every_finding_has_its_tests() -> None:
    assert [name for name in FINDINGS if not name.startswith("held-")] == RANKED


def test_every_named_test_exists() -> None:
    assert missing_tests(FINDINGS) == []

"""Each finding of a review has its tests: tables name them, and they exist. Here, where every change is checked."""

import pytest

from tests.findings import TESTS, missing_tests, read_findings

SECURITY = read_findings(TESTS / "security" / "findings.toml")
BUGS = read_findings(TESTS / "journeys" / "findings.toml")
IMPROVEMENTS = read_findings(TESTS / "journeys" / "improvements.toml")
RANKED = [
    f"{rank}{number}" for rank, most in {"C": 4, "H": 8, "M": 17, "L": 10}.items() for number in range(1, most + 1)
]


def test_every_finding_has_its_tests() -> None:
    assert [name for name in SECURITY if not name.startswith("held-")] == RANKED
    assert list(BUGS) == [f"B{number}" for number in range(1, 26)]
    assert list(IMPROVEMENTS) == [f"I{number}" for number in range(1, 26)]


@pytest.mark.parametrize("table", [SECURITY, BUGS, IMPROVEMENTS], ids=["security", "bugs", "improvements"])
def test_every_named_test_exists(table: dict[str, object]) -> None:
    assert missing_tests(table) == []

"""Every finding of the security review has its tests: ``findings.toml`` names them, and they exist."""

import re
import tomllib
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent.parent
FINDINGS = tomllib.loads((Path(__file__).parent / "findings.toml").read_text())
RANKED = [
    f"{rank}{number}" for rank, most in {"C": 4, "H": 8, "M": 17, "L": 10}.items() for number in range(1, most + 1)
]


@cache
def functions_of(path: Path) -> frozenset[str]:
    return frozenset(re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE))


def test_every_finding_has_its_tests() -> None:
    assert [name for name in FINDINGS if not name.startswith("held-")] == RANKED
    for name, finding in FINDINGS.items():
        assert set(finding) == {"finding", "tests"}, name
        assert finding["tests"], name
        assert re.fullmatch(r"[A-Za-z0-9].{10,140}\.", finding["finding"]), name


def test_every_named_test_exists() -> None:
    named = {test for finding in FINDINGS.values() for test in finding["tests"]}
    missing = []
    for test in sorted(named):
        path, _, function = test.partition("::")
        if not (TESTS / path).is_file() or function not in functions_of(TESTS / path):
            missing.append(test)
    assert not missing

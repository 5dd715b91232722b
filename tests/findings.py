"""Tables of findings of a review, and of the tests that fail without their mends."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent


@cache
def functions_of(path: Path) -> frozenset[str]:
    """The names of a module's tests."""
    return frozenset(re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE))


def read_findings(path: Path) -> dict[str, Any]:
    """The findings of a file by their names; each has a sentence and its tests."""
    findings = tomllib.loads(path.read_text())
    for name, finding in findings.items():
        assert set(finding) == {"finding", "tests"}, name
        assert finding["tests"], name
        assert re.fullmatch(r"[`A-Za-z0-9].{10,140}\.", finding["finding"]), name
    return findings


def missing_tests(findings: Mapping[str, Any]) -> list[str]:
    """The tests that findings name and that do not exist."""
    named = {test for finding in findings.values() for test in finding["tests"]}
    missing = []
    for test in sorted(named):
        path, _, function = test.partition("::")
        if not (TESTS / path).is_file() or function not in functions_of(TESTS / path):
            missing.append(test)
    return missing

"""The audit of locked packages: a known vulnerability fails, and silence of the index does not pass for an answer."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "audit.py"


@pytest.fixture(scope="module")
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(*vulnerabilities: dict[str, Any]) -> dict[str, Any]:
    skipped = {"name": "ours", "skip_reason": "Dependency not found on PyPI and could not be audited: ours (1.0)"}
    return {"dependencies": [{"name": "a", "version": "1.2", "vulns": list(vulnerabilities)}, skipped]}


HOLE = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "fix_versions": ["1.3", "2.0"]}


def test_a_known_vulnerability_fails(audit: Any) -> None:
    message, status = audit.conclude(
        audit.read_report(report(HOLE, {**HOLE, "id": "PYSEC-2026-2", "fix_versions": []}))
    )
    assert status == 1
    assert message.splitlines()[1:] == [
        "a 1.2: PYSEC-2026-1 (mended in 1.3, 2.0)",
        "a 1.2: PYSEC-2026-2 (mended in no release yet)",
    ]


@pytest.mark.parametrize("accepted", ["PYSEC-2026-1", "CVE-2026-1"])
def test_one_that_is_accepted_by_name_passes(audit: Any, accepted: str) -> None:
    message, status = audit.conclude(audit.read_report(report(HOLE), [accepted]))
    assert (message, status) == ("audit: 1 packages, no known vulnerability; unknown to the index: ours", 0)


def test_an_index_that_answers_nothing_is_said_and_does_not_fail(audit: Any) -> None:
    nobody = {"dependencies": [{"name": "a", "version": "1.2", "skip_reason": "not found"}]}
    for unasked in (None, audit.read_report(nobody)):
        message, status = audit.conclude(unasked)
        assert status == 0
        assert "NOT DONE" in message


def test_every_accepted_vulnerability_has_a_reason(audit: Any) -> None:
    assert all(len(reason) > 20 for reason in audit.ACCEPTED.values())

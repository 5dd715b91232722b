"""The counting of `make judges`."""

from pathlib import Path

import pytest

from tests.judges.environments import HERE, pinned
from tests.judges.judges import JUDGES
from tests.judges.verdicts import Verdict, compared, judged, read_expected, read_report

REPORT = """<testsuites><testsuite>
  <testcase classname="a" name="good"/>
  <testcase classname="a" name="bad"><failure message="no"/></testcase>
  <testcase classname="b" name="broken"><error/></testcase>
  <testcase name="left out"><skipped/></testcase>
</testsuite></testsuites>"""


def test_a_report_is_read_and_counted(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    verdict = judged("j", read_report(tmp_path / "report.xml"))
    assert verdict == Verdict("j", passed=1, failed=2, skipped=1)
    assert verdict.failures == ("a::bad", "b::broken")


def test_only_what_passes_without_us_counts() -> None:
    direct = {"kept": "passed", "lost": "passed", "gone": "passed", "never": "failed", "left out": "skipped"}
    through_us = {"kept": "passed", "lost": "failed", "never": "passed", "left out": "skipped"}
    verdict = compared("j", direct, through_us)
    assert (verdict.passed, verdict.failed, verdict.skipped) == (1, 2, 2)
    assert verdict.failures == ("lost", "gone")


@pytest.mark.parametrize(
    ("passed", "failed", "expected", "regressed"),
    [
        (5, 1, {"passed": 5, "failed": 1}, False),
        (6, 0, {"passed": 5, "failed": 1}, False),
        (4, 1, {"passed": 5, "failed": 1}, True),
        (9, 2, {"passed": 5, "failed": 1}, True),
        (1, 0, None, False),
        (1, 1, None, True),
        (0, 0, None, True),
    ],
)
def test_less_than_recorded_is_a_regression(passed: int, failed: int, expected: dict, regressed: bool) -> None:
    assert Verdict("j", passed, failed, 0).regressed(expected) is regressed


def test_everything_is_pinned_and_something_is_expected_of_every_judge() -> None:
    for requirements in (HERE / "requirements").glob("*.txt"):
        lines = requirements.read_text().splitlines()[1:]
        assert all("==" in line for line in lines), requirements.name
    assert pinned("openai_python", "openai") == "3.54.0"
    assert '"resolved"' not in (HERE / "js" / "package-lock.json").read_text()
    assert len(read_expected()) >= len(JUDGES)

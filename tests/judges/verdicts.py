"""What judges say, read from their JUnit reports, and held against what was recorded."""

import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

EXPECTED = Path(__file__).with_name("expected.toml")
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one judge says of one subject.

    Attributes:
        failures: Names of what failed.
    """

    judge: str
    passed: int
    failed: int
    skipped: int
    failures: tuple[str, ...] = field(default=(), compare=False)

    def regressed(self, expected: Mapping[str, int] | None) -> bool:
        """Whether it is worse than recorded; what nobody recorded must not fail at all."""
        if expected is None:
            return self.failed > 0 or self.passed == 0
        return self.failed > expected["failed"] or self.passed < expected["passed"]


def read_report(report: Path) -> dict[str, str]:
    """What became of each test case, by its name."""
    cases = {}
    # The report is one that a test runner of ours has just written.
    for case in ET.parse(report).iter("testcase"):
        children = {child.tag for child in case}
        outcome = FAILED if children & {"failure", "error"} else SKIPPED if "skipped" in children else PASSED
        cases[f"{case.get('classname', '')}::{case.get('name')}"] = outcome
    return cases


def judged(judge: str, outcomes: Mapping[str, str]) -> Verdict:
    """The sum of a report."""
    counts = Counter(outcomes.values())
    failures = tuple(name for name, outcome in outcomes.items() if outcome == FAILED)
    return Verdict(judge, counts[PASSED], counts[FAILED], counts[SKIPPED], failures)


def compared(judge: str, direct: Mapping[str, str], through_us: Mapping[str, str]) -> Verdict:
    """Of what passes without us, what passes through us; what fails without us says nothing and counts as skipped."""
    counting = {name for name, outcome in direct.items() if outcome == PASSED}
    outcomes = {name: through_us.get(name, FAILED) if name in counting else SKIPPED for name in direct}
    return judged(judge, outcomes)


def read_expected() -> dict[str, dict[str, int]]:
    return tomllib.loads(EXPECTED.read_text()) if EXPECTED.is_file() else {}


def write_expected(verdicts: Iterable[Verdict]) -> None:
    """Record the verdicts, beside those of judges that were not asked."""
    known = read_expected() | {
        verdict.judge: {PASSED: verdict.passed, FAILED: verdict.failed, SKIPPED: verdict.skipped}
        for verdict in verdicts
    }
    lines = ["# What `make judges` found last; it fails where a judge says less. `make judges RECORD=1` writes it.\n"]
    for judge in sorted(known):
        counts = ", ".join(f"{name} = {count}" for name, count in known[judge].items())
        lines.append(f'"{judge}" = {{ {counts} }}\n')
    EXPECTED.write_text("".join(lines))

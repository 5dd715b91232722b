"""`make judges`: asks neutral judges about the gateway and fails where one says less than was recorded."""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import results_file
from bench.report import run_line
from tests.judges import system
from tests.judges.environments import KEPT
from tests.judges.judges import JUDGES, Subjects
from tests.judges.verdicts import Verdict, read_expected, write_expected

SHOWN_FAILURES = 20


def main() -> int:
    """Ask, tell, and say whether all is as good as recorded."""
    parser = argparse.ArgumentParser(prog="judges", description=__doc__)
    parser.add_argument("judges", nargs="*", help=f"which: {', '.join(JUDGES)}; default: all")
    parser.add_argument("--record", action="store_true", help="what is found becomes what is expected")
    asked = parser.parse_args()
    unknown = set(asked.judges) - set(JUDGES)
    if unknown:
        parser.error(f"no such judge: {', '.join(sorted(unknown))}")
    expected = read_expected()
    folder = KEPT / "reports"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    verdicts = _ask(asked.judges or list(JUDGES), folder)
    table = _table(verdicts, {} if asked.record else expected)
    print(table)
    if asked.record:
        write_expected(verdicts)
        _keep(table)
        return 0
    worse = [verdict for verdict in verdicts if verdict.regressed(expected.get(verdict.judge))]
    for verdict in worse:
        print(f"worse than recorded: {verdict.judge}", *verdict.failures[:SHOWN_FAILURES], sep="\n  ")
    return 1 if worse else 0


def _ask(names: Sequence[str], folder: Path) -> list[Verdict]:
    verdicts = []
    with (
        system.simulator(folder) as origin,
        system.gateway(folder, system.simulated(origin)) as gateway,
    ):
        subjects = Subjects(folder, gateway.url)
        for name in names:
            print(f"asking {name} ...", file=sys.stderr, flush=True)
            verdicts += JUDGES[name](subjects)
    return verdicts


def _table(verdicts: Sequence[Verdict], expected: Mapping[str, Mapping[str, int]]) -> str:
    lines = ["| judge | passed | failed | skipped | expected to pass |", "|---|---|---|---|---|"]
    for verdict in verdicts:
        wanted = expected.get(verdict.judge, {}).get("passed", "-")
        lines.append(f"| {verdict.judge} | {verdict.passed} | {verdict.failed} | {verdict.skipped} | {wanted} |")
    return "\n".join(lines)


def _keep(table: str) -> None:
    results_file.keep("Judges", f"{run_line()}.", table)


if __name__ == "__main__":
    sys.exit(main())

"""How often the cache takes requests for one another: all tries of the tests, of which each run of them makes a part.

    python bench/cache_tries.py [--keep]    # a minute and a half

100,000 random requests, whose keys are to be equal exactly when the requests are; and 10,368 requests on a store, alike in
their words alone, none of which may be served another one's answer.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from bench import machine
from bench.report import Report, number, table
from tests.examples import THOROUGH

ROOT = Path(__file__).resolve().parent.parent
TESTS = {
    "keys of 100,000 random requests": (
        "tests/cache/test_identity.py::test_no_two_of_100_000_requests_share_a_key_unless_they_are_equal"
    ),
    "keys of 10,800 requests for the same words": (
        "tests/cache/test_identity.py::test_no_answer_crosses_scopes_cache_keys_models_prompts_or_parameters"
    ),
    "keys by properties: order, spelling, escapes": "tests/cache/test_identity.py",
    "answers of 10,368 requests for the same words, on a store": "tests/inference/test_no_answer_crosses.py",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="make the table the current one in RESULTS.md")
    options = parser.parse_args()
    report = Report("Cache of answers: requests taken for one another", [machine.shape()])
    rows = []
    failed = False
    for name, test in TESTS.items():
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
            cwd=ROOT, env={**os.environ, "HYPOTHESIS_PROFILE": THOROUGH}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = re.search(r"(\d+) failed", done.stdout)
        failed |= done.returncode != 0
        result = "none" if done.returncode == 0 else f"{found[1]} tests failed" if found else "not run"
        rows.append([name, result, number(time.monotonic() - began)])
    report.section("All tries", table(["", "taken for one another", "s"], rows))
    if options.keep:
        report.keep()
    sys.exit(failed)


if __name__ == "__main__":
    main()

"""Runs the tests that know dates on another date: theirs, their processes' and the store's.

python -m tests.clock                       # the last minute of a leap day
python -m tests.clock +400d 23:59:30        # one run for each
python -m tests.clock --whole +1d           # all tests
python -m tests.clock --cov                 # other options are pytest's

`make check` runs these tests so, and all others (`pytest --undated`) on the machine's date: none of them twice.
"""

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

DATED = ("tests/batches", "tests/jobs", "tests/governance", "tests/api/usage", "tests/cli/test_usage.py")
LEAP_DAY = "2028-02-29T23:59:30"


def offset_of(moment: str, now: datetime) -> timedelta:
    """How far a moment is from now.

    Args:
        moment: `+40d`, or today's `23:59:30`, or `2028-02-29T23:59:30`; times are UTC.
        now: with its zone.

    Raises:
        ValueError: it is none of these.
    """
    if moment.startswith("+"):
        return timedelta(days=int(moment.removeprefix("+").removesuffix("d")))
    if "T" in moment:
        return datetime.fromisoformat(moment).replace(tzinfo=UTC) - now
    return datetime.combine(now.date(), time.fromisoformat(moment), UTC) - now


def chosen(options: Sequence[str]) -> list[str]:
    """What pytest is given besides the number of its workers: options, and the tests."""
    if "--whole" in options:
        return [option for option in options if option != "--whole"]
    return ["-m", "not process and not slow", *options, *DATED]


def run(moment: str, options: Sequence[str] = ()) -> int:
    """Run the tests at a moment; pytest's exit code."""
    # An offset, not a date: each process would begin at the date, and the store would live in another minute.
    offset = offset_of(moment, datetime.now(UTC)).total_seconds()
    library = (
        Path(importlib.import_module("libfaketime").__file__ or "").parent / "vendor/libfaketime/src/libfaketime.so.1"
    )
    command = [sys.executable, "-m", "pytest", "-n", "4", *chosen(options)]
    print(f"{'all tests' if '--whole' in options else 'the tests that know dates'}, at {moment}", flush=True)
    # pytest deletes what runs of three days ago left in its folder, and may run there now, on the machine's date.
    with tempfile.TemporaryDirectory(prefix="d", ignore_cleanup_errors=True) as folder:
        environ = os.environ | {
            "LD_PRELOAD": str(library),
            "FAKETIME": f"{offset:+.0f}",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTEST_DEBUG_TEMPROOT": folder,
        }
        return subprocess.run(command, env=environ, check=False).returncode


if __name__ == "__main__":
    if not sys.platform.startswith("linux"):
        sys.exit("the clock is moved by a library that is built for Linux")
    options = [word for word in sys.argv[1:] if word.startswith("--")]
    moments = [word for word in sys.argv[1:] if not word.startswith("--")]
    sys.exit(max(run(moment, options) for moment in moments or [LEAP_DAY]))

"""A test worker that dies costs one test, not the run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.store.commands import RedisCommands
from tests import measuring
from tests.clock import DATED, chosen
from tests.measuring import UNTRACED_FILES, UNTRACED_TESTS
from tests.scheduling import is_fast

ROOT = Path(__file__).parents[2]
TESTS = """
import os
import pytest

@pytest.mark.parametrize("number", range(60))
def test_number(number):
    if number == 20:
        os._exit(1)
"""


@pytest.mark.process
def test_the_others_go_on_when_a_worker_dies(tmp_path: Path) -> None:
    (tmp_path / "test_numbers.py").write_text(TESTS)
    # No plugin but what is needed: four processes load all of them for 1 s of CPU each.
    environ = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "3", "-c", os.devnull, "--rootdir", tmp_path,
         "-p", "xdist.plugin", "-p", "tests.scheduling", "-p", "no:cacheprovider", tmp_path],
        check=False, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert "1 failed, 59 passed" in done.stdout, done.stdout + done.stderr
    assert "crashed while running" in done.stdout
    assert "test_number[20]" in done.stdout


def test_what_is_not_traced_for_coverage_exists() -> None:
    assert [name for name in UNTRACED_FILES if not (ROOT / name).exists()] == []
    tests = [name.split("::") for name in UNTRACED_TESTS]
    assert [words for words in tests if f"def {words[-1]}(" not in (ROOT / words[0]).read_text()] == []


def test_who_runs_a_few_files_in_one_process_sees_all_that_they_reach(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "UNTRACED_TESTS", frozenset({request.node.nodeid}))
    monkeypatch.setattr(measuring, "UNTRACED_FILES", ())
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw7")
    assert not measuring.is_traced(request.node)
    monkeypatch.delenv("PYTEST_XDIST_WORKER")
    assert measuring.is_traced(request.node)


def test_a_moved_clock_is_for_tests_that_know_dates_or_for_all() -> None:
    assert chosen(["--cov"]) == ["-m", "not process and not slow", "--cov", *DATED]
    assert chosen(["--whole", "--cov"]) == ["--cov"]


@pytest.mark.parametrize("number", [1])
def test_a_test_without_servers_is_fast(number: int, request: pytest.FixtureRequest) -> None:
    assert is_fast(request.node)


def test_a_test_of_the_store_is_not_fast(redis_url: str, request: pytest.FixtureRequest) -> None:
    assert not is_fast(request.node)


@pytest.mark.slow
def test_a_test_of_many_examples_is_not_fast(request: pytest.FixtureRequest) -> None:
    assert not is_fast(request.node)


async def test_commands_are_fast_on_the_fake_alone(commands: RedisCommands, request: pytest.FixtureRequest) -> None:
    assert is_fast(request.node) == ("[fake]" in request.node.name)

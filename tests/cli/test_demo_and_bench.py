import builtins
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import cli.commands.demonstration  # noqa: F401 - what it defines counts: imports of measured processes do not
from tests.cli.conftest import Finops
from tests.served import FINOPS, MEASURED_FINOPS, clean_environ
from tests.waiting import wait_until_sync

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


def test_the_demo_shows_the_main_job_and_leaves_nothing(tmp_path: Path) -> None:
    # What is configured for other gateways has no business here, wrong as it is.
    surroundings = {"TMPDIR": str(tmp_path), "FINOPS_REDIS_URL": "redis://127.0.0.1:1", "FINOPS_CONFIG": "missing.toml"}
    document = subprocess.run(
        [*MEASURED_FINOPS, "demo"],
        env=clean_environ(**surroundings),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert document.returncode == 0, document.stdout + document.stderr
    lines = document.stdout.splitlines()
    stages = [line.split()[-1] for line in lines if line.lstrip()[:3].replace(".", "").isdigit() and " s  " in line]
    assert stages == ["queued", "progress", "completed"]
    assert "200 of 200 done" in document.stdout
    facts = {line.rsplit(maxsplit=1)[0].strip(): line.split()[-1] for line in lines[-9:-2]}
    assert (facts["jobs"], facts["lost"], facts["doubled"]) == ("200", "0", "0")
    assert lines[-1].endswith("/ui.")
    workers = [int(facts["by worker 1"]), int(facts["by worker 2"])]
    assert sum(workers) == 200
    assert min(workers) > 20
    assert list(tmp_path.iterdir()) == []


@contextmanager
def heeded_interrupts() -> Iterator[None]:
    """Undo what a shell does to commands that it starts in the background: they and their children ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_broken_off_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    log = tmp_path / "log"
    folder = tmp_path / "tmp"
    folder.mkdir()
    with log.open("w") as output, heeded_interrupts():
        demo = subprocess.Popen([*FINOPS, "demo"], env=clean_environ(TMPDIR=str(folder)), stdout=output, stderr=output)
    wait_until_sync(lambda: "queued" in log.read_text(), 60)
    demo.send_signal(number)
    assert demo.wait(60) == 1
    assert log.read_text().rstrip().endswith("Aborted!")
    assert "Traceback" not in log.read_text()
    assert list(folder.iterdir()) == []


def test_without_the_sdk_the_demo_says_what_is_missing(finops: Finops, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_openai(name: str, *rest: Any) -> Any:
        if name == "openai":
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_openai)
    refused = finops("demo")
    assert refused.exit_code == 1
    assert "pip install openai" in refused.stderr


def test_the_bench_measures_what_it_names(tmp_path: Path) -> None:
    ran = subprocess.run(
        [*MEASURED_FINOPS, "bench", "--jobs", "100", "--calls", "50", "--json"],
        env=clean_environ(TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    figures = {figure["name"]: figure["value"] for figure in document["figures"]}
    assert set(figures) == {
        "submit, p50",
        "submit, p99",
        "pick-up, to the ms, p50",
        "pick-up, to the ms, p99",
        "jobs, submit to outcome",
        "synchronous call, p50",
        "synchronous call, p99",
        "synchronous overhead, p50",
    }
    assert 0 < figures["submit, p50"] <= figures["submit, p99"]
    assert figures["jobs, submit to outcome"] > 1
    assert document["machine"]["cpus"] == os.cpu_count()
    assert list(tmp_path.iterdir()) == []


def test_workers_are_scaled_out_and_in_without_losing_a_job(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    sizes = ["--phase-s", "1", "--job-s", "0.3", "--concurrency", "4", "--max-workers", "2"]
    rates = ["--rate", "5", "--rate", "30", "--rate", "5"]
    ran = subprocess.run(
        [*MEASURED_FINOPS, "bench", "scale", *rates, *sizes, "--picture", str(tmp_path / "scale.svg"), "--json"],
        env=clean_environ(TMPDIR=str(folder)),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    figures = {figure["name"]: figure["value"] for figure in document["figures"]}
    assert (figures["workers, least"], figures["workers, most"], figures["workers at the end"]) == (1, 2, 1)
    assert (figures["jobs lost"], figures["jobs submitted"] > 30) == (0, True)
    assert {sample["wanted"] for sample in document["samples"]} == {1, 2}
    assert ET.parse(tmp_path / "scale.svg").getroot().tag.endswith("svg")
    assert list(folder.iterdir()) == []


def test_a_trial_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    code = (
        "import asyncio\n"
        "from cli.supervisor.trial import trial\n"
        "async def main():\n"
        "    async with trial(workers=1, concurrency=0): pass\n"
        "import click\n"
        "try: asyncio.run(main())\n"
        "except click.ClickException as error: print(error.message)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environ(TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "worker 1 did not start" in ran.stdout
    assert "--concurrency" in ran.stdout
    assert list(tmp_path.iterdir()) == []

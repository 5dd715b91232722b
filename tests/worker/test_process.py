"""`finops worker` and `python -m worker` as processes."""

import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
import pytest
import redis as blocking_redis

from cli.supervisor.listening import free_port
from shared.jobs.keys import HEALTH
from shared.settings.model import Settings
from shared.store.embedded import EmbeddedStore
from tests.served import MEASURED, MEASURED_FINOPS, clean_environ
from tests.waiting import wait_until_sync
from worker import __main__ as module
from worker.main import run_worker

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]

MODULE = (*MEASURED, "worker")


@contextmanager
def process(*command: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean_environ(**environ))
    with started:
        try:
            yield started
        finally:
            if started.poll() is None:
                started.kill()


def lines(text: str) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in text.splitlines()]


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("command", "number"),
    [(MODULE, signal.SIGTERM), ((*MEASURED_FINOPS, "worker"), signal.SIGINT)],
    ids=["module", "finops"],
)
def test_a_worker_logs_its_start_and_stops_on_a_signal(
    command: tuple[str, ...], number: signal.Signals, redis_url: str
) -> None:
    port = free_port()
    environ = {"FINOPS_REDIS_URL": redis_url, "FINOPS_WORKER_METRICS_PORT": str(port)}
    with process(*command, **environ) as worker, blocking_redis.Redis.from_url(redis_url) as store:
        wait_until_sync(lambda: is_ready(port), 30)
        wait_until_sync(lambda: store.keys(f"{HEALTH}:*"))
        worker.send_signal(number)
        _, output = worker.communicate(timeout=30)
        assert worker.returncode == 0
        assert not store.keys(f"{HEALTH}:*")
    messages = [line["message"] for line in lines(output)]
    assert messages[0] == "worker starts"
    assert messages[-1] == "worker stopped"
    assert {line["tier"] for line in lines(output)} == {"worker"}


def test_a_worker_serves_durable_submits_and_a_second_one_finds_its_port_taken(redis_url: str, tmp_path: Path) -> None:
    port, config = free_port(), tmp_path / "finops.toml"
    config.write_text('[jobs]\ndurability = "fsync"\n')
    environ = {"FINOPS_REDIS_URL": redis_url, "FINOPS_WORKER_METRICS_PORT": str(port), "FINOPS_CONFIG": str(config)}
    with process(*MODULE, **environ) as worker:
        wait_until_sync(lambda: is_ready(port), 30)
        second = subprocess.run(
            MODULE, env=clean_environ(**environ), capture_output=True, text=True, timeout=60, check=False
        )
        worker.terminate()
        worker.communicate(timeout=30)
        assert worker.returncode == 0
    assert second.returncode == 1
    assert "cannot start" in second.stderr
    assert "in use" in second.stderr


def test_a_worker_waits_for_an_unavailable_store(tmp_path: Path) -> None:
    port = free_port()
    store = EmbeddedStore(tmp_path / "store", port=free_port())
    store.start()
    url = store.url
    store.stop()
    with process(*MODULE, FINOPS_REDIS_URL=url, FINOPS_WORKER_METRICS_PORT=str(port)) as worker:
        wait_until_sync(lambda: is_live(port), 30)
        assert not is_ready(port)
        store.start()
        try:
            wait_until_sync(lambda: is_ready(port), 30)
        finally:
            worker.terminate()
            assert worker.wait(30) == 0
            store.stop()


def is_live(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/live", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Undo the process's logging configuration: its stream ends with the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "no job store is configured"),
        ({"FINOPS_JOBS_LEASE_S": "soon"}, "jobs.lease_s"),
        ({"FINOPS_REDIS_URL": "redis://x", "AZURE_OPENAI_API_KEY": "k", "FINOPS_CONFIG": "{azure}"}, "providers.azure"),
        ({"FINOPS_REDIS_URL": "http://x"}, "http"),
        ({"FINOPS_REDIS_URL": "redis://127.0.0.1:1", "FINOPS_WORKER_METRICS_PORT": "x"}, "invalid literal"),
    ],
)
@pytest.mark.usefixtures("own_logging")
def test_invalid_configuration_is_rejected_at_start(
    environ: dict[str, str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "azure.toml").write_text("[providers.azure]\n")
    for name in os.environ.keys() - clean_environ().keys():
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value.replace("{azure}", str(tmp_path / "azure.toml")))
    monkeypatch.setattr(module, "skip_unused_imports", lambda: None)  # other tests import what a worker does not use
    assert module.main() == 1
    refused = capsys.readouterr().err
    assert message in refused
    assert "Traceback" not in refused


@pytest.mark.usefixtures("own_logging")
def test_a_worker_needs_a_store_url(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_worker(Settings(), environ=dict(os.environ)) == 1
    assert "FINOPS_REDIS_URL" in capsys.readouterr().err

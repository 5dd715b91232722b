"""`finops api` and `finops simulate` as processes."""

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from cli.admin_key import ensure_admin_key
from cli.supervisor.listening import free_port
from shared.store.embedded import EmbeddedStore
from tests.cli.conftest import Finops
from tests.served import FINOPS, MEASURED_FINOPS, clean_environ
from tests.waiting import wait_until_sync

pytestmark = [pytest.mark.process, pytest.mark.timeout(90)]


@contextmanager
def finops_process(*arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    command = [*MEASURED_FINOPS, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean_environ(**environ)) as started:
        try:
            yield started
        finally:
            if started.poll() is None:
                started.kill()
            started.communicate()


def status(url: str, **headers: str) -> int:
    try:
        return httpx.get(url, headers=headers, trust_env=False, timeout=10).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_simulator_serves_until_a_signal(number: signal.Signals) -> None:
    port = free_port()
    with finops_process("simulate", "--port", str(port), "--api-key", "right") as simulator:
        url = f"http://127.0.0.1:{port}/v1/models"
        wait_until_sync(lambda: status(url, authorization="Bearer right") == 200, 30)
        assert status(url, authorization="Bearer wrong") == 401
        simulator.send_signal(number)
        assert simulator.wait(20) == 0


def test_the_api_starts_without_its_store_and_ends_on_a_signal() -> None:
    port = free_port()
    with finops_process("api", "--port", str(port), "--redis-url", "redis://127.0.0.1:1/0") as api:
        wait_until_sync(lambda: status(f"http://127.0.0.1:{port}/health/live") == 200, 30)
        assert status(f"http://127.0.0.1:{port}/health/ready") == 503
        api.terminate()
        assert api.wait(30) == 0


def test_the_api_joins_the_store_and_the_admin_key_of_a_data_directory(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "data")
    store.start()
    key, _ = ensure_admin_key(tmp_path / "data")
    port = free_port()
    try:
        with finops_process("api", "--port", str(port), "--data-dir", str(tmp_path / "data")) as api:
            wait_until_sync(lambda: status(f"http://127.0.0.1:{port}/health/ready") == 200, 30)
            assert status(f"http://127.0.0.1:{port}/api/jobs") == 401
            assert status(f"http://127.0.0.1:{port}/api/jobs", authorization=f"Bearer {key}") == 200
            api.terminate()
            assert api.wait(30) == 0
    finally:
        store.stop()


@pytest.mark.parametrize("arguments", [("api", "--redis-url", "redis://127.0.0.1:1"), ("simulate",)])
def test_a_taken_port_is_named_with_what_to_do(arguments: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = subprocess.run(
            [*FINOPS, *arguments, "--port", port],
            env=clean_environ(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ran.returncode == 1
    assert f"Error: port {port} of 127.0.0.1 is in use; stop what listens there" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("tier", ["api", "worker"])
def test_a_tier_without_a_store_says_where_one_could_come_from(finops: Finops, tier: str) -> None:
    refused = finops(tier)
    assert refused.exit_code == 1
    assert "--redis-url" in refused.stderr
    assert "finops serve" in refused.stderr

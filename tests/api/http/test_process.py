"""``python -m api`` as a process: starts, says where, stops as asked, refuses with a reason."""

import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator

import httpx
import orjson
import pytest

from tests.served import MEASURED, clean_environ

pytestmark = pytest.mark.process


Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run() -> Iterator[Run]:
    """Start it; what a failing test leaves running is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **more) -> subprocess.Popen[str]:
        started.append(_start(*arguments, **more))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _start(*arguments: str, environ: dict[str, str] | None = None, **more) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*MEASURED, "api", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environ(**(environ or {})),
        **more,
    )


def listening(process: subprocess.Popen[str]) -> str:
    """Its URL, from its log."""
    assert process.stderr is not None
    for line in process.stderr:
        if '"listening"' in line:
            url: str = orjson.loads(line)["url"]
            return url
    raise AssertionError("it ended without serving")


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> int:
    process.send_signal(number)
    return process.wait(20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_on_a_free_port_without_a_store_and_stops_cleanly(run: Run, number: int):
    process = run("--port", "0", "--redis-url", "redis://127.0.0.1:9/0")
    url = listening(process)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    assert httpx.get(f"{url}/health/live").status_code == 200
    assert httpx.get(f"{url}/health/ready").status_code == 503
    assert "server" not in httpx.get(f"{url}/health/live").headers
    assert end(process, number) == 0


def test_it_serves_an_inherited_socket(run: Run):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = run("--fd", str(listener.fileno()), pass_fds=[listener.fileno()])
        url = listening(process)
        assert url.endswith(f":{listener.getsockname()[1]}")
        assert httpx.get(f"{url}/health/live").status_code == 200
        assert end(process) == 0


def test_a_port_in_use_is_reported_and_exits_1(run: Run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = run("--port", str(taken.getsockname()[1]))
        _, output = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cannot listen on 127.0.0.1 port" in output


@pytest.mark.parametrize(
    ("environ", "code", "output"),
    [
        ({"FINOPS_PORT": "ninety"}, 2, "port"),
        ({"FINOPS_CONFIG": "/nonexistent/finops.toml"}, 2, "does not exist"),
    ],
)
def test_a_refused_configuration_is_reported(run: Run, environ: dict[str, str], code: int, output: str):
    process = run(environ=environ)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert output in errors
    assert "Traceback" not in errors


def test_an_incomplete_provider_is_reported(run: Run, tmp_path):
    config = tmp_path / "finops.toml"
    config.write_text('[server]\nport = 0\n[providers.mine]\nwire = "openai"\n')
    process = run("--config", str(config))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "mine" in errors
    assert "Traceback" not in errors

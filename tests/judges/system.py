"""What the judges judge: the gateway in front of an upstream, as processes of this machine."""

import contextlib
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.served import Served, clean_environ, served
from tests.waiting import wait_until_sync

START_TIMEOUT_S = 60.0
ADMIN_KEY = "admin-key-of-the-judges-0123456789"
_PROVIDER = """
[providers.{name}]
base_url = "{base_url}"
keys = [{{ value = "upstream-key-of-the-judges" }}]
retry = {{ max_attempts = 1 }}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as guard:
        port: int = guard.getsockname()[1]
        return port


@contextlib.contextmanager
def started(command: Sequence[str | Path], ready_url: str, log: Path) -> Iterator[None]:
    """A process, from when it answers HTTP until the end of the block."""

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(ready_url, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    with log.open("w") as out:
        process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=clean_environ()
        )
    try:
        wait_until_sync(answers, START_TIMEOUT_S)
        yield
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def steady(program: Path, description: Path, folder: Path) -> Iterator[str]:
    """The Steady mock server: checks each request against the description, answers with valid replies."""
    origin = f"http://127.0.0.1:{(port := free_port())}"
    brackets = [
        f"--validator-{place}-{kind}-format=brackets" for place in ("query", "form") for kind in ("array", "object")
    ]
    command = [program, "-q", "--host", "127.0.0.1", "-p", str(port), *brackets, description]
    with started(command, f"{origin}/models", folder / "steady.log"):
        yield origin


@contextlib.contextmanager
def simulator(folder: Path) -> Iterator[str]:
    origin = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-P", "-m", "simulator", "--port", str(port)]
    with started(command, f"{origin}/sim/health", folder / "simulator.log"):
        yield origin


@contextlib.contextmanager
def gateway(folder: Path, providers: dict[str, str], more: str = "") -> Iterator[Served]:
    """`finops serve` (its API, a worker, a real store) with these providers, each with its base URL.

    Args:
        folder: For its configuration, data and log.
        providers: Base URLs by name.
        more: Further tables of its configuration.
    """
    config = folder / "finops.toml"
    tables = [_PROVIDER.format(name=name, base_url=base_url) for name, base_url in providers.items()]
    config.write_text("".join([f'[log]\nrequests = false\n[auth]\nadmin_key = "{ADMIN_KEY}"\n', *tables, more]))
    with served(folder / "data", "--config", str(config)) as running:
        yield running


def simulated(origin: str) -> dict[str, str]:
    """Providers of three wires, all of them the simulator."""
    return {"openai": f"{origin}/v1", "anthropic": f"{origin}/anthropic", "gemini": f"{origin}/v1beta"}

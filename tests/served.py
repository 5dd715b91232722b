"""A gateway as its users start it: `finops serve` in a process of its own, with the simulator."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.waiting import wait_until_sync

START_TIMEOUT_S = 60.0
FINOPS = (sys.executable, "-P", "-m", "cli")
MEASURED = (sys.executable, "-P", "-m", "tests.measured")  # and a module: its process counts, not those it starts
MEASURED_FINOPS = (*MEASURED, "cli")


def clean_environ(**more: str) -> dict[str, str]:
    """The environment without what it says of gateways and providers, and with more variables."""
    left_out = ("FINOPS_", "OPENAI_", "COVERAGE", "COV_")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)} | more


class Served:
    """A running `finops serve`.

    Attributes:
        url: Where the gateway is.
        log: Its output so far, that of its children included.

    Args:
        data_dir: Its data directory.
        arguments: Further arguments of `finops serve`; a demo has no sample data unless they ask for them.
        command: What runs `finops`.
        cwd: Where it is started; None: here.
        environ: Variables on top.
    """

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        command: Sequence[str] = FINOPS,
        cwd: Path | None = None,
        **environ: str,
    ) -> None:
        self.data_dir = data_dir
        self.url = ""
        if "--demo" in arguments and "--sample-data" not in arguments:
            arguments = (*arguments, "--no-sample-data")
        self._log = data_dir.parent / f"{data_dir.name}.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "serve", "--data-dir", str(data_dir), "--port", "0", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environ(**environ),
                start_new_session=True,
                cwd=cwd,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def simulator_url(self) -> str:
        found = re.search(r'base_url = "(.*)/v1"', (self.data_dir / "serve.toml").read_text())
        assert found, "the simulator is not part of it"
        return found[1]

    def ask_simulator(self, path: str, rule: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask its simulator, which may begin to serve after the gateway; with a rule, add that to its script."""

        def answered() -> httpx.Response | None:
            try:
                method = "GET" if rule is None else "POST"
                return httpx.request(method, f"{self.simulator_url}{path}", json=rule, trust_env=False, timeout=30)
            except httpx.ConnectError:
                return None

        found: dict[str, Any] = wait_until_sync(answered, START_TIMEOUT_S).raise_for_status().json()
        return found

    @property
    def admin_key(self) -> str:
        return (self.data_dir / "admin.key").read_text().strip()

    def wait_until_serving(self) -> None:
        def served() -> re.Match[str] | None:
            assert self.process.poll() is None, self.log
            return re.search(r"serving on (http://\S+)", self.log)

        self.url = wait_until_sync(served, START_TIMEOUT_S)[1]

    def wait_until_working(self) -> None:
        """Wait until a worker has announced itself: workers start once the API serves, and take a while."""
        headers = {"authorization": f"Bearer {self.admin_key}"}

        def working() -> bool:
            answer = httpx.get(f"{self.url}/api/queue", headers=headers, trust_env=False, timeout=30)
            return bool(answer.json()["workers"])

        wait_until_sync(working, START_TIMEOUT_S)

    def processes(self, command: str = "") -> list[int]:
        """Its descendants whose command line holds `command`."""
        return [pid for pid in _descendants(self.process.pid) if command in _command_line(pid)]

    def stop(self, number: signal.Signals = signal.SIGINT, timeout_s: float = 60.0) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)


@contextmanager
def served(
    data_dir: Path,
    *arguments: str,
    command: Sequence[str] = FINOPS,
    cwd: Path | None = None,
    **environ: str,
) -> Iterator[Served]:
    """Start one and wait until it serves; afterwards it is gone, however the test left it."""
    gateway = Served(data_dir, *arguments, command=command, cwd=cwd, **environ)
    try:
        gateway.wait_until_serving()
        yield gateway
    finally:
        if gateway.process.poll() is None:
            gateway.process.send_signal(signal.SIGTERM)
            try:
                gateway.process.wait(60)
            except subprocess.TimeoutExpired:
                gateway.process.kill()
                gateway.process.wait()


def alive(pids: list[int]) -> list[int]:
    """Those that still run."""
    return [pid for pid in pids if _command_line(pid)]


def _descendants(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def _command_line(pid: int) -> str:
    """Empty for a process that is gone or only waits to be buried."""
    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""

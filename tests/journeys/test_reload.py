"""SIGHUP gives every process of `finops serve` the changed configuration, without a failed call."""

import signal
import threading
from pathlib import Path

import httpx
import pytest

from tests.journeys.callers import QUESTION, envelope, plain_http, submit
from tests.served import Served, served
from tests.waiting import wait_until_sync

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

OLD = "[jobs]\nmax_attempts = 2\n[aliases]\nfast = 'sim/old'\n"
NEW = "[jobs]\nmax_attempts = 5\n[aliases]\nfast = 'sim/new'\nquick = 'openai/gpt-4o'\n"


class Calls(threading.Thread):
    """Calls a gateway until told to stop, and keeps the statuses."""

    def __init__(self, gateway: Served) -> None:
        super().__init__(daemon=True)
        self.statuses: list[int] = []
        self._gateway = gateway
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.is_set():
            with plain_http(self._gateway) as client:
                self.statuses.append(ask(client, "sim/gpt-4o"))

    def end(self) -> None:
        self._stop_asked.set()
        self.join(30)


def ask(client: httpx.Client, model: str) -> int:
    return client.post("/v1/chat/completions", json={"model": model, "messages": QUESTION}).status_code


def hang_up(gateway: Served, expected: str) -> None:
    gateway.process.send_signal(signal.SIGHUP)
    wait_until_sync(lambda: expected in gateway.log, 90)


def test_a_reload_replaces_every_process_and_fails_no_call(tmp_path: Path) -> None:
    config = tmp_path / "finops.toml"
    config.write_text(OLD)
    with served(tmp_path / "data", "--demo", "--config", str(config)) as gateway:
        before = set(gateway.processes("cli api") + gateway.processes("cli worker"))
        with plain_http(gateway) as client:
            assert ask(client, "fast") == 200
            config.write_text("[aliases]\nfast = 'nosuch/x'\n")
            hang_up(gateway, "not reloaded, nothing has changed")
            assert "aliases.fast: 'nosuch/x' leads to no configured provider" in gateway.log
            assert set(gateway.processes("cli api") + gateway.processes("cli worker")) == before
            config.write_text(OLD + "[server]\nhost = 'localhost'\n")
            hang_up(gateway, "server.host cannot be changed by a reload")
            job = submit(client, "sim/gpt-4o@latency=1")
        calls = Calls(gateway)
        calls.start()
        config.write_text(NEW)
        hang_up(gateway, "reloaded; every process has the new configuration")
        calls.end()
        assert set(calls.statuses) == {200}
        assert len(calls.statuses) > 3
        for line in (
            "jobs.max_attempts: 2 -> 5",
            "aliases.fast: sim/old -> sim/new",
            "aliases.quick: - -> openai/gpt-4o",
        ):
            assert line in gateway.log
        assert not before & set(gateway.processes("cli api") + gateway.processes("cli worker"))
        with plain_http(gateway) as client:
            assert ask(client, "quick") == 200
            assert envelope(client, job, wait_s=30)["status"] == "completed"
        hang_up(gateway, "reloaded; nothing has changed")
        assert gateway.stop() == 0

"""Every process takes a changed configuration, at a request or at SIGHUP, without a failed call."""

import re
import signal
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import redis as blocking_redis

from shared.store.reloads import CHANNEL
from tests.journeys.callers import QUESTION, plain_http, submit, wait_for_end
from tests.served import FINOPS, Served, clean_environ, served
from tests.waiting import wait_until_sync

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

OLD = "[jobs]\nmax_attempts = 2\n[aliases]\nfast = 'sim/old'\n"
NEW = "[jobs]\nmax_attempts = 5\n[aliases]\nfast = 'sim/new'\nquick = 'openai/gpt-4o'\n"

ADMIN_KEY = "admin-key-of-the-tiers-0123456789"
LISTENS = r'"message":"listening","url":"(http[^"]+)"'
STARTS = r'"message":"worker starts"'


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
            refused = client.post("/api/config/reload", headers={"authorization": f"Bearer {gateway.admin_key}"})
            assert refused.status_code == 400
            assert "aliases.fast: 'nosuch/x'" in refused.json()["error"]["message"]
            assert "aliases.fast: 'nosuch/x' leads to no configured provider" in gateway.log
            assert set(gateway.processes("cli api") + gateway.processes("cli worker")) == before
            config.write_text(OLD + "[server]\nhost = 'localhost'\n")
            hang_up(gateway, "server.host cannot be changed by a reload")
            job = submit(client, "sim/gpt-4o@latency=1")
        calls = Calls(gateway)
        calls.start()
        config.write_text(NEW)
        with plain_http(gateway) as client:
            headers = {"authorization": f"Bearer {gateway.admin_key}"}
            answer = client.post("/api/config/reload", headers=headers, timeout=90)
            assert answer.status_code == 200, answer.text
            assert {"setting": "jobs.max_attempts", "before": "2", "after": "5"} in answer.json()["changes"]
        wait_until_sync(lambda: "reloaded; every process has the new configuration" in gateway.log, 90)
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
            assert wait_for_end(client, job)["status"] == "completed"
        hang_up(gateway, "reloaded; nothing has changed")
        assert gateway.stop() == 0


def test_tiers_without_a_supervisor_reload_together(tmp_path: Path, redis_url: str) -> None:
    config = tmp_path / "finops.toml"
    config.write_text(f"[redis]\nurl = '{redis_url}'\n[jobs]\nmax_attempts = 2\n")
    environ = clean_environ(
        FINOPS_CONFIG=str(config), FINOPS_ADMIN_KEY=ADMIN_KEY, FINOPS_DATA_DIR=str(tmp_path / "data")
    )
    log = tmp_path / "log"
    with log.open("w") as output, ExitStack() as ended:
        for command in (("api", "--port", "0"), ("worker",)):
            process = subprocess.Popen([*FINOPS, *command], stderr=output, env=environ)
            ended.callback(process.wait, 60)
            ended.callback(process.terminate)
        api, worker = (
            wait_until_sync(lambda text=text: re.search(text, log.read_text()), 60) for text in (LISTENS, STARTS)
        )
        assert worker
        wait_until_sync(lambda: listeners(redis_url) == 2, 60)
        config.write_text(f"[redis]\nurl = '{redis_url}'\n[jobs]\nmax_attempts = 5\n")
        answer = httpx.post(f"{api[1]}/api/config/reload", headers={"authorization": f"Bearer {ADMIN_KEY}"}, timeout=60)
        assert answer.json()["changes"] == [{"setting": "jobs.max_attempts", "before": "2", "after": "5"}]
        assert answer.json()["notified"] == 1
        wait_until_sync(lambda: '"tier":"worker","message":"configuration reloaded"' in log.read_text(), 60)
        process.send_signal(signal.SIGHUP)  # the worker: it goes on
        wait_until_sync(lambda: log.read_text().count('"tier":"worker","message":"configuration reloaded"') == 2, 60)
        assert process.poll() is None


def listeners(redis_url: str) -> int:
    with blocking_redis.Redis.from_url(redis_url) as store:
        return int(store.pubsub_numsub(CHANNEL)[0][1])

"""An API process reads its configuration again: by request, by signal, by announcement, or through its supervisor."""

import asyncio
import gc
import json
import os
import signal
import socket
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from api import server
from api.app import create_app
from api.http.reloads import OwnReload, Reload, SupervisedReload, reload_and_log
from api.server import _rebuild, check_exposure
from shared.errors import InvalidConfigurationFile, StoreUnavailable
from shared.providers.configuration import Configuration
from shared.settings.load import load_settings
from simulator.serve import RunningSimulator
from tests.api.conftest import ADMIN_KEY, Gateway, Start, _Server
from tests.waiting import wait_until

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
QUESTION = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module", autouse=True)
def earlier_applications_are_gone() -> None:
    """A retired application collects all that was frozen, what earlier tests left too: collect it before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.unfreeze()
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of `gc`: to look through all that pytest has loaded takes a second of CPU. One test does it."""
    idle = SimpleNamespace(**dict.fromkeys(("collect", "freeze", "unfreeze", "set_threshold"), lambda *_: None))
    monkeypatch.setattr(server, "gc", idle)


class Reloadable:
    """A gateway whose configuration is a file.

    Attributes:
        file: The file; ``write`` changes what follows its first part.
    """

    def __init__(self, file: Path, redis_url: str, simulator: str) -> None:
        self.file = file
        self._head = (
            f'[redis]\nurl = "{redis_url}"\n[auth]\nadmin_key = "{ADMIN_KEY}"\nrequire_virtual_key = false\n'
            f'[providers.sim]\nwire = "openai"\nbase_url = "{simulator}"\nkeys = ["sk-upstream-0123456789"]\n'
        )
        self.write("[aliases]\nfast = 'sim/old'\n")
        environ = {"FINOPS_CONFIG": str(file)}
        settings = load_settings(environ=environ)
        build = partial(create_app, environ=environ)
        self.server = _Server(build(settings), settings)
        configuration = Configuration(settings, environ, partial(check_exposure, admin_key=None))
        self.reload = OwnReload(configuration, partial(_rebuild, self.server, build))
        self.server.reload_with(self.reload)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.listener.getsockname()[1]}", timeout=20)

    def write(self, text: str) -> None:
        self.file.write_text(self._head + text)

    async def ask(self, model: str) -> int:
        body = {"model": model, "messages": QUESTION}
        return (await self.http.post("/v1/chat/completions", json=body)).status_code

    async def post_reload(self) -> httpx.Response:
        return await self.http.post("/api/config/reload", headers=ADMIN)


StartReloadable = Callable[[], Awaitable[Reloadable]]


@pytest.fixture
async def start_reloadable(tmp_path: Path, redis_url: str, sim: RunningSimulator) -> AsyncIterator[StartReloadable]:
    started: list[tuple[Reloadable, asyncio.Task[None]]] = []

    async def start() -> Reloadable:
        file = tmp_path / f"finops{len(started)}.toml"
        gateway = await asyncio.to_thread(Reloadable, file, redis_url, sim.base_url)
        task = asyncio.create_task(gateway.server.serve(sockets=[gateway.listener]))
        started.append((gateway, task))
        await wait_until(lambda: gateway.server.started or task.done())
        assert gateway.server._listener
        await asyncio.wait_for(gateway.server._listener.listening.wait(), 20)
        return gateway

    yield start
    for gateway, task in started:
        await gateway.http.aclose()
        gateway.server.end()
        await task


async def test_a_reload_changes_what_further_calls_meet_and_fails_no_running_one(
    start_reloadable: StartReloadable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "gc", gc)
    gateway = await start_reloadable()
    running = asyncio.create_task(gateway.ask("sim/gpt-4o@latency=0.5"))
    assert await gateway.ask("fast") == 200
    await asyncio.to_thread(gateway.write, "[aliases]\nquick = 'sim/new'\n[server]\nmax_headers = 55\n")
    answer = await gateway.post_reload()
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "object": "config.reload",
        "changed": True,
        "changes": [
            {"setting": "server.max_headers", "before": "200", "after": "55"},
            {"setting": "aliases.fast", "before": "sim/old", "after": "-"},
            {"setting": "aliases.quick", "before": "-", "after": "sim/new"},
        ],
        "notified": 0,
    }
    assert await gateway.ask("quick") == 200
    assert await gateway.ask("fast") == 400
    assert await running == 200
    assert gateway.server._limits.max_headers == 55
    await wait_until(lambda: not gateway.server._running)
    again = await gateway.post_reload()
    assert again.json()["changed"] is False
    entries = (await gateway.http.get("/api/audit", headers=ADMIN)).json()["data"]
    assert entries[-1]["detail"] == {
        "changes": ["server.max_headers: 200 -> 55", "aliases.fast: sim/old -> -", "aliases.quick: - -> sim/new"]
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[jobs]\nmax_atempts = 3\n", "jobs.max_atempts: unknown key; did you mean 'max_attempts'?"),
        ("[aliases]\nfast = 'nosuch/x'\n", "aliases.fast: 'nosuch/x' leads to no configured provider"),
        ("[server]\nhost = '0.0.0.0'\n", "server.host cannot be changed by a reload"),
        ("[jobs\n", "not valid TOML"),
    ],
)
async def test_an_invalid_configuration_is_refused_and_changes_nothing(
    start_reloadable: StartReloadable, text: str, reason: str
) -> None:
    gateway = await start_reloadable()
    await asyncio.to_thread(gateway.write, text)
    answer = await gateway.post_reload()
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_configuration"
    assert reason in answer.json()["error"]["message"]
    assert await gateway.ask("fast") == 200


async def test_secrets_are_masked_in_what_changes(start_reloadable: StartReloadable) -> None:
    gateway = await start_reloadable()
    await asyncio.to_thread(gateway.write, "[virtual_keys.a]\nvalue = 'sk-bf-secret-0123456789'\n")
    answer = await gateway.post_reload()
    assert "virtual_keys.a.value" in answer.text
    assert "secret" not in answer.text


async def test_an_application_that_does_not_start_leaves_the_old_one(start_reloadable: StartReloadable) -> None:
    gateway = await start_reloadable()
    await asyncio.to_thread(gateway.write, "[aliases]\nfast = 'slow'\nslow = 'fast'\n")
    answer = await gateway.post_reload()
    assert answer.status_code == 400, answer.text
    assert "aliases.fast: the alias refers to itself" in answer.json()["error"]["message"]
    assert await gateway.ask("fast") == 200


async def test_an_announcement_reloads_the_other_processes(start_reloadable: StartReloadable) -> None:
    first, second = await start_reloadable(), await start_reloadable()
    await asyncio.to_thread(second.write, "[aliases]\nfast = 'sim/new'\n")
    answer = await first.post_reload()
    assert answer.json()["changed"] is False
    assert answer.json()["notified"] == 1
    await wait_until(lambda: second.reload._configuration.settings.aliases == {"fast": "sim/new"}, 20)
    assert await second.ask("fast") == 200


async def test_a_hangup_reloads_and_a_stop_waits_for_what_it_began(start_reloadable: StartReloadable) -> None:
    gateway = await start_reloadable()
    await asyncio.to_thread(gateway.write, "[aliases]\nfast = 'sim/new'\n")
    os.kill(os.getpid(), signal.SIGHUP)
    await wait_until(lambda: gateway.reload._configuration.settings.aliases == {"fast": "sim/new"}, 20)


async def test_a_closed_terminal_stops_the_process(start_reloadable: StartReloadable) -> None:
    gateway = await start_reloadable()
    gateway.server._stop()
    assert gateway.server.should_exit


async def test_a_process_without_a_way_to_reload_says_so(gateway: Gateway) -> None:
    answer = await gateway.http.post("/api/config/reload", headers=ADMIN)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "reload_unavailable"
    assert (await gateway.http.post("/api/config/reload")).status_code == 401


class Supervisor:
    """The other end of the control socket: answers each request with the next of its answers, then ends."""

    def __init__(self, *answers: Any) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._answers = answers

    async def __aenter__(self) -> Reload:
        self._serving = asyncio.create_task(self._serve())
        return SupervisedReload(self._theirs)

    async def __aexit__(self, *_: object) -> None:
        await self._serving
        self._theirs.close()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        with self._ours:
            for answer in self._answers:
                assert await loop.sock_recv(self._ours, 100) == b"reload\n"
                text = json.dumps(answer).encode() + b"\n"
                await loop.sock_sendall(self._ours, text[:3])
                await asyncio.sleep(0)
                await loop.sock_sendall(self._ours, text[3:])


async def test_a_supervised_process_asks_its_supervisor() -> None:
    change = {"setting": "jobs.max_attempts", "before": "2", "after": "5"}
    async with Supervisor({"changes": [change]}, {"error": "jobs: unknown key"}) as reload:
        assert [each.to_dict() for each in await reload()] == [change]
        with pytest.raises(InvalidConfigurationFile, match="jobs: unknown key"):
            await reload()
        with pytest.raises(StoreUnavailable, match="supervisor"):
            await reload()


async def test_a_reload_that_nobody_waits_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with Supervisor({"error": "jobs: unknown key"}) as reload:
        await reload_and_log(reload)
    assert "configuration not reloaded, nothing has changed" in caplog.text


async def test_a_store_that_is_away_is_not_told(start: Start) -> None:
    gateway = await start(redis_url="redis://127.0.0.1:1/0")
    async with Supervisor({"changes": []}) as reload:
        gateway.app.state.reload = reload
        assert (await gateway.http.post("/api/config/reload", headers=ADMIN)).json()["notified"] == 0

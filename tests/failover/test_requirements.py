"""Servers on which jobs cannot be kept are refused at start."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from api.app import create_app
from bench.redis_servers import Server, server
from shared.settings.model import Settings
from shared.store.errors import StoreConnectionError, StoreRefused
from shared.store.multiplexed import MultiplexedClient
from shared.store.requirements import StoreUnsuitable, check_server
from tests.jobs.conftest import until
from worker.main import run_worker

PLAIN = ("--save", "", "--appendonly", "no")


async def started(settings: Settings) -> None:
    app = create_app(settings, environ={})
    async with app.router.lifespan_context(app):
        pass


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--cluster-enabled", "yes"), "write redis.cluster://host"),
        (("--maxmemory-policy", "allkeys-lru"), "allow_eviction"),
    ],
)
async def test_the_api_does_not_start_on_it(tmp_path: Path, options: tuple[str, ...], problem: str) -> None:
    with server(tmp_path / "server", *PLAIN, *options) as unsuitable, pytest.raises(StoreUnsuitable, match=problem):
        await started(Settings.model_validate({"redis": {"url": unsuitable.url}}))


async def test_eviction_can_be_allowed_by_name(tmp_path: Path) -> None:
    with server(tmp_path / "server", *PLAIN, "--maxmemory-policy", "allkeys-lru") as evicting:
        await started(Settings.model_validate({"redis": {"url": evicting.url, "allow_eviction": True}}))


def test_a_worker_does_not_start_on_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with server(tmp_path / "server", *PLAIN, "--cluster-enabled", "yes") as cluster:
        assert run_worker(Settings.model_validate({"redis": {"url": cluster.url}}), environ={}) == 1
    assert "cluster mode" in capsys.readouterr().err


async def test_what_a_server_does_not_tell_is_not_held_against_it(tmp_path: Path) -> None:
    with server(tmp_path / "server") as strict:
        strict.ask("ACL", "SETUSER", "app", "on", ">x", "~*", "&*", "+@all", "-info")
        commands = MultiplexedClient(strict.url.replace("://", "://app:x@"))
        await check_server(commands, allow_eviction=False)
        await commands.aclose()
    with server(tmp_path / "renamed", *PLAIN, "--rename-command", "INFO", "ABOUT") as renamed:
        commands = MultiplexedClient(renamed.url)
        await check_server(commands, allow_eviction=False)
        await commands.aclose()


async def test_a_server_that_is_away_is_no_verdict(tmp_path: Path) -> None:
    with server(tmp_path / "server", *PLAIN, "--replica-serve-stale-data", "no") as stale:
        stale.ask("REPLICAOF", "127.0.0.1", "1")
        commands = MultiplexedClient(stale.url)
        with pytest.raises((StoreConnectionError, StoreRefused)):
            await commands.execute("GET", "a")
        await commands.aclose()
    commands = MultiplexedClient("redis://127.0.0.1:1")
    with pytest.raises(StoreConnectionError):
        await check_server(commands, allow_eviction=False)
    await commands.aclose()


async def test_a_refusal_for_another_reason_is_no_verdict(tmp_path: Path) -> None:
    with server(tmp_path / "server", *PLAIN) as busy:
        commands = MultiplexedClient(busy.url)
        await commands.execute("CONFIG", "SET", "busy-reply-threshold", 1)
        spinning = asyncio.create_task(asyncio.to_thread(spin, busy))

        async def refused() -> bool:
            try:
                await check_server(commands, allow_eviction=False)
            except StoreRefused as error:
                return error.code == "BUSY"
            return False

        await until(refused)
        await asyncio.to_thread(busy.ask, "SCRIPT", "KILL")
        await spinning
        await commands.aclose()


def spin(busy: Server) -> None:
    with contextlib.suppress(ResponseError):
        busy.ask("EVAL", "while true do end", 0)

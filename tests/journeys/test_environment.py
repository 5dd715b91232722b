"""What the processes of `finops serve` inherit from its environment."""

import os
from pathlib import Path

import psutil
import pytest

from shared.environment import minimal_environment
from shared.store.server_process import Listening, ServerProcess
from tests.served import served
from tests.waiting import wait_until_sync

SECRETS = {"FINOPS_ADMIN_KEY": "an-admin-key-of-ones-own-and-long", "MISTRAL_API_KEY": "a-provider-key"}


def test_what_any_process_needs_is_kept_and_nothing_else() -> None:
    kept = {"PATH": "/bin", "LANG": "C", "LC_ALL": "C", "PYTHONPATH": "x", "SSL_CERT_FILE": "ca", "COV_CORE_SOURCE": ""}
    others = {"AWS_SECRET_ACCESS_KEY": "s", "FINOPS_REDIS_URL": "redis://:secret@host", "MYPYTHON": "x"}
    assert minimal_environment({**kept, **others, **SECRETS}) == kept


def test_the_store_inherits_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    binary = tmp_path / "server"
    binary.write_text("#!/bin/sh\nenv > seen\n")  # a real server overwrites its environment with its title
    binary.chmod(0o700)
    server = ServerProcess(binary, tmp_path, Listening(tmp_path / "socket", None))
    wait_until_sync(lambda: server.exit_code() is not None)
    server.clear_away()
    seen = (tmp_path / "seen").read_text()
    assert f"PATH={os.environ['PATH']}\n" in seen
    assert not any(word in seen for word in (*SECRETS, *SECRETS.values()))


@pytest.mark.slow
def test_guard_and_simulator_inherit_no_secret(tmp_path: Path) -> None:
    with served(tmp_path / "data", "--demo", **SECRETS) as gateway:
        configured = {*gateway.processes("cli api"), *gateway.processes("cli worker")}
        others = {*gateway.processes("cli simulate"), *gateway.processes("/bin/sh -c")}
        assert (len(configured), len(others)) == (2, 2)
        for pid in configured:
            assert SECRETS.items() <= psutil.Process(pid).environ().items()
        for pid in others:
            environ = psutil.Process(pid).environ()
            assert environ["PATH"]
            assert not SECRETS.keys() & environ.keys()
            assert not set(SECRETS.values()) & set(environ.values())

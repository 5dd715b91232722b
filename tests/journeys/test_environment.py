"""What the processes of `finops serve` inherit from its environment."""

import os
from pathlib import Path

import psutil
import pytest

from shared.environment import minimal_environment
from shared.store.server_process import Listening, ServerProcess
from tests.journeys.conftest import SECRETS
from tests.served import Served
from tests.waiting import wait_until_sync


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


@pytest.mark.process
def test_guard_and_simulator_inherit_no_secret(hurt_gateway: Served) -> None:
    def found() -> tuple[set[int], set[int]] | None:  # one that a test has killed is being replaced
        configured = {*hurt_gateway.processes("cli api"), *hurt_gateway.processes("cli worker")}
        others = {*hurt_gateway.processes("cli simulate"), *hurt_gateway.processes("/bin/sh -c")}
        return (configured, others) if (len(configured), len(others)) == (2, 2) else None

    configured, others = wait_until_sync(found, 60)
    for pid in configured:
        wait_until_sync(lambda pid=pid: SECRETS.items() <= psutil.Process(pid).environ().items())
    for pid in others:
        environ = psutil.Process(pid).environ()
        assert environ["PATH"]
        assert not SECRETS.keys() & environ.keys()
        assert not set(SECRETS.values()) & set(environ.values())

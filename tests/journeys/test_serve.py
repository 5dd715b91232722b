"""What happens to jobs and processes when a gateway is used, hurt, stopped and started again."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from cli.supervisor.listening import free_port
from tests.journeys.callers import (
    CHAT_JOBS,
    QUESTION,
    envelope,
    plain_http,
    run,
    submit,
    submit_hanging,
    wait_for_end,
)
from tests.served import MEASURED_FINOPS, Served, alive, served
from tests.waiting import wait_until_sync

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


HASTY = "[jobs]\nshutdown_grace_s = 0.5\n[server]\nshutdown_grace_s = 1\n"
PATIENT = "[jobs]\nshutdown_grace_s = 600\n"


@pytest.mark.timeout(400)  # four starts
def test_jobs_survive_every_way_to_end_a_gateway(tmp_path: Path) -> None:
    """Ctrl-C, a second Ctrl-C and a killed supervisor, one after the other, on one data directory."""
    with started_with(tmp_path, HASTY) as gateway, plain_http(gateway) as client:
        running, later = submit_hanging(gateway, client, "gpt-4o"), submit_later(client)
        ctrl_c_ends_everything_and_hands_back_what_runs(gateway)
    with started_with(tmp_path, PATIENT) as gateway, plain_http(gateway) as client:
        for job_id in (running, later):
            found = wait_for_end(client, job_id)
            assert found["status"] == "completed", found
        assert envelope(client, running)["attempts"] == 1
        hurried = submit_hanging(gateway, client, "gpt-4o")
        a_second_ctrl_c_does_not_wait_for_what_runs(gateway)
    with started_with(tmp_path, HASTY) as gateway, plain_http(gateway) as client:
        found = wait_for_end(client, hurried)
        assert found["status"] == "completed"
        assert found["attempts"] in {1, 2}, "1: its worker was still quick enough to hand it back"
        orphaned = submit_hanging(gateway, client, "gpt-4o")
        a_killed_supervisor_leaves_no_orphans(gateway)
    with started_with(tmp_path, HASTY) as gateway, plain_http(gateway) as client:
        assert wait_for_end(client, orphaned)["status"] == "completed"


@contextmanager
def started_with(folder: Path, text: str) -> Iterator[Served]:
    """A demo with a configuration, on the data of the one before."""
    config = folder / "finops.toml"
    config.write_text(text)
    with served(folder / "data", "--demo", "--config", str(config)) as gateway:
        yield gateway


def submit_later(client: httpx.Client) -> str:
    body = {"model": "sim/gpt-4o", "messages": QUESTION}
    reply = client.post(CHAT_JOBS, json=body, headers={"x-bf-async-delay": "4"})
    return str(reply.json()["id"])


def ctrl_c_ends_everything_and_hands_back_what_runs(gateway: Served) -> None:
    processes = gateway.processes()
    assert len(processes) >= 4
    assert gateway.stop(signal.SIGINT) == 0
    assert not alive(processes)
    assert "stopped; all accepted jobs are stored" in gateway.log


def a_second_ctrl_c_does_not_wait_for_what_runs(gateway: Served) -> None:
    processes = gateway.processes()
    gateway.process.send_signal(signal.SIGINT)
    wait_until_sync(lambda: "stopping" in gateway.log)
    assert gateway.stop(signal.SIGINT) == 0  # long before the grace is over
    assert not alive(processes)


def a_killed_supervisor_leaves_no_orphans(gateway: Served) -> None:
    processes = gateway.processes()
    assert gateway.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_until_sync(lambda: not alive(processes), timeout_s=40)


def test_several_api_processes_share_one_port(tmp_path: Path) -> None:
    arguments = ("--demo", "--api-processes", "2", "--workers", "2")
    with served(tmp_path / "data", *arguments, command=MEASURED_FINOPS) as gateway:
        assert len(gateway.processes("cli api")) == 2
        assert len(gateway.processes("cli worker")) == 2
        for _ in range(8):
            with plain_http(gateway) as client:
                found = wait_for_end(client, submit(client, "sim/gpt-4o"))
                assert found["status"] == "completed"


def test_what_cannot_start_ends_the_start(tmp_path: Path) -> None:
    config = tmp_path / "finops.toml"
    config.write_text('[providers.openai]\nbase_url = "ftp://nowhere"\n')
    refused = run("serve", "--config", str(config), "--data-dir", str(tmp_path / "data"))
    assert refused.returncode == 1
    assert "providers.openai.base_url" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_store_a_key_and_a_provider_sim_of_ones_own_are_used(tmp_path: Path, redis_url: str) -> None:
    config = tmp_path / "finops.toml"
    config.write_text('[providers.sim]\nwire = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n')
    data_dir = tmp_path / "data"
    ports = free_port()
    arguments = ("--demo", "--config", str(config), "--redis-url", redis_url, "--workers", "1")
    environ = {"FINOPS_ADMIN_KEY": "an-admin-key-of-ones-own", "FINOPS_WORKER_METRICS_PORT": str(ports)}
    with served(data_dir, *arguments, **environ) as gateway, plain_http(gateway) as client:
        assert not (data_dir / "admin.key").exists()
        assert "admin key" not in gateway.log
        assert "(jobs: in the configured store)" in gateway.log
        assert "the simulator is on port" in gateway.log
        assert client.get("/api/jobs", headers={"authorization": "Bearer an-admin-key-of-ones-own"}).status_code == 200
        figures = once_served(f"http://127.0.0.1:{ports}/metrics")
        assert 'finops_up{tier="worker"} 1.0' in figures
        assert not gateway.processes("valkey")
        second = run("serve", "--port", "0", "--data-dir", str(data_dir), "--redis-url", redis_url)
        assert f"is in use by process {gateway.process.pid}" in second.stderr
        port = re.search(r"the simulator is on port (\d+)", gateway.log)
        assert port
        assert "gpt-4o" in once_served(f"http://127.0.0.1:{port[1]}/v1/models")
    assert gateway.process.returncode == 0


def once_served(url: str) -> str:
    """Read a page of a process that may begin to serve after the gateway."""

    def answered() -> httpx.Response | None:
        try:
            return httpx.get(url, trust_env=False)
        except httpx.ConnectError:
            return None

    return str(wait_until_sync(answered, 60).raise_for_status().text)


def test_ctrl_c_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    gateway = Served(tmp_path / "data", "--demo")
    try:
        wait_until_sync(lambda: gateway.processes("cli worker"), 30)
        processes = gateway.processes()
    finally:
        code = gateway.stop()
    assert code == 0, gateway.log
    wait_until_sync(lambda: not alive(processes))
    assert "serving on" not in gateway.log or "stopped" in gateway.log


def test_a_configured_key_without_a_value_is_given_one_that_is_said_once(tmp_path: Path) -> None:
    config = tmp_path / "finops.toml"
    config.write_text("[auth]\nrequire_virtual_key = true\n[virtual_keys.shop]\nteam = 'web'\n")
    data_dir = tmp_path / "data"
    with served(data_dir, "--demo", "--config", str(config)) as gateway, plain_http(gateway) as client:
        created = wait_until_sync(lambda: re.search(r"virtual key shop; .* once: (sk-bf-\S+)", gateway.log), 10)
        assert created
        reply = client.get("/v1/async/jobs", headers={"x-bf-vk": created[1]})
        assert reply.status_code == 200
    with served(data_dir, "--demo", "--config", str(config)) as gateway:
        assert gateway.stop() == 0
        assert "virtual key shop" not in gateway.log

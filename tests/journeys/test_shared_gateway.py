"""A running gateway and those who come to it; all of them leave it as it is."""

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.journeys.callers import QUESTION, run, sdk
from tests.served import FINOPS, Served, clean_environ
from tests.waiting import wait_until_sync

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


def test_an_sdk_user_submits_polls_and_reads(served_gateway: Served) -> None:
    with sdk(served_gateway) as client:
        ask = client.chat.completions.create
        initial = ask(model="sim/gpt-4o@latency=1", messages=QUESTION, extra_headers={"x-bf-async": "true"})
        assert not initial.choices
        poll = initial
        while not poll.choices:
            headers = {"x-bf-async-id": initial.id, "x-bf-async-wait": "5"}
            poll = ask(model="sim/gpt-4o@latency=1", messages=QUESTION, extra_headers=headers)
        assert poll.choices[0].message.content
        direct = ask(model="sim/gpt-4o", messages=QUESTION)
        assert direct.choices[0].message.content == poll.choices[0].message.content


def test_a_second_one_on_the_same_data_directory_or_port_says_what_is_wrong(
    served_gateway: Served, tmp_path: Path
) -> None:
    second = run("serve", "--port", "0", "--data-dir", str(served_gateway.data_dir))
    assert second.returncode == 1
    assert f"{served_gateway.data_dir} is in use by process {served_gateway.process.pid}" in second.stderr
    port = served_gateway.url.rpartition(":")[2]
    elsewhere = str(tmp_path / "elsewhere")
    third = run("serve", "--port", port, "--data-dir", elsewhere)
    assert third.returncode == 1
    assert f"port {port} of 127.0.0.1 is in use" in third.stderr
    assert "Traceback" not in second.stderr + third.stderr


def test_workers_and_doctors_on_this_machine_find_the_store_that_runs(served_gateway: Served) -> None:
    data_dir = served_gateway.data_dir
    worker = subprocess.Popen(
        [*FINOPS, "worker", "--data-dir", str(data_dir), "--config", str(data_dir / "serve.toml")],
        stderr=subprocess.DEVNULL,
        env=clean_environ(),
    )
    try:
        wait_until_sync(lambda: workers_found(served_gateway) == "2 alive", timeout_s=60)
    finally:
        worker.terminate()
        assert worker.wait(20) == 0
    wait_until_sync(lambda: workers_found(served_gateway) == "1 alive", timeout_s=60)


def test_one_scrape_has_what_the_api_and_the_workers_counted(served_gateway: Served) -> None:
    with sdk(served_gateway) as client:
        headers = {"x-bf-async": "true", "x-bf-async-wait": "20"}
        assert client.chat.completions.create(model="sim/gpt-4o", messages=QUESTION, extra_headers=headers).choices

    def scraped() -> str:
        return httpx.get(f"{served_gateway.url}/metrics", trust_env=False).text

    wait_until_sync(lambda: "finops_jobs_finished_total{" in scraped(), timeout_s=20)
    assert re.search(r'^finops_up{tier="api"} 1.0$', scraped(), re.MULTILINE)
    assert re.search(r'^finops_up{tier="worker"} [1-9]', scraped(), re.MULTILINE)


def workers_found(gateway: Served) -> str:
    """What `finops doctor` says of the workers, while nothing is wrong but a machine's speed."""
    arguments = ("--data-dir", str(gateway.data_dir), "--config", str(gateway.data_dir / "serve.toml"))
    findings = {finding["check"]: finding for finding in json.loads(run("doctor", "--json", *arguments).stdout)}
    assert {check for check, finding in findings.items() if finding["level"] == "FAIL"} <= {"store latency"}
    return str(findings["workers"]["said"])

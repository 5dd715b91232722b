"""A process that is killed is replaced, and the jobs go on."""

import os
import signal

import pytest

from tests.journeys.callers import plain_http, submit, submit_hanging, upstream_calls, wait_for_end
from tests.served import Served

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


def test_a_killed_worker_is_replaced_and_its_job_runs_again(hurt_gateway: Served) -> None:
    before = upstream_calls(hurt_gateway)
    with plain_http(hurt_gateway) as client:
        job_id = submit_hanging(hurt_gateway, client, "survivor")
        [worker] = hurt_gateway.processes("cli worker")
        os.kill(worker, signal.SIGKILL)
        found = wait_for_end(client, job_id)
        assert found["status"] == "completed"
        assert found["attempts"] == 2
    assert upstream_calls(hurt_gateway) == before + 2
    assert "worker 1 ended unexpectedly (killed by SIGKILL)" in hurt_gateway.log


def test_a_killed_api_is_replaced_behind_the_same_address(hurt_gateway: Served) -> None:
    with plain_http(hurt_gateway) as client:
        job_id = submit(client, "sim/gpt-4o@latency=2")
        [api] = hurt_gateway.processes("cli api")
        os.kill(api, signal.SIGKILL)
    with plain_http(hurt_gateway) as client:  # connections made meanwhile wait for the new process
        assert wait_for_end(client, job_id)["status"] == "completed"

"""``finops queue`` and the filters and changes of ``finops jobs``, against a running gateway."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import Result

from tests.cli.conftest import Finops
from tests.served import Served

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def queue(finops: Finops, gateway: Served) -> Iterator[Finops]:
    def run(*arguments: str, **more: Any) -> Result:
        return finops("queue", *arguments, "--url", gateway.url, "--key", gateway.admin_key, **more)

    yield run
    for pause in document(run("status", "--json"))["pauses"]:
        run("resume", pause["scope"])


def test_a_paused_model_waits_until_it_is_resumed(queue: Finops, jobs: Finops) -> None:
    done = queue("pause", "model:sim/paused*", "--reason", "maintenance", "--until", "2999-01-01T00:00:00Z")
    assert done.stdout == "model:sim/paused* is paused\n"
    job_id = jobs("submit", "--model", "sim/paused-1", "--message", "Hello").stdout.strip()
    waiting = document(jobs("get", job_id, "--json"))
    assert waiting["paused_by"][0]["scope"] == "model:sim/paused*"
    status = queue("status").stdout
    assert "maintenance" in status
    assert "normal" in status
    assert document(queue("resume", "model:sim/paused*", "--json"))["deleted"] is True
    assert jobs("wait", job_id).exit_code == 0
    assert "maintenance" not in queue("status").stdout
    assert document(queue("pause", "team:nobody", "--reason", "r", "--json"))["scope"] == "team:nobody"
    assert queue("resume", "everything").exit_code == 1


def test_jobs_are_found_by_label_and_retried_with_another_model(jobs: Finops) -> None:
    messages = [{"role": "user", "content": "x"}]
    body = {"model": "sim/gpt-4o@status=418", "messages": messages, "metadata": {"app": "cli"}}
    result = jobs("submit", "--body", "-", "--wait", "--json", stdin=json.dumps(body))
    failed = json.loads(result.stdout)
    assert (result.exit_code, failed["status"]) == (1, "failed")
    for label in ("app=cli", "app:cli"):
        listed = document(jobs("list", "--label", label, "--status", "failed", "--order", "asc", "--json"))
        assert [job["id"] for job in listed["data"]] == [failed["id"]]
    assert not document(jobs("list", "--label", "app=other", "--json"))["data"]
    assert not document(jobs("list", "--team", "nobody", "--json"))["data"]
    changes = ("--model", "sim/gpt-4o", "--priority", "high", "--deadline", "60", "--fallback", "sim/gpt-4o-mini")
    assert jobs("retry", failed["id"], *changes).exit_code == 0
    assert jobs("wait", failed["id"]).exit_code == 0
    assert [entry["status"] for entry in document(jobs("get", failed["id"], "--json"))["history"]] == [418, 200]


def test_wrong_filters_are_usage_errors(jobs: Finops) -> None:
    assert jobs("list", "--label", "app").exit_code == 2
    assert jobs("list", "--dead", "--status", "failed").exit_code == 2

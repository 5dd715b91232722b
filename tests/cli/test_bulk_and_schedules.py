"""``finops jobs`` on many jobs at once, and ``finops schedules``, against a running gateway."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result

from cli.client.bulk_filters import read_filters
from tests.cli.conftest import Finops
from tests.served import Served

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def labelled(jobs: Finops, label: str, *more: str) -> str:
    body = {"model": "sim/gpt-4o", "messages": [{"role": "user", "content": "x"}], "metadata": {"app": label}}
    result = jobs("submit", "--body", "-", *more, stdin=json.dumps(body))
    assert result.exit_code == 0, result.output
    return str(result.stdout).strip()


def test_jobs_that_match_are_counted_moved_cancelled_and_deleted(jobs: Finops) -> None:
    for _ in range(3):
        labelled(jobs, "bulk", "--delay", "600")
    which = ("--filter", "label=app=bulk", "--filter", "status=pending")
    counted = jobs("cancel", *which, "--dry-run")
    assert counted.stdout.startswith("3 jobs match")
    assert "sim/gpt-4o" in counted.stdout
    assert document(jobs("cancel", *which, "--dry-run", "--json"))["matched"] == 3
    moved = jobs("reprioritize", "--to", "low", *which)
    assert "3 matched, 3 done, 0 skipped, 0 failed" in moved.stdout
    assert document(jobs("list", "--label", "app=bulk", "--priority", "low", "--json"))["data"]
    operation_id = jobs("cancel", *which, "--detach").stdout.strip()
    ended = document(jobs("operation", operation_id, "--wait", "--json"))
    assert (ended["status"], ended["matched"], ended["done"]) == ("completed", 3, 3)
    deleted = jobs("delete", "--filter", "label=app:bulk")
    assert "completed" in deleted.stdout
    assert f"{3} done" in deleted.stderr
    assert not document(jobs("list", "--label", "app=bulk", "--json"))["data"]


def test_failed_jobs_that_match_run_again(jobs: Finops) -> None:
    failing = ("--model", "sim/gpt-4o@status=418", "--wait")
    labelled_body = {"messages": [{"role": "user", "content": "x"}], "metadata": {"app": "redrive"}}
    assert jobs("submit", "--body", "-", *failing, stdin=json.dumps({"model": "x", **labelled_body})).exit_code == 1
    ended = document(jobs("retry", "--filter", "label=app:redrive", "--rate", "100", "--json"))
    assert (ended["action"], ended["done"], ended["rate_per_s"]) == ("retry", 1, 100)
    assert "0 jobs match" in jobs("retry", "--dead", "--filter", "label=app:redrive", "--dry-run").stdout
    stopped = jobs("operation", ended["id"], "--cancel")
    assert stopped.stdout.startswith("retry completed")  # one that has ended stays as it is


@pytest.mark.parametrize(
    "words",
    [
        ("cancel",),
        ("delete",),
        ("cancel", "5f0c1d2e", "--filter", "status=pending"),
        ("cancel", "5f0c1d2e", "--dry-run"),
        ("cancel", "--filter", "pending"),
        ("cancel", "--filter", "colour=red"),
        ("retry", "--filter", "status=failed", "--model", "sim/other"),
        ("retry", "--dead", "5f0c1d2e"),
        ("reprioritize", "--filter", "status=pending"),
    ],
)
def test_unclear_selections_are_usage_errors(jobs: Finops, words: tuple[str, ...]) -> None:
    assert jobs(*words).exit_code == 2


def test_filters_are_read_as_lists_take_them() -> None:
    texts = ("label=app=search=1", "label=app:x=y", "status=failed", "status=cancelled", "created-after=2026-01-01")
    assert read_filters(texts) == {
        "label": ["app:search=1", "app:x=y"],
        "status": ["failed", "cancelled"],
        "created_after": ["2026-01-01"],
    }


def test_a_schedule_is_created_paused_resumed_and_deleted(
    finops: Finops, gateway: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINOPS_URL", gateway.url)
    monkeypatch.setenv("FINOPS_DATA_DIR", str(gateway.data_dir))
    assert finops("schedules", "list").stdout.strip() == "no schedules"
    when = ("--cron", "30 6 * * MON-FRI", "--timezone", "Europe/Berlin")
    more = ("--name", "report", "--header", "x-bf-async-priority=low", "--catch-up", "last", "--max-active", "1")
    what = ("--model", "sim/gpt-4o", "--message", "Hello")
    created = document(finops("schedules", "create", *when, *what, *more, "--json"))
    assert created["request"]["headers"] == {"x-bf-async-priority": "low"}
    second = finops("schedules", "create", "--every", "3600", *what).stdout.strip()
    listed = finops("schedules", "list", "--limit", "1")
    assert "every 3600" in listed.stdout
    assert f"more with --after {second}" in listed.stdout
    assert "30 6 * * MON-FRI Europe/Berlin" in finops("schedules", "list", "--after", second).stdout
    assert len(document(finops("schedules", "list", "--json"))["data"]) == 2
    assert finops("schedules", "pause", created["id"]).stdout == f"{created['id']} is paused\n"
    assert document(finops("schedules", "show", created["id"], "--json"))["status"] == "paused"
    assert "paused" in finops("schedules", "show", created["id"]).stdout
    assert "runs next at" in finops("schedules", "resume", created["id"]).stdout
    for schedule_id in (created["id"], second):
        assert finops("schedules", "delete", schedule_id).stdout == f"{schedule_id} is deleted\n"
    assert finops("schedules", "show", second).exit_code == 1


@pytest.mark.parametrize(
    "words",
    [
        ("--message", "x", "--model", "sim/m"),
        ("--message", "x", "--model", "sim/m", "--cron", "* * * * *", "--every", "60"),
        ("--message", "x", "--model", "sim/m", "--every", "60", "--header", "priority"),
        ("--body", "-", "--every", "60"),
    ],
)
def test_incomplete_schedules_are_usage_errors(finops: Finops, words: tuple[str, ...]) -> None:
    assert finops("schedules", "create", *words, stdin="{nonsense").exit_code == 2


_PAGE = Path(__file__).parents[2] / "docs" / "13-operate.md"


def commands_of_the_page() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    lines = re.findall(r"^(?:finops .*|curl (?:[^'\n]*'[^']*')+)$", joined, re.MULTILINE)
    assert len(lines) == len(re.findall(r"^(?:finops|curl) ", joined, re.MULTILINE))
    return lines


def test_every_command_of_the_page_about_the_queue_runs(
    finops: Finops, gateway: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINOPS_URL", gateway.url)
    monkeypatch.setenv("FINOPS_DATA_DIR", str(gateway.data_dir))
    failed = {line: error for line in commands_of_the_page() if (error := failure(finops, gateway, line))}
    assert failed == {}
    for schedule in document(finops("schedules", "list", "--json"))["data"]:
        finops("schedules", "delete", schedule["id"])
    for pause in document(finops("queue", "status", "--json"))["pauses"]:
        finops("queue", "resume", pause["scope"])


def failure(finops: Finops, gateway: Served, line: str) -> str:
    """Run a command; its error, unless it is about one of the ids that stand for the reader's own."""
    words = shlex.split(line)
    if words[0] == "finops":
        result = finops(*words[1:])
        stands_for_another = "5f0c1d2e" in line or "_7c1d3f5a" in line
        unknown = result.exit_code == 1 and "_not_found" in result.stderr
        return "" if result.exit_code == 0 or (stands_for_another and unknown) else result.output
    url, body = (words[words.index("-s") + 1], words[words.index("-d") + 1])
    reply = httpx.post(url.replace("http://127.0.0.1:8080", gateway.url), content=body, trust_env=False)
    return "" if reply.is_success else reply.text

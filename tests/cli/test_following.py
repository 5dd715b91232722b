"""`finops jobs tail`, `finops audit` and `finops models` on a gateway that runs."""

import json

import pytest

from tests.cli.conftest import Finops

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


def submitted(jobs: Finops, model: str) -> str:
    """Submit a job; its id."""
    result = jobs("submit", "--model", model, "--message", "Hello")
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_the_text_of_a_job_is_printed_as_it_is_written(jobs: Finops) -> None:
    job = submitted(jobs, "sim/gpt-4o@tokens=12")
    result = jobs("tail", job[:13])
    assert (result.exit_code, result.stderr) == (0, f"{job}: completed\n")
    answer = json.loads(jobs("get", job, "--json").stdout)["result"]
    assert result.stdout == answer["choices"][0]["message"]["content"] + "\n"
    events = [json.loads(line) for line in jobs("tail", job, "--json").stdout.splitlines()]
    assert "".join(event.get("delta", "") for event in events) + "\n" == result.stdout
    assert events[-1]["status"] == "completed"


def test_a_failed_job_ends_the_command_with_1(jobs: Finops) -> None:
    job = submitted(jobs, "sim/gpt-4o@status=400")
    result = jobs("tail", job)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"{job}: failed\n")
    unknown = jobs("tail", "00000000-0000-4000-8000-000000000000")
    assert (unknown.exit_code, "not found" in unknown.stderr or "404" in unknown.stderr) == (1, True)


def test_a_list_goes_back_a_span(jobs: Finops) -> None:
    job = submitted(jobs, "sim/gpt-4o@tokens=3")
    for words, expected in (
        (("--since", "1h"), True),
        (("--created-after", "7d"), True),
        (("--created-before", "1h"), False),
    ):
        listed = json.loads(jobs("list", *words, "--json").stdout)["data"]
        assert (job in {entry["id"] for entry in listed}) is expected


def test_changes_of_administrators_are_listed(keys: Finops, finops: Finops) -> None:
    made = keys("create", "audited", "--json")
    key = json.loads(made.stdout)["id"]
    (entry,) = json.loads(finops("audit", "--target", key, "--json").stdout)["data"]
    assert (entry["action"], entry["target"]) == ("POST /api/keys", key)
    listed = finops("audit", "--target", key).stdout
    assert key in "".join(listed.split())
    assert finops("audit", "--target", "no-such-target").stdout == "nothing was changed\n"
    keys("revoke", key)
    page = finops("audit", "--target", key, "--limit", "1").stdout
    assert "more with --after " in page
    after = page.rpartition("--after ")[2].strip()
    assert json.loads(finops("audit", "--target", key, "--after", after, "--json").stdout)["data"] == [entry]


def test_models_are_listed_as_requests_name_them(jobs: Finops, finops: Finops) -> None:
    names = finops("models").stdout.split()
    assert "sim/sim-echo" in names
    of_one = finops("models", "--provider", "sim").stdout.split()
    assert of_one == [name for name in names if name.startswith("sim/")]
    document = json.loads(finops("models", "--provider", "sim", "--json").stdout)
    assert [model["id"] for model in document["data"]] == of_one

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.cli.conftest import Finops
from tests.served import Served
from tests.waiting import wait_until_sync

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

CHAT = ("submit", "--model", "sim/gpt-4o", "--message", "Hello")


def document(result: Result) -> Any:
    """The one JSON document on standard output."""
    return json.loads(result.stdout)


def settled(jobs: Finops, job_id: str, status: str) -> dict[str, Any]:
    def reached() -> dict[str, Any] | None:
        found: dict[str, Any] = document(jobs("get", job_id, "--json"))
        return found if found["status"] == status else None

    found: dict[str, Any] = wait_until_sync(reached, 20)
    return found


def test_submit_prints_the_id_and_get_shows_job_and_answer(jobs: Finops) -> None:
    submitted = jobs(*CHAT)
    assert submitted.exit_code == 0
    job_id = submitted.stdout.strip()
    settled(jobs, job_id, "completed")
    text = jobs("get", job_id).stdout
    assert "completed" in text
    answer = document(jobs("get", job_id, "--json"))["result"]["choices"][0]["message"]["content"]
    assert answer in text


def test_submit_and_wait_prints_the_answer_and_tells_the_way_on_standard_error(jobs: Finops) -> None:
    # The command looks once a second; at its first look the job may still be pending.
    done = jobs("submit", "--model", "sim/gpt-4o@latency=3", "--message", "Hello", "--wait")
    assert done.exit_code == 0
    assert done.stdout.strip()
    assert "processing" in done.stderr
    assert "completed" in done.stderr
    assert "completed" not in done.stdout


def test_for_scripts_every_answer_is_one_json_document(jobs: Finops) -> None:
    made = document(jobs(*CHAT, "--json"))
    assert made["status"] == "pending"
    waited = document(jobs("wait", made["id"], "--json"))
    assert waited["status"] == "completed"
    other = document(jobs(*CHAT, "--wait", "--json"))
    assert [job["id"] for job in document(jobs("wait", made["id"], other["id"], made["id"], "--json"))] == [
        made["id"],
        other["id"],
    ]
    listed = document(jobs("list", "--limit", "2", "--json"))
    assert [job["id"] for job in listed["data"]] == [other["id"], made["id"]]


def test_waiting_for_several_ends_in_a_table(jobs: Finops) -> None:
    ids = [jobs(*CHAT).stdout.strip() for _ in range(3)]
    done = jobs("wait", *ids)
    assert done.exit_code == 0
    assert all(job_id in done.stdout for job_id in ids)


@pytest.mark.parametrize(
    ("type_name", "more"),
    [
        ("responses", ("--message", "Hello")),
        ("completions", ("--message", "Hello")),
        ("embeddings", ("--message", "Hello")),
        ("moderations", ("--message", "Hello")),
        ("images.generations", ("--message", "A ledger")),
        ("audio.speech", ("--message", "Hello")),
    ],
)
def test_every_type_takes_a_message(jobs: Finops, type_name: str, more: tuple[str, ...]) -> None:
    done = jobs("submit", "--type", type_name, "--model", "sim/some-model", *more, "--wait")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip()


def test_a_file_goes_along_where_a_type_takes_one(jobs: Finops, tmp_path: Path) -> None:
    sound = tmp_path / "talk.wav"
    sound.write_bytes(b"RIFF not really a sound")
    done = jobs("submit", "--type", "audio.transcriptions", "--model", "sim/whisper-1", "--file", str(sound), "--wait")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip()


def test_a_binary_result_is_written_to_a_file(jobs: Finops, tmp_path: Path) -> None:
    body = json.dumps({"model": "sim/tts-1", "input": "Hello", "voice": "alloy", "response_format": "wav"})
    done = jobs("submit", "--type", "audio.speech", "--body", "-", "--wait", "--json", stdin=body)
    job_id = document(done)["id"]
    assert f"finops jobs get {job_id} --output FILE" in jobs("wait", job_id).stdout
    target = tmp_path / "speech.wav"
    assert jobs("get", job_id, "--output", str(target)).exit_code == 0
    assert target.read_bytes().startswith(b"RIFF")
    refused = jobs("get", job_id, "--output", str(tmp_path / "nowhere" / "speech.wav"))
    assert refused.exit_code == 1
    assert "cannot write" in refused.stderr


def test_there_is_nothing_to_write_before_the_end(jobs: Finops, tmp_path: Path) -> None:
    job_id = jobs(*CHAT, "--delay", "60").stdout.strip()
    refused = jobs("get", job_id, "--output", str(tmp_path / "answer"))
    assert refused.exit_code == 1
    assert "the job is pending" in refused.stderr
    assert jobs("cancel", job_id).stdout.split() == [job_id, "cancelled"]


def test_a_body_is_sent_as_it_is_and_a_model_given_beside_it_replaces_its_own(
    jobs: Finops, gateway: Served, tmp_path: Path
) -> None:
    body = tmp_path / "request.json"
    body.write_text('{"model": "nobody/x", "messages": [{"role": "user", "content": "hi"}], "seed": 77}')
    refused = jobs("submit", "--body", str(body))
    assert refused.exit_code == 1
    assert "unknown_provider" in refused.stderr
    done = jobs("submit", "--body", str(body), "--model", "sim/gpt-4o-seeded", "--wait")
    assert done.exit_code == 0
    log = gateway.ask_simulator("/sim/log")["entries"]
    assert [entry["body"]["seed"] for entry in log if (entry["body"] or {}).get("model") == "gpt-4o-seeded"] == [77]


def test_options_of_a_job_reach_the_gateway(jobs: Finops) -> None:
    options = ("--priority", "low", "--delay", "30", "--deadline", "90.5", "--ttl", "60", "--idempotency-key", "once")
    first = jobs(*CHAT, *options).stdout.strip()
    assert jobs(*CHAT, *options).stdout.strip() == first
    conflict = jobs("submit", "--model", "sim/gpt-4o", "--message", "Other", "--idempotency-key", "once")
    assert conflict.exit_code == 1
    assert "idempotency_conflict" in conflict.stderr
    assert document(jobs("get", first, "--json"))["status"] == "pending"
    assert jobs("cancel", first).exit_code == 0


def test_a_failed_job_is_exit_code_1_with_the_jobs_own_error(jobs: Finops) -> None:
    done = jobs("submit", "--model", "sim/gpt-4o@status=400", "--message", "Hello", "--wait")
    assert done.exit_code == 1
    assert done.stdout.startswith("failed 400")
    job_id = document(jobs("list", "--status", "failed", "--limit", "1", "--json"))["data"][0]["id"]
    assert "400" in jobs("get", job_id).stdout
    again = jobs("retry", job_id, "--json")
    assert document(again)["status"] == "pending"
    assert jobs("wait", job_id).exit_code == 1


def test_cancel_is_for_several_and_for_what_has_not_ended(jobs: Finops) -> None:
    ids = [jobs(*CHAT, "--delay", "60").stdout.strip() for _ in range(2)]
    assert [job["status"] for job in document(jobs("cancel", *ids, "--json"))] == ["cancelled", "cancelled"]
    assert jobs("wait", ids[0]).exit_code == 1
    ended = document(jobs(*CHAT, "--wait", "--json"))["id"]
    refused = jobs("cancel", ended)
    assert refused.exit_code == 1
    assert "job_already_finished" in refused.stderr


def test_wait_times_out_and_the_job_keeps_running(jobs: Finops) -> None:
    job_id = jobs(*CHAT, "--delay", "60").stdout.strip()
    late = jobs("wait", job_id, "--timeout", "0.3")
    assert late.exit_code == 1
    assert "they keep running" in late.stderr
    jobs("cancel", job_id)


def test_the_list_is_a_table_with_filters_and_pages(jobs: Finops) -> None:
    ids = [document(jobs(*CHAT, "--wait", "--json"))["id"] for _ in range(2)]
    text = jobs("list", "--limit", "1").stdout
    assert ids[1] in text
    assert ids[0] not in text
    assert f"more with --after {ids[1]}" in text
    assert ids[0] in jobs("list", "--limit", "1", "--after", ids[1]).stdout
    assert jobs("list", "--model", "sim/never-asked").stdout.strip() == "no jobs"
    assert jobs("list", "--dead").stdout.strip() == "no jobs"
    assert jobs("list", "--dead", "--status", "failed").exit_code == 2


def test_the_dead_letter_list_is_for_administrators(jobs: Finops) -> None:
    refused = jobs("list", "--dead", "--key", "some-key")
    assert refused.exit_code == 1
    assert "401" in refused.stderr


def test_an_unknown_job_is_said_to_be_unknown(jobs: Finops) -> None:
    for words in (("get", "../../metrics"), ("wait", "nobody"), ("cancel", "nobody"), ("retry", "nobody")):
        refused = jobs(*words)
        assert refused.exit_code == 1
        assert "job_not_found" in refused.stderr or "404" in refused.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("submit",), "--message"),
        (("submit", "--message", "x"), "--model"),
        (("submit", "--body", "x.json", "--message", "x"), "--body is the complete request"),
        (("submit", "--body", "missing.json"), "cannot read"),
        (("submit", "--message", "x", "--model", "sim/x", "--file", "x"), "takes no --file"),
        (("submit", "--type", "audio.transcriptions", "--model", "sim/x"), "needs --file"),
        (("submit", "--type", "audio.transcriptions", "--file", "x", "--message", "x"), "takes no --message"),
        (("get", "x", "--url", "ftp://host"), "not an http or https URL"),
        (("get", "x", "--key", "clé"), "cannot be sent"),
    ],
)
def test_incomplete_options_are_usage_errors(finops: Finops, words: tuple[str, ...], message: str) -> None:
    refused = finops("jobs", *words)
    assert refused.exit_code == 2
    assert message in refused.output


@pytest.mark.parametrize("body", ["[1]", "{nonsense", ""])
def test_model_needs_a_body_that_is_a_json_object(finops: Finops, body: str) -> None:
    refused = finops("jobs", "submit", "--body", "-", "--model", "sim/x", stdin=body)
    assert refused.exit_code == 2
    assert "--model cannot be set in it" in refused.output


def test_an_image_is_edited_as_the_message_says(jobs: Finops, tmp_path: Path) -> None:
    picture = tmp_path / "ledger.png"
    picture.write_bytes(b"\x89PNG not really")
    words = (
        "submit",
        "--type",
        "images.edits",
        "--file",
        str(picture),
        "--message",
        "greener",
        "--model",
        "sim/gpt-image-1",
    )
    assert jobs(*words, "--wait").exit_code == 0


def test_a_gateway_that_is_not_there_is_said_with_the_way_to_start_one(finops: Finops) -> None:
    refused = finops("jobs", "list", "--url", "http://127.0.0.1:1")
    assert refused.exit_code == 1
    assert "finops serve" in refused.stderr

"""The job model without a store; records of older versions stay readable."""

import base64
import json
from pathlib import Path

import pytest

from shared.jobs.endings import ATTEMPTS_ERROR, DEADLINE_ERROR, cancelled_error
from shared.jobs.job_fields import job_from_fields
from shared.jobs.model import (
    TERMINAL,
    Change,
    Deferral,
    InvalidTransition,
    Outcome,
    Priority,
    State,
    transition,
)
from tests.jobs.conftest import new_job


def test_nothing_but_a_retry_of_a_failure_leaves_a_terminal_state() -> None:
    for state in TERMINAL:
        for change in Change:
            if (state, change) == (State.FAILED, Change.RETRY):
                assert transition(state, change) is State.QUEUED
            else:
                with pytest.raises(InvalidTransition, match=f"{change} does not apply"):
                    transition(state, change)


def test_every_live_state_can_reach_its_terminal_states() -> None:
    for state in set(State) - TERMINAL:
        assert transition(state, Change.CANCEL) is State.CANCELLED
        assert transition(state, Change.FAIL) is State.FAILED
    assert transition(State.RUNNING, Change.COMPLETE) is State.COMPLETED


def test_stored_records_of_version_1_are_readable() -> None:
    stored = json.loads((Path(__file__).parent / "record_v1.json").read_text())
    job = job_from_fields(stored["id"], {k.encode(): base64.b64decode(v) for k, v in stored["fields"].items()})
    assert (job.version, job.state, job.owner, job.priority) == (1, State.COMPLETED, "team-a", Priority.HIGH)
    assert (job.request_type, job.model, job.request_id) == ("chat.completions", "sim/fast", "req-1")
    assert (job.result, job.status_code, job.result_type) == (b'{"ok":true}', 200, "application/json")
    assert job.context == {"surface": "openai"}
    assert job.meta == {"provider": "sim"}
    assert job.created_ms <= job.started_ms <= job.completed_ms < job.expires_ms
    assert (job.live, job.attempts, job.webhook) == (False, 1, "orders")


def test_the_errors_that_scripts_store_keep_their_bytes() -> None:
    assert DEADLINE_ERROR == (
        b'{"message":"The job\'s deadline passed before it was done.",'
        b'"type":"deadline_exceeded","param":null,"code":"deadline_exceeded"}'
    )
    assert ATTEMPTS_ERROR.replace(b"%s", b"3") == (
        b'{"message":"The job lost its worker 3 times and was given up.",'
        b'"type":"api_error","param":null,"code":"attempts_exhausted"}'
    )
    assert b"%" not in ATTEMPTS_ERROR.replace(b"%s", b""), "Lua formats it"
    assert cancelled_error("a-1") == (
        b'{"message":"Job a-1 was cancelled.","type":"job_cancelled","param":null,"code":"job_cancelled"}'
    )


def test_absent_fields_have_defaults_and_unknown_ones_are_ignored() -> None:
    job = job_from_fields("j", {b"state": b"queued", b"from_the_future": b"x"})
    assert (job.priority, job.ttl_s, job.content_type, job.attempts) == (Priority.NORMAL, 3600, "application/json", 0)
    assert job.live


@pytest.mark.parametrize(
    "fields",
    [
        {"weight": 0}, {"weight": float("nan")}, {"weight": float("inf")}, {"delay_s": -1}, {"delay_s": 1e9},
        {"deadline_s": 0}, {"deadline_s": 1e12}, {"ttl_s": 0}, {"max_concurrent": -1}, {"max_queued": -1},
    ],
)  # fmt: skip
def test_invalid_job_options_are_rejected(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        new_job(**fields)


def test_outcomes_end_jobs_and_deferrals_have_bounds() -> None:
    with pytest.raises(ValueError, match="running is not a terminal"):
        Outcome(state=State.RUNNING, status_code=200)
    with pytest.raises(ValueError, match="delay_s"):
        Deferral(delay_s=-1)
    with pytest.raises(ValueError, match="reason"):
        Deferral(delay_s=1, reason='","x":"')

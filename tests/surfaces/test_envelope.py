import pytest

from shared.jobs.model import Job, State
from shared.surfaces.envelope import envelope, envelope_status, rfc3339, states_of


@pytest.mark.parametrize(
    ("unix_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_379_010_125, "2026-11-22T20:23:30.125Z"),
        (999, "1970-01-01T00:00:00.999Z"),
    ],
)
def test_times_are_rfc_3339_utc_with_milliseconds(unix_ms: int, text: str):
    assert rfc3339(unix_ms) == text


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_its_word_and_every_word_its_states(state: State):
    assert state in states_of(envelope_status(state))
    assert states_of("nothing") == ()


def test_what_is_not_known_is_absent():
    job = Job(id="j", state=State.QUEUED, request_type="embeddings", model="m", created_ms=1000)
    assert set(envelope(job)) == {
        "id", "object", "request_id", "status", "request_type", "model", "created_at", "attempts",
    }  # fmt: skip


def test_an_estimated_start_is_told_until_there_is_a_real_one():
    facts = {"id": "j", "request_type": "embeddings", "model": "m", "created_ms": 1000, "estimated_start_ms": 5000}
    assert envelope(Job(state=State.QUEUED, **facts))["estimated_start_at"] == rfc3339(5000)
    started = envelope(Job(state=State.RUNNING, started_ms=3000, **facts))
    assert (started["started_at"], "estimated_start_at" in started) == (rfc3339(3000), False)

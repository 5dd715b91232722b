import pytest

from shared.clock import rfc3339_ms
from shared.jobs.model import Job, State
from shared.surfaces.envelope import envelope, envelope_status, states_of


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_its_word_and_every_word_its_states(state: State):
    assert state in states_of(envelope_status(state))
    assert states_of("nothing") == ()


def test_what_is_not_known_is_absent():
    job = Job(id="j", state=State.QUEUED, request_type="embeddings", model="m", created_ms=1000)
    assert set(envelope(job)) == {
        "id", "object", "request_id", "status", "request_type", "model", "created_at", "attempts",
    }  # fmt: skip


def test_an_estimated_start_is_replaced_by_the_real_one():
    facts = {"id": "j", "request_type": "embeddings", "model": "m", "created_ms": 1000, "estimated_start_ms": 5000}
    assert envelope(Job(state=State.QUEUED, **facts))["estimated_start_at"] == rfc3339_ms(5000)
    started = envelope(Job(state=State.RUNNING, started_ms=3000, **facts))
    assert (started["started_at"], "estimated_start_at" in started) == (rfc3339_ms(3000), False)

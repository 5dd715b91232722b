"""How callers see a provider's batch while its lines are rescued."""

from typing import Any

import pytest

from shared.governance.ledger.batch_views import DONE, RESCUING, WATCHED, BatchView

FILES = {"output_file_id": "file-1", "error_file_id": "file-2", "completed_at": 5, "errors": {"data": [1]}}


def view(state: str, *, stopped: bool = False, final: dict[str, Any] | None = None) -> BatchView:
    return BatchView("f", state, stopped, final or {})


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling"])
def test_a_running_batch_is_shown_as_it_is(status: str) -> None:
    found = {"id": "b", "status": status}
    assert view(WATCHED).apply(found) == found
    assert view(WATCHED, stopped=True).apply(found) == found


@pytest.mark.parametrize("status", ["completed", "failed", "expired", "cancelled"])
def test_an_ended_batch_has_no_results_until_the_gateway_knows_that_none_is_missing(status: str) -> None:
    shown = view(WATCHED).apply({"id": "b", "status": status, **FILES})
    assert shown["status"] == "finalizing"
    assert {shown[name] for name in FILES} == {None}
    stopped = view(WATCHED, stopped=True).apply({"id": "b", "status": status, **FILES})
    assert (stopped["status"], stopped["output_file_id"]) == ("cancelling", None)


def test_a_batch_under_rescue_is_finalizing_whatever_its_provider_says() -> None:
    assert view(RESCUING).apply({"status": "cancelling", "cancelling_at": 4})["status"] == "finalizing"
    assert view(RESCUING).apply({"status": "in_progress"})["status"] == "finalizing"


def test_a_rescued_batch_has_the_gateways_results() -> None:
    shown = view(DONE, final={"status": "completed", "output_file_id": "file-9"}).apply({"status": "expired", **FILES})
    assert (shown["status"], shown["output_file_id"], shown["error_file_id"]) == ("completed", "file-9", "file-2")


def test_the_stored_form_is_read() -> None:
    fields = {b"followed": b"f", b"state": b"done", b"stopped": b"1", b"final": b'{"status":"completed"}'}
    assert BatchView.from_fields(fields) == BatchView("f", "done", True, {"status": "completed"})
    assert BatchView.from_fields({b"state": b"watched"}) == BatchView("", "watched", False, {})

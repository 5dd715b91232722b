import re

import pytest

from shared import errors
from shared.errors import GatewayError, JobFailure, JobNotFound, UpstreamRefused


def family(kind: type[GatewayError]) -> list[type[GatewayError]]:
    return [kind, *(descendant for child in kind.__subclasses__() for descendant in family(child))]


@pytest.mark.parametrize("kind", family(GatewayError), ids=lambda kind: kind.__name__)
def test_the_tree_in_the_docstring_is_the_tree_in_the_code(kind: type[GatewayError]) -> None:
    assert errors.__doc__
    row = re.search(rf"\b{kind.__name__}\b +(\S+) +(\S+)(?: +(\S+))?", errors.__doc__)
    assert row, f"{kind.__name__} is not drawn"
    if kind not in {GatewayError, UpstreamRefused, JobFailure}:
        assert int(row[1]) == kind.status
        assert row[2] == kind.type


def test_the_envelope_is_openais() -> None:
    error = errors.InvalidRequest("model must be a string.", param="model", code="wrong_type")
    assert error.envelope() == {
        "error": {
            "message": "model must be a string.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "wrong_type",
        }
    }


def test_an_unknown_jobs_message_does_not_grow_with_its_id() -> None:
    assert len(JobNotFound("x" * 10_000).message) < 300


def test_a_providers_error_is_kept() -> None:
    error = UpstreamRefused(429, {"message": "slow", "code": 7, "param": "p", "extra": [1]}, provider="p")
    assert error.envelope()["error"] == {
        "message": "slow",
        "type": "upstream_error",
        "param": "p",
        "code": "7",
        "extra": [1],
    }
    assert UpstreamRefused(401, {"type": "invalid_request_error"}, provider="p").type == "upstream_authentication_error"
    assert UpstreamRefused(500, {}, provider="acme").message == "Provider 'acme' answered with status 500."


def test_only_a_refused_write_says_that_nothing_was_accepted() -> None:
    read, refused = errors.StoreUnavailable("The ledger cannot be read."), errors.StoreUnavailable(refused=True)
    assert read.message == "The ledger cannot be read. Try again."
    assert refused.message == "The job store cannot be reached. Nothing was accepted; try again."

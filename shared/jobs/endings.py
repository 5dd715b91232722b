"""The errors of jobs that a script ends by itself, as JSON for the script to store.

The scripts get them as arguments, so that their texts stand in Python alone.
"""

from typing import Final

import orjson

from shared.errors import AttemptsExhausted, DeadlineExceeded, GatewayError, JobCancelled


def _stored(error: GatewayError) -> bytes:
    """Return OpenAI's error object as a job's record stores it."""
    return orjson.dumps(error.envelope()["error"])


DEADLINE_ERROR: Final = _stored(DeadlineExceeded("The job's deadline passed before it was done."))

ATTEMPTS_ERROR: Final = _stored(AttemptsExhausted("The job lost its worker %s times and was given up."))
"""A format for Lua's ``string.format`` with the number of attempts."""


def cancelled_error(job_id: str) -> bytes:
    """Return the error of a job that its caller cancelled."""
    return _stored(JobCancelled(job_id))

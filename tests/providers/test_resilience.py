from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from shared.errors import (
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    Overloaded,
    UnsupportedParameter,
    UpstreamFailure,
    UpstreamRefused,
    UpstreamTimeout,
)
from shared.providers.resilience import Verdict, backoff_s, judge, retry_after_s
from shared.settings.model import RetrySettings


def refused(status: int, code: str | None = None) -> UpstreamRefused:
    return UpstreamRefused(status, {"message": "no", "code": code}, provider="p")


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        *((refused(status), Verdict.SAME_KEY) for status in (500, 502, 503, 504, 529)),
        *((refused(status), Verdict.OTHER_KEY) for status in (401, 402, 403, 429)),
        *((refused(status), Verdict.NEXT_MODEL) for status in (404, 408, 409, 413)),
        *((refused(status), Verdict.GIVE_UP) for status in (400, 422, 418)),
        (refused(400, "context_length_exceeded"), Verdict.NEXT_MODEL),
        (UpstreamFailure("reset"), Verdict.SAME_KEY),
        (UpstreamTimeout("silent"), Verdict.NEXT_MODEL),
        (DeadlineExceeded("over"), Verdict.GIVE_UP),
        (Overloaded("full"), Verdict.NEXT_MODEL),
        (UnsupportedParameter("logprobs"), Verdict.NEXT_MODEL),
        (InvalidRequest("bad"), Verdict.GIVE_UP),
    ],
    ids=repr,
)
def test_failures_are_judged_by_status_and_code(error: GatewayError, verdict: Verdict) -> None:
    assert judge(error) is verdict


def test_backoff_doubles_up_to_its_cap_and_is_jittered() -> None:
    retry = RetrySettings(backoff_initial_s=0.5, backoff_max_s=8)
    assert [backoff_s(attempt, retry, chance=0) for attempt in range(1, 7)] == [0.5, 1, 2, 4, 8, 8]
    assert backoff_s(1, retry, chance=0.999) == pytest.approx(0.25, abs=0.001)
    assert 0.25 <= backoff_s(1, retry) <= 0.5


NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("milliseconds", "seconds", "wait_s"),
    [
        (None, b"3", 3),
        (b"250", b"3", 0.25),
        (b"nonsense", b"3", 3),
        (None, format_datetime(NOW.replace(second=30), usegmt=True).encode(), 30),
        (None, format_datetime(NOW.replace(year=2020), usegmt=True).encode(), 0),
        (None, b"soon", None),
        (None, b"-1", None),
        (None, b"inf", None),
        (None, b"nan", None),
        (None, b"1e30", 24 * 3600),
        (None, None, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(milliseconds: bytes | None, seconds: bytes | None, wait_s: float) -> None:
    assert retry_after_s(milliseconds, seconds, NOW.timestamp()) == wait_s

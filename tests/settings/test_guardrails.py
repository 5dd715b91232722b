"""The settings of guardrails: what cannot work is refused, with the reason."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.settings.model import Settings

URL = "http://guard.internal:8000/check"


def read(**table: Any) -> Settings:
    return Settings.model_validate({"guardrails": {"a": {"url": URL, **table}}})


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"url": "ftp://guard.internal/"}, "must start with http"),
        ({"url": "http://"}, "must be a URL such as"),
        ({"url": "http://guard.internal:0/"}, "must be a URL such as"),
        ({"url": "http://guard.internal/\u00e4"}, "must be a URL such as"),
        ({"url": "http://me:secret@guard.internal/"}, "must not hold credentials"),
        ({"headers": {"a b": "c"}}, "is not the name of a header"),
        ({"headers": {"a": "b\r\nc: d"}}, "must be printable ASCII"),
        ({"checks": []}, "at least 1 item"),
        ({"streams": "wait"}, "'refuse' or 'unchecked'"),
        ({"timeout_s": 61}, "less than or equal to 60"),
    ],
)
def test_a_guardrail_that_cannot_work_is_refused(table: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        read(**table)


def test_only_those_that_check_answers_keep_jobs_from_showing_theirs_as_they_grow() -> None:
    assert read().streams_jobs
    assert not read(checks=["request", "answer"]).streams_jobs


def test_the_values_of_headers_are_secret() -> None:
    assert "token-of-ours" not in repr(read(headers={"authorization": "token-of-ours"}))

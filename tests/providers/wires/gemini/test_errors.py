"""Google's errors in OpenAI's form."""

import orjson
import pytest

from shared.providers.wires.gemini import GeminiWire

GOOGLE = "type.googleapis.com/google.rpc."


def read(status, error):
    return GeminiWire().error(status, orjson.dumps({"error": error}))


def test_a_quota_error_has_a_retry_delay():
    details = [
        {"@type": GOOGLE + "QuotaFailure", "violations": []},
        {"@type": GOOGLE + "RetryInfo", "retryDelay": "34.5s"},
    ]
    status, error = read(429, {"code": 429, "message": "Slow.", "status": "RESOURCE_EXHAUSTED", "details": details})
    assert status == 429
    assert error == {
        "message": "Slow.",
        "type": "rate_limit_error",
        "param": None,
        "code": "RESOURCE_EXHAUSTED",
        "retry_after_s": 34.5,
    }


@pytest.mark.parametrize("delay", ["soon", "xs", "-1s", "infs", "nans", 5, None])
def test_an_invalid_retry_delay_is_ignored(delay):
    details = [{"@type": GOOGLE + "RetryInfo", "retryDelay": delay}]
    assert "retry_after_s" not in read(429, {"status": "RESOURCE_EXHAUSTED", "details": details})[1]


def test_an_invalid_key_is_a_401():
    info = {"@type": GOOGLE + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
    status, error = read(400, {"message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": [info]})
    assert (status, error["type"], error["code"]) == (401, "authentication_error", "API_KEY_INVALID")
    field = {"@type": GOOGLE + "BadRequest", "fieldViolations": [{"field": "contents", "description": "No."}]}
    status, error = read(400, {"message": "No.", "status": "INVALID_ARGUMENT", "details": [field, "junk"]})
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", "contents")
    empty = {"@type": GOOGLE + "BadRequest", "fieldViolations": []}
    assert read(400, {"status": "INVALID_ARGUMENT", "details": [empty]})[1]["param"] is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'[{"error":{"code":500,"message":"Oops.","status":"INTERNAL"}}]', "Oops."),
        (b'{"error":"Oops."}', "Oops."),
        (b'{"message":"Oops."}', "Oops."),
        (b"[]", "[]"),
        (b"7", "7"),
        (b"upstream down", "upstream down"),
        (b"<html>secrets</html>", ""),
    ],
)
def test_whatever_comes_has_a_message(body, message):
    status, error = GeminiWire().error(500, body)
    assert (status, error["message"]) == (500, message)

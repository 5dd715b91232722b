"""A header that is almost one of the gateway's is named in the answer and in the log."""

import logging
import re
from pathlib import Path

import pytest

from api.http.misspelt_headers import KNOWN, unknown_headers, warning_of
from tests.api.conftest import CHAT, Gateway

ROOT = Path(__file__).parents[3]


async def test_a_misspelt_header_is_named(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "finops.api"):
        answer = await gateway.post("/openai/chat/completions", CHAT, headers={"x-bf-asnyc": "true"})
    assert answer.status_code == 200
    assert answer.headers["x-bf-warning"] == "unknown header 'x-bf-asnyc', did you mean 'x-bf-async'?"
    assert "did you mean 'x-bf-async'?" in caplog.text


async def test_a_job_keeps_the_warning(gateway: Gateway) -> None:
    headers = {"x-bf-async": "true", "x-bf-async-prioritiy": "low"}
    answer = await gateway.post("/openai/chat/completions", CHAT, headers=headers)
    assert "x-bf-async-priority" in answer.headers["x-bf-warning"]
    assert answer.headers["x-bf-async-id"]


async def test_known_and_unrelated_headers_are_not_named(gateway: Gateway) -> None:
    headers = {"x-bf-dim-app": "a", "x-bf-async": "0", "x-bf-something-else": "1", "x-asnyc": "1"}
    answer = await gateway.post("/openai/chat/completions", CHAT, headers=headers)
    assert "x-bf-warning" not in answer.headers


def test_names_that_no_client_sends_are_harmless() -> None:
    assert warning_of([b"x-bf-\xff", b"x-bf-async" + b"x" * 100]) == ""
    assert unknown_headers([b"x-bf-vk", b"x-bf-vkk", b"host"]) == [b"x-bf-vkk"]
    assert warning_of([b"x-bf-vkk", b"x-bf-asyn", b"x-bf-asnyc", b"x-bf-asyncc"]).count("did you mean") == 3


def test_every_header_of_the_code_is_known() -> None:
    sources = [path.read_text() for name in ("api", "shared") for path in (ROOT / name).rglob("*.py")]
    named = {name.encode() for text in sources for name in re.findall(r'"(x-bf-[a-z-]*[a-z])"', text)}
    assert named - {b"x-bf-dim", b"x-bf-asnyc"} <= KNOWN, "add new headers to api/http/misspelt_headers.py"

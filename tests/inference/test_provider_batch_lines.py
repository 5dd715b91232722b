"""Which lines and batches failed for reasons of their provider."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.errors import UpstreamFailure
from shared.inference import provider_batch_lines as lines


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"response": {"status_code": 500}}, True),
        ({"response": {"status_code": 503}}, True),
        ({"response": {"status_code": 429}}, True),
        ({"response": {"status_code": 408}}, True),
        ({"response": {"status_code": 400}, "error": {"code": "x"}}, False),
        ({"response": {"status_code": 404}}, False),
        ({"response": {"status_code": 200}}, False),
        ({"response": None, "error": {"code": "batch_expired"}}, True),
        ({"response": {"status_code": "500"}}, False),
        ({}, False),
    ],
)
def test_a_line_failed_at_its_provider(row: dict[str, Any], expected: bool) -> None:
    assert lines.is_providers_fault(row) is expected


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ({"status": "failed", "errors": {"data": [{"code": "token_limit_exceeded"}]}}, True),
        ({"status": "failed", "errors": {"data": [{"code": "token_limit_exceeded"}, {"code": "empty_file"}]}}, False),
        ({"status": "failed", "errors": {"data": [{"code": "invalid_json_line"}]}}, False),
        ({"status": "failed", "errors": {"data": []}}, False),
        ({"status": "failed", "errors": {"data": 7}}, False),
        ({"status": "failed", "errors": None}, False),
        ({"status": "completed", "errors": {"data": [{"code": "server_error"}]}}, False),
    ],
)
def test_a_batch_failed_at_its_provider(batch: dict[str, Any], expected: bool) -> None:
    assert lines.failed_at_provider(batch) is expected


async def test_lines_are_read_across_the_pieces_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINES_AT_ONCE", 2)
    assert [line async for line in lines.read_lines(pieces(b"a\n\nb", b"c\r\n", b" \nd"))] == [b"a", b"bc", b"d"]
    assert [line async for line in lines.read_lines(pieces(b"a\n"))] == [b"a"]


async def test_an_endless_line_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 8)
    with pytest.raises(UpstreamFailure, match="too long"):
        [line async for line in lines.read_lines(pieces(b"12345", b"67890"))]


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk

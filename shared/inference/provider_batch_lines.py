"""The lines of the files of providers' batches: read as they arrive, and judged; pure."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from typing import Any

import orjson

from shared.errors import InvalidRequest, UpstreamFailure
from shared.inference.passthrough import RawRequest
from shared.surfaces.request_types import REQUEST_TYPES, RequestType

LINES_AT_ONCE = 200
MAX_LINE_BYTES = 64 * 1024 * 1024
_TYPES: Mapping[str, RequestType] = {kind.path: kind for kind in REQUEST_TYPES if kind.form == "json"}
_BUSY = frozenset({408, 429})
_PROVIDERS_FAULTS = frozenset(
    {"token_limit_exceeded", "rate_limit_exceeded", "billing_hard_limit_reached", "server_error", "internal_error"}
)
"""Errors of a whole batch that its caller did not cause; OpenAI fails a batch so when an account's queue is full."""


def type_of(endpoint: str) -> RequestType | None:
    """Return the request type of a batch's endpoint; None: its lines cannot be priced."""
    return _TYPES.get(endpoint.strip("/").removeprefix("v1/"))


def body_of(line: bytes, number: int) -> dict[str, Any]:
    """Return the request in a line of an input file.

    Raises:
        InvalidRequest: The line has none, or it names no model.
    """
    body = part_of(parse_object(line), "body")
    if not isinstance(body.get("model"), str):
        raise InvalidRequest(
            f"Line {number} of the input file is not a request with a model: its cost cannot be reserved.",
            param="input_file_id",
        )
    return body


def parse_object(text: bytes) -> dict[str, Any]:
    """Return a JSON object; empty for anything else."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def part_of(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object in another one; empty if it has none."""
    found = fields.get(name)
    return found if isinstance(found, dict) else {}


async def read_lines(content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield the lines of a file as it arrives, without blank ones; others get a turn of the event loop in between.

    Raises:
        UpstreamFailure: A line is longer than ``MAX_LINE_BYTES``.
    """
    pieces: list[bytes] = []
    size = count = 0
    async for chunk in content:
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            whole = b"".join([*pieces, line]).strip()
            pieces, size = [], 0
            if whole:
                yield whole
            count += 1
            if count % LINES_AT_ONCE == 0:
                await asyncio.sleep(0)
        pieces.append(rest)
        size += len(rest)
        if size > MAX_LINE_BYTES:
            raise UpstreamFailure("A line of the provider's file is too long.")
    last = b"".join(pieces).strip()
    if last:
        yield last


def ended_files(found: Mapping[str, Any]) -> Sequence[str]:
    """Return the ids of a batch's output and error files."""
    return [found[name] for name in ("output_file_id", "error_file_id") if isinstance(found.get(name), str)]


def batch_fields(request: RawRequest, fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the body of a batch's creation; None for any other request, and for one that its provider refuses."""
    if request.method != "POST" or request.path.partition("?")[0].strip("/") != "batches":
        return None
    named = all(isinstance(fields.get(name), str) for name in ("input_file_id", "endpoint"))
    return fields if named else None


def is_providers_fault(row: Mapping[str, Any]) -> bool:
    """Whether a line of an error file failed for reasons of its provider: it was not run, or met a fault or a limit.

    Source: https://platform.openai.com/docs/api-reference/batch/request-output
    """
    status = part_of(row, "response").get("status_code")
    return status >= 500 or status in _BUSY if isinstance(status, int) else bool(part_of(row, "error"))


def failed_at_provider(found: Mapping[str, Any]) -> bool:
    """Whether a batch as a whole failed for reasons of its provider, before any line was run."""
    errors = part_of(found, "errors").get("data")
    codes = [error.get("code") for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return found.get("status") == "failed" and bool(codes) and all(code in _PROVIDERS_FAULTS for code in codes)

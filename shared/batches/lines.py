"""The lines of a batch's files: split, validated and written; pure.

Source: https://platform.openai.com/docs/api-reference/batch/request-input (and request-output)
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shared.batches.model import START, Cursor
from shared.surfaces.request_types import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    IMAGE_GENERATIONS,
    MODERATIONS,
    RESPONSES,
    RequestType,
)

MAX_LINES = 50_000
MAX_EMBEDDING_INPUTS = 50_000
MAX_CUSTOM_ID_CHARS = 512
MAX_FAULTS = 100
ENDPOINTS: Mapping[str, RequestType] = {
    f"/v1/{kind.path}": kind for kind in (CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS, MODERATIONS, IMAGE_GENERATIONS)
}
"""The endpoints of a batch: those with JSON requests and JSON answers."""
_BOM = b"\xef\xbb\xbf"
_NEVER_RUN = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "This request was not executed, because its batch was cancelled.",
    "request_lost": "The job of this request was removed before its result was read.",
}


def endpoint_of(url: object) -> str:
    """Normalise a URL to its endpoint, with ``/v1``; empty if a batch cannot use it."""
    if not isinstance(url, str):
        return ""
    full = url if url.startswith("/v1/") else f"/v1/{url.lstrip('/')}"
    return full if full in ENDPOINTS else ""


class LineTooLong(ValueError):
    """A line exceeds the maximum request size."""


@dataclass(frozen=True, slots=True)
class RawLine:
    """A non-blank line, its line number in the file (from 1), and the cursor of the next line."""

    text: bytes
    physical: int
    next: Cursor


class LineSplitter:
    """Splits the parts of a file into lines.

    Args:
        start: Cursor of the first part's begin.
        max_bytes: Maximum length of a line.
    """

    def __init__(self, start: Cursor = START, *, max_bytes: int) -> None:
        self._line = start.line
        self._physical = 0
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._max_bytes = max_bytes

    def feed(self, piece: bytes, part: int = 0, offset: int = 0) -> Iterator[RawLine]:
        """Yield the lines that end in a part.

        Raises:
            LineTooLong: A line is longer than ``max_bytes``.
        """
        begin = 0
        while (end := piece.find(b"\n", begin)) >= 0:
            self._hold(piece[begin:end])
            begin = end + 1
            line = self._cut(part, offset + begin)
            if line:
                yield line
        self._hold(piece[begin:])

    def finish(self) -> Iterator[RawLine]:
        """Yield the last line if it has no line end."""
        line = self._cut(0, 0)
        if line:
            yield line

    def _hold(self, text: bytes) -> None:
        self._held_bytes += len(text)
        if self._held_bytes > self._max_bytes:
            raise LineTooLong(f"line {self._physical + 1}")
        self._held.append(text)

    def _cut(self, part: int, offset: int) -> RawLine | None:
        text = b"".join(self._held).strip()
        self._held, self._held_bytes = [], 0
        self._physical += 1
        if self._physical == 1:
            text = text.removeprefix(_BOM)
        if not text:
            return None
        self._line += 1
        return RawLine(text, self._physical, Cursor(line=self._line, part=part, offset=offset))


Fault = dict[str, Any]
"""One of a batch's ``errors``: code, message, param, line."""


def fault(code: str, message: str, *, param: str | None = None, line: int | None = None) -> Fault:
    """Build one of a batch's errors."""
    return {"code": code, "message": message, "param": param, "line": line}


class Validation:
    """Validates the lines of a file against each other and the batch's endpoint."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._seen: set[bytes] = set()
        self._inputs = 0
        self.lines = 0
        self.faults: list[Fault] = []
        self.models: dict[str, int] = {}

    @property
    def hopeless(self) -> bool:
        """Whether there are too many faults or lines to continue."""
        return len(self.faults) >= MAX_FAULTS or self.lines > MAX_LINES

    def check_all(self, lines: Iterable[RawLine]) -> None:
        """Validate the next lines, unless ``hopeless``."""
        for line in lines:
            if self.hopeless:
                return
            self.check(line)

    def check(self, line: RawLine) -> None:
        """Validate the next line; its faults are added to ``faults``."""
        self.lines += 1
        at = line.physical
        if self.lines > MAX_LINES:
            self._fault("too_many_lines", f"A batch may hold at most {MAX_LINES} requests.", None, None)
            return
        try:
            request = orjson.loads(line.text)
        except orjson.JSONDecodeError:
            request = None
        if not isinstance(request, dict):
            self._fault("invalid_json_line", "This line is not a JSON object.", None, at)
            return
        for name in ("custom_id", "method", "url", "body"):
            if request.get(name) is None:
                self._fault("missing_required_parameter", f"The field {name!r} is required.", name, at)
                return
        self._check_custom_id(request["custom_id"], at)
        self._check_target(request, at)
        self._check_body(request["body"], at)

    def finish(self) -> None:
        """Add the faults of the file as a whole."""
        if not self.lines and not self.faults:
            self._fault("empty_file", "The input file contains no requests.", "input_file_id", None)
        if self._inputs > MAX_EMBEDDING_INPUTS:
            message = f"A batch may embed at most {MAX_EMBEDDING_INPUTS} inputs; this one has {self._inputs}."
            self._fault("too_many_inputs", message, None, None)

    def _check_custom_id(self, custom_id: object, at: int) -> None:
        if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_CUSTOM_ID_CHARS:
            message = f"custom_id must be a string of 1 to {MAX_CUSTOM_ID_CHARS} characters."
            self._fault("invalid_custom_id", message, "custom_id", at)
            return
        digest = hashlib.blake2b(custom_id.encode(), digest_size=16).digest()
        if digest in self._seen:
            message = f"The custom_id {custom_id[:64]!r} is already used by an earlier line."
            self._fault("duplicate_custom_id", message, "custom_id", at)
        self._seen.add(digest)

    def _check_target(self, request: Mapping[str, Any], at: int) -> None:
        if request["method"] != "POST":
            self._fault("invalid_method", "The method must be POST.", "method", at)
        endpoint = endpoint_of(request["url"])
        if not endpoint:
            known = ", ".join(ENDPOINTS)
            self._fault("invalid_url", f"The URL cannot be used in a batch. Supported: {known}.", "url", at)
        elif endpoint != self._endpoint:
            message = f"The URL must be the batch's endpoint, {self._endpoint}."
            self._fault("mismatched_endpoint", message, "url", at)

    def _check_body(self, body: object, at: int) -> None:
        if not isinstance(body, dict):
            self._fault("invalid_body", "The body must be an object.", "body", at)
            return
        for name in ("stream", "background"):
            if body.get(name) not in (None, False):
                self._fault("unsupported_parameter", f"{name} cannot be used in a batch.", f"body.{name}", at)
        model = body.get("model") or ENDPOINTS[self._endpoint].default_model
        if not isinstance(model, str):
            self._fault("missing_required_parameter", "The body must name a model.", "body.model", at)
        else:
            self.models.setdefault(model, at)
        if self._endpoint == "/v1/embeddings":
            inputs = body.get("input")
            self._inputs += len(inputs) if isinstance(inputs, list) and inputs and _many(inputs[0]) else 1

    def _fault(self, code: str, message: str, param: str | None, line: int | None) -> None:
        self.faults.append(fault(code, message, param=param, line=line))


def _many(first: object) -> bool:
    """Tell whether a list has several inputs (texts or token lists) rather than the tokens of one."""
    return isinstance(first, str | list)


@dataclass(frozen=True, slots=True)
class LineRequest:
    """The request of a valid line."""

    custom_id: str
    body: bytes


def read_line(line: RawLine) -> LineRequest:
    """Read the request of a validated line."""
    request = orjson.loads(line.text)
    try:
        body = orjson.dumps(request["body"])
    except orjson.JSONEncodeError:
        body = b"{}"  # orjson reads deeper nesting than it writes: such a body is rejected as an empty one
    return LineRequest(request["custom_id"], body)


def answered(line_id: str, custom_id: str, status: int, body: bytes) -> bytes:
    """Write the output line of an answer or error.

    Args:
        body: JSON; any other answer is written as a string.
    """
    try:
        orjson.loads(body)
        # Raw line ends can only stand between the tokens of a JSON text.
        value: Any = orjson.Fragment(body.replace(b"\r", b" ").replace(b"\n", b" "))
    except orjson.JSONDecodeError:
        value = body.decode("utf-8", "replace")
    response = {"status_code": status, "request_id": line_id, "body": value}
    return _written({"id": line_id, "custom_id": custom_id, "response": response, "error": None})


def never_run(line_id: str, custom_id: str, code: str) -> bytes:
    """Write the error line of a request that was not run.

    Args:
        code: ``batch_expired``, ``batch_cancelled`` or ``request_lost``.
    """
    error = {"code": code, "message": _NEVER_RUN[code]}
    return _written({"id": line_id, "custom_id": custom_id, "response": None, "error": error})


def _written(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def tokens_of(usage: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Return input, cached, output and reasoning tokens, from either of OpenAI's two usage formats."""
    into = _detail(usage, ("input_tokens_details", "prompt_tokens_details"), "cached_tokens")
    out = _detail(usage, ("output_tokens_details", "completion_tokens_details"), "reasoning_tokens")
    return (
        _count(usage, "input_tokens", "prompt_tokens"),
        into,
        _count(usage, "output_tokens", "completion_tokens"),
        out,
    )


def _count(usage: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = usage.get(name)
        if isinstance(value, int) and value > 0:
            return min(value, 2**40)
    return 0


def _detail(usage: Mapping[str, Any], names: tuple[str, ...], detail: str) -> int:
    for name in names:
        details = usage.get(name)
        if isinstance(details, dict):
            return _count(details, detail)
    return 0

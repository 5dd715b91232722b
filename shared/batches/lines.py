"""The lines of a batch's files: cut out of pieces, checked, and written; pure.

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
"""What a line may ask for; all that is said in JSON and answered in JSON."""
_BOM = b"\xef\xbb\xbf"
_NEVER_RUN = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "This request was not executed, because its batch was cancelled.",
    "request_lost": "The job of this request was removed before its result was read.",
}


def endpoint_of(url: object) -> str:
    """The endpoint that a URL means, with ``/v1``; empty: none that a batch can use."""
    if not isinstance(url, str):
        return ""
    full = url if url.startswith("/v1/") else f"/v1/{url.lstrip('/')}"
    return full if full in ENDPOINTS else ""


class LineTooLong(ValueError):
    """A line is longer than any request may be."""


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line that is not blank, where it is in its file (from 1), and where the next one begins."""

    text: bytes
    physical: int
    next: Cursor


class LineSplitter:
    """Cuts the pieces of a file into lines.

    Args:
        start: Where the first piece begins.
        max_bytes: The longest line.
    """

    def __init__(self, start: Cursor = START, *, max_bytes: int) -> None:
        self._line = start.line
        self._physical = 0
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._max_bytes = max_bytes

    def feed(self, piece: bytes, part: int = 0, offset: int = 0) -> Iterator[RawLine]:
        """The lines that end in a piece.

        Raises:
            LineTooLong: One is.
        """
        begin = 0
        while (end := piece.find(b"\n", begin)) >= 0:
            self._hold(piece[begin:end])
            begin = end + 1
            line = self._cut(part, offset + begin)
            if line:
                yield line
        self._hold(piece[begin:])

    def rest(self) -> Iterator[RawLine]:
        """The last line, if it has no end of its own."""
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
    """Why a batch failed."""
    return {"code": code, "message": message, "param": param, "line": line}


class Validation:
    """Checks the lines of a file, one after the other, against each other and the batch's endpoint."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._seen: set[bytes] = set()
        self._inputs = 0
        self.lines = 0
        self.faults: list[Fault] = []
        self.models: dict[str, int] = {}

    @property
    def hopeless(self) -> bool:
        """Whether enough is wrong for the file to be given up."""
        return len(self.faults) >= MAX_FAULTS or self.lines > MAX_LINES

    def check_all(self, lines: Iterable[RawLine]) -> None:
        """Look at the next lines, unless it is hopeless."""
        for line in lines:
            if self.hopeless:
                return
            self.check(line)

    def check(self, line: RawLine) -> None:
        """Look at the next line; what is wrong with it is in ``faults``."""
        self.lines += 1
        at = line.physical
        if self.lines > MAX_LINES:
            self._fault("too_many_lines", f"A batch may hold at most {MAX_LINES} requests.", None, None)
            return
        try:
            said = orjson.loads(line.text)
        except orjson.JSONDecodeError:
            said = None
        if not isinstance(said, dict):
            self._fault("invalid_json_line", "This line is not a JSON object.", None, at)
            return
        for name in ("custom_id", "method", "url", "body"):
            if said.get(name) is None:
                self._fault("missing_required_parameter", f"The field {name!r} is required.", name, at)
                return
        self._check_custom_id(said["custom_id"], at)
        self._check_target(said, at)
        self._check_body(said["body"], at)

    def finish(self) -> None:
        """Say what only the whole file shows."""
        if not self.lines and not self.faults:
            self._fault("empty_file", "The input file holds no requests.", "input_file_id", None)
        if self._inputs > MAX_EMBEDDING_INPUTS:
            said = f"A batch may embed at most {MAX_EMBEDDING_INPUTS} inputs; this one has {self._inputs}."
            self._fault("too_many_inputs", said, None, None)

    def _check_custom_id(self, custom_id: object, at: int) -> None:
        if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_CUSTOM_ID_CHARS:
            said = f"custom_id must be a string of 1 to {MAX_CUSTOM_ID_CHARS} characters."
            self._fault("invalid_custom_id", said, "custom_id", at)
            return
        digest = hashlib.blake2b(custom_id.encode(), digest_size=16).digest()
        if digest in self._seen:
            said = f"The custom_id {custom_id[:64]!r} is that of an earlier line."
            self._fault("duplicate_custom_id", said, "custom_id", at)
        self._seen.add(digest)

    def _check_target(self, said: Mapping[str, Any], at: int) -> None:
        if said["method"] != "POST":
            self._fault("invalid_method", "The method must be POST.", "method", at)
        endpoint = endpoint_of(said["url"])
        if not endpoint:
            known = ", ".join(ENDPOINTS)
            self._fault("invalid_url", f"The URL is none of those that a batch can use: {known}.", "url", at)
        elif endpoint != self._endpoint:
            said_url = f"The URL must be the batch's endpoint, {self._endpoint}."
            self._fault("mismatched_endpoint", said_url, "url", at)

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
    """Whether a list is one of inputs: of texts or token lists, not of tokens."""
    return isinstance(first, str | list)


@dataclass(frozen=True, slots=True)
class LineRequest:
    """What a valid line asks for."""

    custom_id: str
    body: bytes


def read_line(line: RawLine) -> LineRequest:
    """The request of a line that was found valid."""
    said = orjson.loads(line.text)
    try:
        body = orjson.dumps(said["body"])
    except orjson.JSONEncodeError:
        body = b"{}"  # the reader goes deeper than the writer: what cannot be sent on is refused as empty
    return LineRequest(said["custom_id"], body)


def answered(line_id: str, custom_id: str, status: int, body: bytes) -> bytes:
    """A line of what a provider, or an error, answered.

    Args:
        body: JSON; an answer that is none stands as a string.
    """
    try:
        orjson.loads(body)
        # Raw line ends can only be between a JSON text's tokens.
        shown: Any = orjson.Fragment(body.replace(b"\r", b" ").replace(b"\n", b" "))
    except orjson.JSONDecodeError:
        shown = body.decode("utf-8", "replace")
    response = {"status_code": status, "request_id": line_id, "body": shown}
    return _written({"id": line_id, "custom_id": custom_id, "response": response, "error": None})


def never_run(line_id: str, custom_id: str, code: str) -> bytes:
    """A line of a request that was not executed: ``batch_expired``, ``batch_cancelled`` or ``request_lost``."""
    error = {"code": code, "message": _NEVER_RUN[code]}
    return _written({"id": line_id, "custom_id": custom_id, "response": None, "error": error})


def _written(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def tokens_of(usage: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Tokens in, cached, out and reasoned, whichever of OpenAI's two vocabularies says it."""
    into = _detail(usage, ("input_tokens_details", "prompt_tokens_details"), "cached_tokens")
    out = _detail(usage, ("output_tokens_details", "completion_tokens_details"), "reasoning_tokens")
    return (
        _count(usage, "input_tokens", "prompt_tokens"),
        into,
        _count(usage, "output_tokens", "completion_tokens"),
        out,
    )


def _count(said: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = said.get(name)
        if isinstance(value, int) and value > 0:
            return min(value, 2**40)
    return 0


def _detail(usage: Mapping[str, Any], names: tuple[str, ...], detail: str) -> int:
    for name in names:
        said = usage.get(name)
        if isinstance(said, dict):
            return _count(said, detail)
    return 0

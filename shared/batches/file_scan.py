"""Scans an uploaded batch file for its models, and strips a provider's prefix from its lines; pure."""

from typing import Any

import orjson

from shared.batches.lines import LineSplitter, LineTooLong

MAX_MODELS = 1000


class FileScan:
    """Scans a file while it is uploaded.

    Attributes:
        models: The models of its lines; an empty string for lines without one.
        plain: Whether every line is valid and uses no extension of this gateway.
    """

    def __init__(self, *, max_line_bytes: int) -> None:
        self._splitter = LineSplitter(max_bytes=max_line_bytes)
        self.models: set[str] = set()
        self.plain = True

    def feed(self, piece: bytes) -> None:
        """Scan the next piece."""
        if not self.plain:
            return
        try:
            for line in self._splitter.feed(piece):
                self._scan(line.text)
        except LineTooLong:
            self.plain = False

    def finish(self) -> None:
        """Scan the last line."""
        for line in self._splitter.finish():
            self._scan(line.text)

    def _scan(self, text: bytes) -> None:
        body = _body(text)
        model = body.get("model", "") if body is not None else None
        if body is None or not isinstance(model, str) or "fallbacks" in body or len(self.models) >= MAX_MODELS:
            self.plain = False
            return
        self.models.add(model)


def _body(text: bytes) -> dict[str, Any] | None:
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    body = request.get("body") if isinstance(request, dict) else None
    return body if isinstance(body, dict) else None


def without_prefix(content: bytes, provider: str) -> bytes:
    """Strip a provider's prefix from the models of a file's lines; other lines stay the same, byte for byte."""
    prefix = f"{provider}/"
    return b"\n".join([_stripped(line, prefix) for line in content.split(b"\n")])


def _stripped(line: bytes, prefix: str) -> bytes:
    if prefix.encode() not in line:
        return line
    body = _body(line)
    model = body.get("model") if body is not None else None
    if not isinstance(model, str) or not model.startswith(prefix):
        return line
    request = orjson.loads(line)
    request["body"]["model"] = model.removeprefix(prefix)
    try:
        return orjson.dumps(request)
    except orjson.JSONEncodeError:
        return line

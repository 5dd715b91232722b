"""What an uploaded batch file asks for: its lines' models; and the same lines without a provider's prefix; pure."""

from typing import Any

import orjson

from shared.batches.lines import LineSplitter, LineTooLong

MAX_MODELS = 1000


class FileScan:
    """Looks through a file as it comes.

    Attributes:
        models: Those that its lines name; empty text where a line names none.
        plain: Whether every line was understood, and asks for nothing that only this gateway knows.
    """

    def __init__(self, *, max_line_bytes: int) -> None:
        self._splitter = LineSplitter(max_bytes=max_line_bytes)
        self.models: set[str] = set()
        self.plain = True

    def feed(self, piece: bytes) -> None:
        """Look through the next piece."""
        if not self.plain:
            return
        try:
            for line in self._splitter.feed(piece):
                self._look(line.text)
        except LineTooLong:
            self.plain = False

    def finish(self) -> None:
        """Look at what the end of the file leaves."""
        for line in self._splitter.rest():
            self._look(line.text)

    def _look(self, text: bytes) -> None:
        body = _body(text)
        model = body.get("model", "") if body is not None else None
        if body is None or not isinstance(model, str) or "fallbacks" in body or len(self.models) >= MAX_MODELS:
            self.plain = False
            return
        self.models.add(model)


def _body(text: bytes) -> dict[str, Any] | None:
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    body = said.get("body") if isinstance(said, dict) else None
    return body if isinstance(body, dict) else None


def without_prefix(content: bytes, provider: str) -> bytes:
    """A file for a provider, whose models do not bear its name there; other lines stay as they are, byte for byte."""
    prefix = f"{provider}/"
    return b"\n".join([_stripped(line, prefix) for line in content.split(b"\n")])


def _stripped(line: bytes, prefix: str) -> bytes:
    if prefix.encode() not in line:
        return line
    body = _body(line)
    model = body.get("model") if body is not None else None
    if not isinstance(model, str) or not model.startswith(prefix):
        return line
    said = orjson.loads(line)
    said["body"]["model"] = model.removeprefix(prefix)
    try:
        return orjson.dumps(said)
    except orjson.JSONEncodeError:
        return line

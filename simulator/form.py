"""Multipart bodies: text fields and files, read whole."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

PARTS_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a form."""

    filename: str
    content_type: str
    content: bytes


@dataclass(slots=True)
class Form:
    """A multipart form; a name given twice keeps its last text and all its files."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[Upload]] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Return the form for the log: fields unchanged, files by name, size and sha256."""
        files = {
            name: [
                {
                    "filename": upload.filename,
                    "content_type": upload.content_type,
                    "bytes": len(upload.content),
                    "sha256": hashlib.sha256(upload.content).hexdigest(),
                }
                for upload in uploads
            ]
            for name, uploads in self.files.items()
        }
        return {"fields": self.fields, "files": files}


class _Collector:
    """Receives the parser's callbacks and builds the form, part by part."""

    def __init__(self) -> None:
        self.form = Form()
        self.finished = False
        self._parts = 0
        self._headers: dict[bytes, bytes] = {}
        self._name = b""
        self._value = b""
        self._data = bytearray()

    def on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > PARTS_LIMIT:
            raise ValueError(f"more than {PARTS_LIMIT} parts")
        self._headers = {}
        self._data = bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def on_part_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise ValueError("a part without a name")
        name = options[b"name"].decode("utf-8", "replace")
        if b"filename" in options:
            kind = self._headers.get(b"content-type", b"application/octet-stream").decode("latin-1")
            filename = options[b"filename"].decode("utf-8", "replace")
            self.form.files.setdefault(name, []).append(Upload(filename, kind, bytes(self._data)))
        else:
            self.form.fields[name] = self._data.decode("utf-8", "replace")

    def on_end(self) -> None:
        self.finished = True


_CALLBACKS = (
    "on_part_begin",
    "on_header_field",
    "on_header_value",
    "on_header_end",
    "on_part_data",
    "on_part_end",
    "on_end",
)


def parse_form(content_type: str, body: bytes) -> Form:
    """Read a multipart/form-data body (RFC 7578).

    Raises:
        ValueError: no boundary, a broken or incomplete body, a part without a name, too many parts.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise ValueError("no boundary in the content type")
    collector = _Collector()
    callbacks: Any = {name: getattr(collector, name) for name in _CALLBACKS}
    try:
        parser = MultipartParser(boundary, callbacks)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise ValueError(str(error)) from error
    if not collector.finished:
        raise ValueError("the last boundary is missing")
    return collector.form

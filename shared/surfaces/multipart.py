"""Multipart forms, read only as far as is needed: text fields, and what a file is called. Source: RFC 7578."""

from dataclasses import dataclass, field
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

MAX_TEXT_FIELD_BYTES = 1024 * 1024
MAX_PARTS = 256


class MalformedForm(ValueError):
    """The body is not the multipart form that its content type promises."""


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    header_name: bytes = b""
    header_value: bytes = b""
    value: bytearray = field(default_factory=bytearray)

    def end_header(self) -> None:
        self.headers[self.header_name.lower()] = self.header_value
        self.header_name = self.header_value = b""

    @property
    def disposition(self) -> dict[bytes, bytes]:
        return parse_options_header(self.headers.get(b"content-disposition", b""))[1]


class _Reader:
    """Collects what the parser meets; the bytes of files are passed over, but for the one that is wanted.

    Args:
        wanted: The field whose file's bytes are kept in ``content``.
    """

    def __init__(self, wanted: str = "") -> None:
        self.fields: dict[str, str] = {}
        self.files: set[str] = set()
        self.content = bytearray()
        self.filename: str | None = None
        self._wanted = wanted.encode()
        self._keeps = False
        self._part = _Part()
        self._file = False
        self._parts = 0
        self.ended = False

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise MalformedForm(f"a form of more than {MAX_PARTS} parts")
        self._part = _Part()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header_name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += data[start:end]

    def _header_end(self) -> None:
        self._part.end_header()

    def _headers_finished(self) -> None:
        disposition = self._part.disposition
        self._file = b"filename" in disposition
        self._keeps = self._file and bool(self._wanted) and disposition.get(b"name") == self._wanted
        if self._keeps:
            if self.filename is not None:
                raise MalformedForm("more than one file")
            self.filename = disposition[b"filename"].decode("utf-8", "replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file:
            if self._keeps:
                self.content += data[start:end]
            return
        self._part.value += data[start:end]
        if len(self._part.value) > MAX_TEXT_FIELD_BYTES:
            raise MalformedForm("a text field of more than 1 MiB")

    def _end(self) -> None:
        name = self._part.disposition.get(b"name", b"").decode("utf-8", "replace")
        if not name:
            raise MalformedForm("a part without a name")
        if name == "model" and name in self.fields:
            raise MalformedForm("more than one field 'model'")
        if self._file:
            self.files.add(name)
        self.fields[name] = "" if self._file else self._part.value.decode("utf-8", "replace")

    def _finish(self) -> None:
        self.ended = True


class Form(NamedTuple):
    """A form as read.

    Attributes:
        fields: Text fields by name; a file is there with an empty value.
        files: Names of the fields that are files.
    """

    fields: dict[str, str]
    files: set[str]


def form_fields(body: bytes, content_type: str) -> dict[str, str]:
    """The form's text fields by name; a file is there with an empty value.

    Raises:
        MalformedForm: As ``read_form``.
    """
    return read_form(body, content_type).fields


def read_form(body: bytes, content_type: str) -> Form:
    """Read a whole form.

    Raises:
        MalformedForm: No multipart body, no boundary, cut short, or far too large in its parts.
    """
    reader = _Reader()
    parser = _parser(content_type, reader)
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise MalformedForm(str(error)) from error
    if not reader.ended:
        raise MalformedForm("the closing boundary is missing")
    return Form(reader.fields, reader.files)


def _parser(content_type: str, reader: _Reader) -> MultipartParser:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise MalformedForm("the content type is not multipart/form-data with a boundary")
    try:
        return MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]
    except FormParserError as error:
        raise MalformedForm(str(error)) from error


class StreamedForm:
    """A form with a file in it, read as it comes.

    Args:
        content_type: With its boundary.
        file: The field that the file is in.

    Raises:
        MalformedForm: The content type is no form's.
    """

    def __init__(self, content_type: str, file: str) -> None:
        self._reader = _Reader(file)
        self._parser = _parser(content_type, self._reader)

    @property
    def fields(self) -> dict[str, str]:
        """The text fields so far."""
        return self._reader.fields

    @property
    def filename(self) -> str | None:
        """What the file is called; None before it has begun."""
        return self._reader.filename

    @property
    def ended(self) -> bool:
        """Whether the closing boundary was there."""
        return self._reader.ended

    def feed(self, some: bytes) -> bytes:
        """Read on; what there is of the file in these bytes.

        Raises:
            MalformedForm: It is no such form, or far too large in its parts.
        """
        try:
            self._parser.write(some)
        except FormParserError as error:
            raise MalformedForm(str(error)) from error
        content = bytes(self._reader.content)
        self._reader.content.clear()
        return content

"""Build the headers and body of a request from the options of `finops jobs submit`."""

import json
import mimetypes
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from shared.surfaces.request_types import BY_NAME, RequestType

# The field of each request type that takes --message.
_MESSAGE_FIELDS = {
    "responses": "input",
    "completions": "prompt",
    "embeddings": "input",
    "moderations": "input",
    "images.generations": "prompt",
    "images.edits": "prompt",
    "audio.speech": "input",
}
_FILE_FIELDS = {
    "audio.transcriptions": "file",
    "audio.translations": "file",
    "images.edits": "image",
    "images.variations": "image",
}
_EXTRA_FIELDS: Mapping[str, Mapping[str, str]] = {"audio.speech": {"voice": "alloy"}}


@dataclass(frozen=True, kw_only=True)
class RequestOptions:
    """The options that describe the request itself."""

    type_name: str
    model: str | None
    message: str | None
    body: str | None
    file: Path | None

    @property
    def request_type(self) -> RequestType:
        """The request type of that name."""
        return BY_NAME[self.type_name]


def body_of(options: RequestOptions) -> dict[str, Any]:
    """Return the request body as keyword arguments of httpx.

    Raises:
        click.UsageError: The options contradict each other or are incomplete.
    """
    if options.body is not None and (options.message is not None or options.file is not None):
        raise click.UsageError("--body is the complete request; it cannot be combined with --message or --file")
    if options.request_type.form == "multipart":
        return _form(options)
    if options.file is not None:
        raise click.UsageError(f"--type {options.type_name} takes no --file")
    if options.body is not None:
        return {"content": _given_body(options.body, options.model)}
    return {"content": json.dumps(_fields(options)).encode()}


def _fields(options: RequestOptions) -> dict[str, Any]:
    if options.message is None:
        raise click.UsageError("no input: pass --message TEXT, or --body FILE (- reads standard input)")
    if options.model is None and "model" in options.request_type.required:
        raise click.UsageError("no model: pass --model PROVIDER/MODEL")
    fields: dict[str, Any] = {} if options.model is None else {"model": options.model}
    if options.type_name == "chat.completions":
        return fields | {"messages": [{"role": "user", "content": options.message}]}
    return (
        fields | {_MESSAGE_FIELDS[options.type_name]: options.message} | dict(_EXTRA_FIELDS.get(options.type_name, {}))
    )


def _form(options: RequestOptions) -> dict[str, Any]:
    if options.file is None:
        raise click.UsageError(f"--type {options.type_name} needs --file")
    fields = {"model": options.model} if options.model else {}
    if options.message is not None:
        field = _MESSAGE_FIELDS.get(options.type_name)
        if field is None:
            raise click.UsageError(f"--type {options.type_name} takes no --message")
        fields[field] = options.message
    kind = mimetypes.guess_type(options.file.name)[0] or "application/octet-stream"
    return {"data": fields, "files": {_FILE_FIELDS[options.type_name]: (options.file.name, _read(options.file), kind)}}


def _given_body(source: str, model: str | None) -> bytes:
    """Read --body; it is parsed only when --model has to replace its model."""
    raw = sys.stdin.buffer.read() if source == "-" else _read(Path(source))
    if model is None:
        return raw
    try:
        fields = json.loads(raw)
    except ValueError as error:
        raise click.UsageError(f"--body is not JSON ({error}), so --model cannot be set in it") from None
    if not isinstance(fields, dict):
        raise click.UsageError("--body is not a JSON object, so --model cannot be set in it")
    return json.dumps(fields | {"model": model}).encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}") from None


def headers_of(**options: str | float | None) -> dict[str, str]:
    """Return the job's headers for the options that are set; ``priority`` becomes ``x-bf-async-priority``."""
    headers = {
        f"x-bf-async-{name.replace('_', '-')}": f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in options.items()
        if value is not None
    }
    key = headers.pop("x-bf-async-idempotency-key", None)
    return headers | ({"idempotency-key": key} if key is not None else {})

"""From the options of `finops jobs submit` to a request's headers and body."""

import json
import mimetypes
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from shared.surfaces.request_types import BY_NAME, RequestType

# How each type says a text: what --message becomes.
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
class Wish:
    """What the command line says of the request itself."""

    type_name: str
    model: str | None
    message: str | None
    body: str | None
    file: Path | None

    @property
    def request_type(self) -> RequestType:
        """Which endpoint."""
        return BY_NAME[self.type_name]


def body_of(wish: Wish) -> dict[str, Any]:
    """The body, as keyword arguments of httpx.

    Raises:
        click.UsageError: The options do not make a request.
    """
    if wish.body is not None and (wish.message is not None or wish.file is not None):
        raise click.UsageError("--body is the whole request: leave out --message and --file")
    if wish.request_type.form == "multipart":
        return _form(wish)
    if wish.file is not None:
        raise click.UsageError(f"--file does not go with --type {wish.type_name}")
    if wish.body is not None:
        return {"content": _given_body(wish.body, wish.model)}
    return {"content": json.dumps(_fields(wish)).encode()}


def _fields(wish: Wish) -> dict[str, Any]:
    if wish.message is None:
        raise click.UsageError("say what to ask: --message TEXT, or --body FILE (- reads standard input)")
    if wish.model is None and "model" in wish.request_type.required:
        raise click.UsageError("say which model to ask: --model PROVIDER/MODEL")
    fields: dict[str, Any] = {} if wish.model is None else {"model": wish.model}
    if wish.type_name == "chat.completions":
        return fields | {"messages": [{"role": "user", "content": wish.message}]}
    return fields | {_MESSAGE_FIELDS[wish.type_name]: wish.message} | dict(_EXTRA_FIELDS.get(wish.type_name, {}))


def _form(wish: Wish) -> dict[str, Any]:
    if wish.file is None:
        raise click.UsageError(f"--type {wish.type_name} needs --file")
    fields = {"model": wish.model} if wish.model else {}
    if wish.message is not None:
        field = _MESSAGE_FIELDS.get(wish.type_name)
        if field is None:
            raise click.UsageError(f"--message does not go with --type {wish.type_name}")
        fields[field] = wish.message
    kind = mimetypes.guess_type(wish.file.name)[0] or "application/octet-stream"
    return {"data": fields, "files": {_FILE_FIELDS[wish.type_name]: (wish.file.name, _read(wish.file), kind)}}


def _given_body(source: str, model: str | None) -> bytes:
    """The body as it was given; only --model makes us look into it."""
    raw = sys.stdin.buffer.read() if source == "-" else _read(Path(source))
    if model is None:
        return raw
    try:
        fields = json.loads(raw)
    except ValueError as error:
        raise click.UsageError(f"--body is not JSON ({error}), so --model cannot be put into it") from None
    if not isinstance(fields, dict):
        raise click.UsageError("--body is no JSON object, so --model cannot be put into it")
    return json.dumps(fields | {"model": model}).encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from None


def headers_of(**options: str | float | None) -> dict[str, str]:
    """The job's headers out of the options that were given; ``priority`` gives ``x-bf-async-priority``."""
    headers = {
        f"x-bf-async-{name.replace('_', '-')}": f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in options.items()
        if value is not None
    }
    key = headers.pop("x-bf-async-idempotency-key", None)
    return headers | ({"idempotency-key": key} if key is not None else {})

"""An inference request's body, read once and checked only as far as a gateway must.

Fields that we do not know are the provider's affair, and so are the values of most that we do: the bytes go on as they
came. Checked is what routing needs (``model``, ``stream``) and what no provider could serve (a missing field).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from shared.errors import InvalidRequest
from shared.surfaces.multipart import Form, MalformedForm, read_form
from shared.surfaces.request_types import RESPONSES, RequestType
from shared.surfaces.unique_model import check_single_model

MAX_MODEL_CHARS = 256
MAX_DEPTH = 200
_TRUE_WORDS = frozenset({"true", "1"})
_FALSE_WORDS = frozenset({"false", "0", ""})
_FILE_FIELDS = frozenset({"file", "image", "mask"})
_RESPONSE_CONTENT = ("input", "prompt", "previous_response_id", "conversation")


class PromptSize(NamedTuple):
    """How much a request has for a model to read.

    Attributes:
        tokens: An upper estimate.
        audio: How many of them are sound.
        kept_1h: Whether it asks for any of it to stay in the provider's cache for an hour.
    """

    tokens: int
    audio: int = 0
    kept_1h: bool = False


class NativeBody(NamedTuple):
    """A request for a chat as its caller wrote it, in another format than OpenAI's.

    Attributes:
        surface: The format: a name in ``RequestContext.surface``.
        body: The caller's bytes.
        fields: The same, parsed, without the gateway's own.
    """

    surface: str
    body: bytes
    fields: Mapping[str, Any]


@dataclass(slots=True)
class RequestBody:
    """A request as read.

    Attributes:
        request_type: Which endpoint's.
        raw: The bytes as they came, which is what is forwarded.
        model: As asked; the type's default, or empty (a response only), where it is absent.
        fields: The JSON object, or the text fields of a form.
        stream: Whether server-sent events are wanted.
        content_type: What the bytes are.
        prompt: How much it has to read, where that was measured already.
    """

    request_type: RequestType
    raw: bytes
    model: str
    fields: dict[str, Any]
    stream: bool
    content_type: str = "application/json"
    prompt: PromptSize | None = None
    native: NativeBody | None = None


def read_request(
    request_type: RequestType, body: bytes, content_type: str, fields: dict[str, Any] | None = None
) -> RequestBody:
    """Read and check a request to be answered now.

    Args:
        request_type: The endpoint.
        body: The bytes as they came.
        content_type: As the caller sent it; JSON endpoints go by the bytes alone.
        fields: The body's JSON object, where it was parsed already; None: it is parsed here.

    Raises:
        InvalidRequest: It is malformed, or lacks what every provider needs; names the field.
    """
    if request_type.form == "multipart":
        return _read_form(request_type, body, content_type)
    fields = read_object(body) if fields is None else fields
    _require(request_type, {name for name, value in fields.items() if value is not None})
    if "messages" in request_type.required:
        _check_messages(fields["messages"])
    return RequestBody(request_type, body, _model(request_type, fields), fields, _wants_stream(request_type, fields))


def _read_form(request_type: RequestType, body: bytes, content_type: str) -> RequestBody:
    try:
        form = read_form(body, content_type)
    except MalformedForm as error:
        raise InvalidRequest(
            f"The body is not the multipart/form-data that this endpoint takes: {str(error)[:200]}."
        ) from None
    fields: dict[str, Any] = dict(form.fields)
    _require(request_type, {name.removesuffix("[]") for name in fields})
    _check_files(form)
    stream = request_type.streams and _form_flag(fields.get("stream"))
    return RequestBody(request_type, body, _model(request_type, fields), fields, stream, content_type)


def _check_files(form: Form) -> None:
    """Refuse text where a file belongs, and files where text does."""
    for name in form.fields:
        plain = name.removesuffix("[]")
        if plain in _FILE_FIELDS and name not in form.files:
            raise InvalidRequest(f"The form field {plain!r} must be a file.", param=plain)
        if plain == "model" and name in form.files:
            raise InvalidRequest("The form field 'model' must be text, not a file.", param="model")


def digest_of(request: RequestBody) -> str:
    """What two equal forms have in common when their bytes differ by their boundary alone; empty for JSON.

    An SDK that repeats a request by itself draws a new boundary.
    """
    _, found, boundary = request.content_type.partition("boundary=")
    if request.request_type.form != "multipart" or not found:
        return ""
    bare = boundary.partition(";")[0].strip().strip('"').encode("latin-1", "replace")
    digest = hashlib.sha256(request.request_type.name.encode())
    at, raw = 0, memoryview(request.raw)  # not copied: it may be large
    while (found_at := request.raw.find(bare, at)) >= 0 and bare:
        digest.update(raw[at:found_at])
        at = found_at + len(bare)
    digest.update(raw[at:])
    return digest.hexdigest()


def check_for_submit(request: RequestBody) -> None:
    """Check what only a job must say: a response's model and content cannot be left to the provider's defaults.

    Raises:
        InvalidRequest: Names the missing field.
    """
    if request.request_type is not RESPONSES:
        return
    if not request.model:
        raise _missing("model")
    if all(request.fields.get(name) is None for name in _RESPONSE_CONTENT):
        raise InvalidRequest(
            "The field 'input' is required (or 'prompt', 'previous_response_id', 'conversation').", param="input"
        )


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object that the body holds.

    Raises:
        InvalidRequest: It is empty, no JSON (NaN, invalid UTF-8 and absurd nesting included) or no object, or it names
            its model twice.
    """
    if not body:
        raise InvalidRequest("The request body is empty; send a JSON object.")
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise not_json(str(error)[:200]) from None
    if type(fields) is not dict:
        raise not_an_object(fields)
    # No more brackets than levels: not too deep. Counting them costs 0.5 us for a short body.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        _check_depth(fields)
    check_single_model(body, fields)
    return fields


def _check_depth(fields: object) -> None:
    level, depth = [fields], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise too_deep()
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
            if isinstance(inner, dict | list)
        ]


def not_json(reason: str) -> InvalidRequest:
    """Return the refusal of a body that is not JSON."""
    return InvalidRequest(f"The request body is not valid JSON: {reason}.")


def not_an_object(value: object) -> InvalidRequest:
    """Return the refusal of a body that holds another JSON value than an object."""
    return InvalidRequest(f"The request body must be a JSON object, not {_kind(value)}.")


def too_deep() -> InvalidRequest:
    """Return the refusal of a body with too many brackets in one another."""
    return InvalidRequest(f"The request body is nested deeper than {MAX_DEPTH} levels.")


def _kind(value: object) -> str:
    return {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(type(value), "a number")


def _missing(name: str) -> InvalidRequest:
    return InvalidRequest(f"The field {name!r} is required.", param=name, code="missing_required_parameter")


def _require(request_type: RequestType, present: set[str]) -> None:
    for name in request_type.required:
        if name in present or (name == "image" and "images" in present):
            continue
        if name == "model" and request_type is RESPONSES:  # OpenAI takes it from a stored prompt
            continue
        raise _missing(name)


def _model(request_type: RequestType, fields: Mapping[str, Any]) -> str:
    model = fields.get("model")
    if model is None:
        return request_type.default_model or ""
    if type(model) is not str:
        raise InvalidRequest("The field 'model' must be a string.", param="model")
    if not model.strip():
        raise InvalidRequest("The field 'model' is empty; name a model, e.g. 'openai/gpt-4o'.", param="model")
    if len(model) > MAX_MODEL_CHARS or not model.isprintable():
        raise InvalidRequest(
            f"The field 'model' must be at most {MAX_MODEL_CHARS} printable characters.", param="model"
        )
    return model.strip()


def _check_messages(messages: object) -> None:
    if type(messages) is not list or not messages:
        raise InvalidRequest("The field 'messages' must be a non-empty array of message objects.", param="messages")
    for at, message in enumerate(messages):
        if type(message) is not dict:
            raise InvalidRequest(f"messages[{at}] must be an object, not {_kind(message)}.", param=f"messages[{at}]")


def _wants_stream(request_type: RequestType, fields: Mapping[str, Any]) -> bool:
    if not request_type.streams:
        return False
    if request_type.binary:  # speech says it otherwise: the bytes of a sound are no events
        return fields.get("stream_format") == "sse"
    stream = fields.get("stream")
    if stream is None:
        return False
    if type(stream) is not bool:
        raise InvalidRequest("The field 'stream' must be a boolean.", param="stream")
    return stream


def _form_flag(value: object) -> bool:
    word = "" if value is None else str(value).strip().lower()
    if word in _TRUE_WORDS:
        return True
    if word in _FALSE_WORDS:
        return False
    raise InvalidRequest("The field 'stream' must be true or false.", param="stream")

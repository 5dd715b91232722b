"""Requests in the format in which their callers wrote them, for providers that speak it too. Pure.

Such a provider gets the caller's bytes, so that its prompt cache finds what it has read before. All else works with the
chat completion request that means the same.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from shared.surfaces import anthropic, genai
from shared.surfaces.json_edits import member_of, with_members, with_model
from shared.surfaces.large_json import dump_object
from shared.surfaces.multipart import form_fields
from shared.surfaces.request_body import NativeBody
from shared.surfaces.request_types import RequestType

FALLBACKS = "fallbacks"
"""The gateway's own field, in every format."""
_CONTENT_TYPE = "application/vnd.finops.{}+json"


def stored_type(native: NativeBody) -> str:
    """Return the content type under which a job stores the body."""
    return _CONTENT_TYPE.format(native.surface)


def forwarded(native: NativeBody, changes: Mapping[str, bytes | None], *, model: str = "") -> bytes:
    """Return the body for a provider, without the gateway's own fields: ``fallbacks`` and ``metadata.run_id``.

    Args:
        native: As it came.
        changes: JSON of members' new values by name; None: left out.
        model: The provider's name of the model; empty: the body does not say it.
    """
    body = with_model(native.body, model) if model else native.body
    ours: dict[str, bytes | None] = {FALLBACKS: None} if b'"fallbacks"' in body else {}
    metadata = native.fields.get("metadata")
    if isinstance(metadata, dict) and "run_id" in metadata:
        ours["metadata"] = with_members(member_of(body, "metadata"), {"run_id": None})
    return with_members(body, {**ours, **changes}) if ours or changes else body


def limited(native: NativeBody, most: int) -> NativeBody | None:
    """Return the body with a limit on its answer, where the format can do without; None: it cannot be put in.

    Args:
        native: Without a limit.
        most: Output tokens.
    """
    if native.surface != "genai" or "generation_config" in native.fields:
        return None
    config = native.fields.get("generationConfig")
    text = b"{}" if config is None else member_of(native.body, "generationConfig")
    limit = with_members(text, {"max_output_tokens": None, "maxOutputTokens": b"%d" % most})
    return native._replace(body=with_members(native.body, {"generationConfig": limit}))


class Payload(NamedTuple):
    """The stored body of a job: as a request in OpenAI's format, and as its caller wrote it if that is another one."""

    body: bytes
    fields: dict[str, Any]
    content_type: str
    native: NativeBody | None = None


_READERS: Mapping[str, Callable[[Mapping[str, Any], str], dict[str, Any]]] = {
    "anthropic": lambda fields, model: {**anthropic.chat_request(fields), "model": model},
    "genai": lambda fields, model: genai.chat_request(fields, model=model),
}
_SURFACES = {_CONTENT_TYPE.format(surface): surface for surface in _READERS}


def stored_payload(request_type: RequestType, body: bytes, content_type: str, model: str) -> Payload:
    """Read the body of a job.

    Args:
        request_type: The job's.
        body: As it is stored; a request that was accepted.
        content_type: Of ``body``; a ``NativeBody.content_type`` says in which format it is.
        model: The job's, with its provider.
    """
    if request_type.form == "multipart":
        return Payload(body, form_fields(body, content_type), content_type)
    fields = orjson.loads(body)
    surface = _SURFACES.get(content_type)
    if surface is None:
        return Payload(body, fields, content_type)
    fallbacks = fields.pop(FALLBACKS, None)
    chat = _READERS[surface](fields, model)
    if fallbacks is not None:
        chat[FALLBACKS] = fallbacks
    return Payload(dump_object(chat, len(body)), chat, "application/json", NativeBody(surface, body, fields))

"""OpenAI's own wire: the caller's bytes go on as they are, the provider's come back as they are.

Only what must change does: the model's name loses its prefix, and the gateway's own fields are taken out.
Source: https://platform.openai.com/docs/api-reference
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from shared.providers.wires.base import (
    MalformedAnswer,
    ProviderRequest,
    StreamTranslation,
    Translated,
    UpstreamRequest,
    Wire,
)
from shared.providers.wires.billed import billed_usage
from shared.providers.wires.reading import plain_text
from shared.surfaces.dialect import Dialect
from shared.surfaces.json_edits import replaced, with_members, with_model
from shared.surfaces.large_json import STEP_BYTES, contains
from shared.surfaces.request_types import EMBEDDINGS, REQUEST_TYPES
from shared.surfaces.responses.conversation import Reasoning
from shared.surfaces.sse import DONE, EventSplitter, EventTooLong, event_data, only_event

# Fields for the gateway, not for the provider.
GATEWAY_FIELDS = frozenset({"fallbacks"})

_ESCAPED_LETTER = b"\\u006"  # the key may be written with escapes: all its letters are U+006x
_MODEL_PART = re.compile(
    rb'(content-disposition:[^\r\n]*\bname="?model"?[^\r\n]*(?:\r\n[^\r\n]+)*\r\n\r\n)(.*?)(?=\r\n--)',
    re.IGNORECASE | re.DOTALL,
)

# What ends a stream, by the ``type`` of its events; the older formats end with ``[DONE]``.
_FINAL_TYPES = frozenset(
    {
        "response.completed",
        "response.incomplete",
        "response.failed",
        "speech.audio.done",
        "transcript.text.done",
        "image_generation.completed",
        "image_edit.completed",
    }
)

TAIL_BYTES = 4096
MAX_PART_BYTES = 8192  # of a form, with its headers: a longer one is found at once
# The usage as the last object of an answer; at most plain members follow it.
_USAGE = re.compile(rb'"usage"\s*+:\s*+(\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\})(?:\s*+,[^{}\[\]]*+)?+\s*+\}', re.DOTALL)
# The request types that tell what a stream used only where ``stream_options.include_usage`` says so.
_COUNTED_WHEN_ASKED = frozenset({"chat.completions", "completions"})


class OpenAIWire(Wire):
    """The wire of OpenAI and of everyone who speaks like it."""

    name = "openai"
    request_types = frozenset(request_type.name for request_type in REQUEST_TYPES)
    reasoning: Reasoning = "none"  # the format has no field for it

    def request(self, request: ProviderRequest) -> UpstreamRequest:
        """The caller's request, with the provider's own name of the model."""
        body = _with_model_part(request) if request.request_type.form == "multipart" else _with_model(request)
        if _is_uncounted(request):
            body = _counted(body, request.fields.get("stream_options"))
        return UpstreamRequest(path=f"/{request.request_type.path}", body=body, content_type=request.content_type)

    def check(self, request: ProviderRequest) -> None:
        """Every request is in this format already."""

    def answer(self, request: ProviderRequest, body: bytes, content_type: str) -> Translated:
        """The provider's bytes; read once, for the usage."""
        if request.request_type.binary or not content_type.startswith("application/json"):
            return Translated(body=body, content_type=content_type)
        if (
            request.request_type is EMBEDDINGS
            and len(body) > STEP_BYTES
            and (counted := _usage_at_end(body)) is not None
        ):
            return Translated(body=body, content_type=content_type, usage=counted)
        try:
            fields = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise MalformedAnswer("the answer says that it is JSON and is not") from error
        usage = fields.get("usage") if isinstance(fields, dict) else None
        if not isinstance(usage, dict):
            return Translated(body=body, content_type=content_type, parsed=fields)
        return Translated(body=body, content_type=content_type, usage=billed_usage(usage, fields), parsed=fields)

    def stream(self, request: ProviderRequest) -> "OpenAIStream":
        """Events forwarded as they are, watched for usage, errors and the end."""
        return OpenAIStream(
            ends_with_done=request.request_type.name in _COUNTED_WHEN_ASKED, uncounted=_is_uncounted(request)
        )

    def error(self, status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """Return the status and OpenAI's error object, with the beginning of a body that is not one."""
        return status, read_error(body)

    def dialect(self, model: str) -> Dialect:  # noqa: ARG002 - of the protocol
        """OpenAI's own fields."""
        return Dialect()


def _usage_at_end(body: bytes) -> dict[str, Any] | None:
    """Return the usage of a large answer if it is behind everything else, as providers of embeddings write it.

    Millions of numbers before it take 0.2 s to parse, all of it in one call that holds the interpreter.
    """
    end = body[-TAIL_BYTES:].rstrip()
    at = end.rfind(b'"usage"')
    found = _USAGE.fullmatch(end, at) if at >= 0 and body[:1] == b"{" else None
    try:
        usage = orjson.loads(found[1]) if found is not None else None
    except orjson.JSONDecodeError:
        return None
    return usage if isinstance(usage, dict) else None


def read_error(body: bytes) -> Mapping[str, Any]:
    """OpenAI's error object out of an error body, however the provider wraps it (object, text, FastAPI's detail)."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"message": plain_text(body)}
    if not isinstance(fields, dict):
        return {"message": plain_text(body)}
    error = fields.get("error", fields.get("detail", fields))
    if isinstance(error, dict):
        return error
    return {"message": str(error)[:2000]}


def _with_model(request: ProviderRequest) -> bytes:
    asked = request.fields.get("model")
    unchanged = asked is None or asked == request.model
    if GATEWAY_FIELDS.isdisjoint(request.fields):
        return request.body if unchanged else with_model(request.body, request.model)
    ours = GATEWAY_FIELDS & request.fields.keys()
    model = {} if unchanged else {"model": orjson.dumps(request.model)}
    return with_members(request.body, {**dict.fromkeys(ours), **model})


def _is_uncounted(request: ProviderRequest) -> bool:
    """Whether the gateway has to ask in its own name what the stream uses; the caller does not see the answer."""
    if not request.counted or request.request_type.name not in _COUNTED_WHEN_ASKED:
        return False
    options = request.fields.get("stream_options")
    return options is None or (isinstance(options, dict) and not options.get("include_usage"))


def _counted(body: bytes, options: Mapping[str, Any] | None) -> bytes:
    """The body, asking for the stream's use.

    Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options
    """
    if options is None and not contains(body, b'"stream_options"') and not contains(body, _ESCAPED_LETTER):
        return replaced(body, body.rindex(b"}"), len(body), b',"stream_options":{"include_usage":true}}')
    return with_members(body, {"stream_options": orjson.dumps({**(options or {}), "include_usage": True})})


def _with_model_part(request: ProviderRequest) -> bytes:
    if request.fields.get("model") in {request.model, None}:
        return request.body
    part = _model_part(request.body)
    return request.body if part is None else replaced(request.body, part.start(2), part.end(2), request.model.encode())


def _model_part(body: bytes) -> re.Match[bytes] | None:
    """Find the part of a form that names the model: a megabyte at a time, as other threads wait meanwhile."""
    for at in range(0, len(body), STEP_BYTES):
        found = _MODEL_PART.search(body, at, at + STEP_BYTES + MAX_PART_BYTES)
        if found is not None:
            return found
    return _MODEL_PART.search(body)


class OpenAIStream(StreamTranslation):
    """One forwarded stream: complete events go on unchanged.

    Args:
        uncounted: The caller did not ask what the stream used: the event that only says that is for the gateway alone.
    """

    __slots__ = (
        "_ends_with_done",
        "_finished",
        "_open",
        "_splitter",
        "_uncounted",
        "complete",
        "error",
        "made",
        "usage",
    )

    def __init__(self, *, ends_with_done: bool, uncounted: bool = False) -> None:
        self._ends_with_done = ends_with_done
        self._uncounted = uncounted
        self._splitter = EventSplitter()
        self._finished = False
        self.made: Mapping[str, Any] | None = None
        self._open: set[object] = set()  # choices without a finish_reason yet
        self.usage: Mapping[str, Any] = {}
        self.complete = False
        self.error: Mapping[str, Any] | None = None

    def feed(self, data: bytes) -> bytes:
        """The complete events in what came; nothing after an error.

        Raises:
            MalformedAnswer: An event's data is not JSON.
        """
        only = None if self._splitter.rest or self.error is not None else only_event(data)
        if only is not None:  # cutting and joining would take a sixth of an event's instructions
            return data if self._watch(only) and self.error is None else b""
        passed = []
        try:
            for event in self._splitter.feed(data):
                if self.error is not None:
                    break
                visible = self._watch(event_data(event))
                if visible and self.error is None:
                    passed.append(event)
        except EventTooLong as error:
            raise MalformedAnswer(str(error)) from error
        return b"".join(passed)

    def end(self) -> bytes:
        """Complete a stream whose choices all have their ``finish_reason``: not every server writes ``[DONE]``."""
        if self.complete or self.error is not None or not self._finished or self._open:
            return b""
        self.complete = True
        return DONE

    def _watch(self, data: bytes) -> bool:
        """Learn from an event's data; whether the caller is to see it."""
        if not data:
            return True
        if data == b"[DONE]":
            self.complete = True
            return True
        try:
            fields = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise MalformedAnswer("an event of the stream is not JSON") from error
        if not isinstance(fields, dict):
            return True
        self._read(fields)
        return not (self._uncounted and fields.get("usage") and fields.get("choices") == [])

    def _read(self, fields: Mapping[str, Any]) -> None:
        error = fields.get("error")
        kind = fields.get("type")
        if error and kind is None:
            self.error = error if isinstance(error, dict) else {"message": str(error)}
        elif kind == "error":
            self.error = error if isinstance(error, dict) else fields
        elif not self._ends_with_done and kind in _FINAL_TYPES:
            self.complete = True
            self.made = fields.get("response")
        if self._ends_with_done:
            self._read_choices(fields.get("choices"))
            if self._finished and self.made is None:
                self.made = {"id": fields.get("id")}
        answer = fields
        if fields.get("usage") is None and self.complete and isinstance(fields.get("response"), dict):
            answer = fields["response"]
        usage = answer.get("usage")
        if usage:
            self.usage = billed_usage(usage, answer) if isinstance(usage, dict) else usage

    def _read_choices(self, choices: object) -> None:
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            index = choice.get("index")
            if choice.get("finish_reason") is None:
                self._open.add(index if isinstance(index, int) else 0)
            else:
                self._finished = True
                self._open.discard(index if isinstance(index, int) else 0)

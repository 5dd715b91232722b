"""Anthropic's own types as a judge of the requests and answers that we make."""

import functools
import typing
from collections.abc import Iterator
from typing import Any

import pydantic
from anthropic.types import Message, RawMessageStreamEvent, StopReason
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)

_MESSAGE: pydantic.TypeAdapter[Message] = pydantic.TypeAdapter(Message)
_EVENT: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(RawMessageStreamEvent)
# The newest version of the API has no sampling; the version that we speak has.
SAMPLING = {"temperature", "top_p", "top_k"}


def judge_request(body: dict[str, Any]) -> None:
    """Raises unless the SDK's types take every field of the request."""
    plain = {name: value for name, value in body.items() if name not in SAMPLING}
    validated = _adapter(bool(body.get("stream"))).validate_python(plain)
    # Its types drop what they do not know, and their iterables validate when they are read.
    assert _read(validated) == plain


@functools.cache
def _adapter(stream: bool) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(MessageCreateParamsStreaming if stream else MessageCreateParamsNonStreaming)


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _read(each) for name, each in value.items()}
    if isinstance(value, list | Iterator) or type(value).__name__ == "ValidatorIterator":
        return [_read(each) for each in value]
    return value


def judge_message(body: dict[str, Any]) -> Message:
    """The SDK's message; raises unless it is one to the letter."""
    return _MESSAGE.validate_python(body, strict=True)


def judge_event(body: dict[str, Any]) -> None:
    """Raises unless the SDK knows the event."""
    if body["type"] != "ping":
        _EVENT.validate_python(body)


STOP_REASONS: tuple[str, ...] = typing.get_args(StopReason)

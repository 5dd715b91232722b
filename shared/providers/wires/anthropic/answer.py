"""A complete Message, its usage, and errors, in OpenAI's format.

Sources: https://platform.claude.com/docs/en/api/messages, https://platform.claude.com/docs/en/api/errors
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.providers.wires.anthropic.decoder import ContentDecoder, join_deltas
from shared.providers.wires.base import MalformedAnswer, ProviderRequest, Translated
from shared.providers.wires.reading import read_json_object

OVERLOADED_STATUS = 529
_TIERS = {"standard": "default", "priority": "priority"}


def read_answer(request: ProviderRequest, body: bytes, *, answer_by_tool: bool) -> Translated:
    """A chat completion made of a Message.

    Raises:
        MalformedAnswer: It is no Message.
    """
    message = read_json_object(body, "the answer")
    content = message.get("content")
    if message.get("type") != "message" or not isinstance(content, list):
        raise MalformedAnswer("the answer is not a message")
    saying = ContentDecoder(answer_by_tool=answer_by_tool)
    deltas = []
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            raise MalformedAnswer("a content block is not an object")
        deltas += saying.open(index, block) + saying.close(index)
    last, finish_reason, more = saying.finish(message)
    spoken = join_deltas([*deltas, last])
    choice = {"index": 0, "message": spoken, "logprobs": None, "finish_reason": finish_reason, **more}
    usage = read_usage(message.get("usage"))
    answer = head_of(request, message) | {"object": "chat.completion", "choices": [choice], "usage": usage}
    return Translated(body=orjson.dumps(answer), usage=usage)


def head_of(request: ProviderRequest, message: Mapping[str, Any]) -> dict[str, Any]:
    """What a completion and every chunk of it begin with."""
    head = {
        "id": str(message.get("id") or request.answer_id),
        "object": "chat.completion.chunk",
        "created": request.created,
        "model": str(message.get("model") or request.model),
        "system_fingerprint": None,
    }
    usage = message.get("usage")
    tier = _TIERS.get(str(usage.get("service_tier"))) if isinstance(usage, Mapping) else None
    return head | ({"service_tier": tier} if tier else {})


def read_usage(usage: object) -> dict[str, Any]:
    """Token counts in OpenAI's names, where the prompt counts what was read from and written to caches too.

    Raises:
        MalformedAnswer: The counts are no numbers.
    """
    if not isinstance(usage, Mapping):
        raise MalformedAnswer("the answer has no usage")
    details = usage.get("output_tokens_details") or {}
    read, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    prompt = _count(usage, "input_tokens") + read + written
    completion = _count(usage, "output_tokens")
    thought = _count(details, "thinking_tokens") if isinstance(details, Mapping) else 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise MalformedAnswer(f"{name} is not a count")
    return value


def read_error(status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
    """The status to pass on and OpenAI's error object, or the best that can be said of what came instead.

    529 (overloaded) is this provider's own; OpenAI's clients know 503.
    """
    status = 503 if status == OVERLOADED_STATUS else status
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body[:500].decode("utf-8", "replace").strip()
        return status, {"message": "" if text.startswith("<") else text}
    if isinstance(fields, list) and fields:
        # Google's gateway in front of the model wraps errors into an array in streams.
        fields = fields[0]
    return status, error_object(fields.get("error", fields) if isinstance(fields, dict) else fields)


def error_object(error: object) -> dict[str, Any]:
    """OpenAI's error object for the provider's ``error``, whose ``type`` serves as the code too."""
    if not isinstance(error, Mapping):
        return {"message": str(error)[:2000]}
    kind = error.get("type") or error.get("status")
    kind = None if kind is None else str(kind)
    return {"message": str(error.get("message") or ""), "type": kind, "param": None, "code": kind}

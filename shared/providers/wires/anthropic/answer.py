"""A complete Message, its usage, and errors, in OpenAI's format.

Sources: https://platform.claude.com/docs/en/api/messages, https://platform.claude.com/docs/en/api/errors
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.providers.wires.anthropic.decoder import ContentDecoder
from shared.providers.wires.base import MalformedAnswer, ProviderRequest, Translated
from shared.providers.wires.billed import SEARCHES
from shared.providers.wires.chunks import join_deltas, whole_answer
from shared.providers.wires.reading import plain_text, read_count, read_json_object

OVERLOADED_STATUS = 529
_PRICED_TIERS = frozenset({"priority", "batch"})
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
    decoder = ContentDecoder(answer_by_tool=answer_by_tool)
    deltas = []
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            raise MalformedAnswer("a content block is not an object")
        deltas += decoder.open(index, block) + decoder.close(index)
    last, finish_reason, more = decoder.finish(message)
    choice = {"message": join_deltas([*deltas, last]), "finish_reason": finish_reason, **more}
    return whole_answer(request, [choice], read_usage(message.get("usage")), head_of(message))


def head_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provider's own fields for the head of a completion and its chunks."""
    head = {name: str(message[name]) for name in ("id", "model") if message.get(name)}
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
    read, written = read_count(usage, "cache_read_input_tokens"), read_count(usage, "cache_creation_input_tokens")
    prompt = read_count(usage, "input_tokens") + read + written
    completion = read_count(usage, "output_tokens")
    thought = read_count(details, "thinking_tokens") if isinstance(details, Mapping) else 0
    written_1h = _nested(usage, "cache_creation", "ephemeral_1h_input_tokens")
    searches = _nested(usage, "server_tool_use", SEARCHES)
    tier = str(usage.get("service_tier"))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": read,
            "cache_write_tokens": written,
            **({"cache_write_1h_tokens": written_1h} if written_1h else {}),
        },
        "completion_tokens_details": {"reasoning_tokens": thought},
        **({"server_tool_use": {SEARCHES: searches}} if searches else {}),
        **({"service_tier": tier} if tier in _PRICED_TIERS else {}),
    }


def _nested(usage: Mapping[str, Any], group: str, name: str) -> int:
    counts = usage.get(group)
    return read_count(counts, name) if isinstance(counts, Mapping) else 0


def read_error(status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
    """Return the status to pass on and OpenAI's error object, with the beginning of a body that is not JSON.

    529 (overloaded) is this provider's own; OpenAI's clients know 503.
    """
    status = 503 if status == OVERLOADED_STATUS else status
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return status, {"message": plain_text(body)}
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

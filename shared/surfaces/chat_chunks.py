"""A whole chat completion as a stream. Pure.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.surfaces.sse import DONE, encode_event


def as_stream(completion: Mapping[str, Any]) -> bytes:
    """The events of a stream, for whoever asked for one where the provider answered at once."""
    choices = [_piece(choice) for choice in completion.get("choices") or []]
    chunk = {**completion, "object": "chat.completion.chunk", "choices": choices}
    return encode_event(orjson.dumps(chunk)) + DONE


def replayed(completion: Mapping[str, Any], *, include_usage: bool) -> list[bytes]:
    """The events of a whole answer as a provider would have streamed it: content, end, usage if asked for, ``[DONE]``.

    Args:
        completion: The whole answer.
        include_usage: Whether ``stream_options`` asks for a chunk with the usage.
    """
    head = {name: value for name, value in completion.items() if name not in {"choices", "usage", "object"}}
    head["object"] = "chat.completion.chunk"
    choices = completion.get("choices") or []
    begun = [{**_begun(_piece(choice)), "finish_reason": None} for choice in choices]
    ended = [_ended(choice) for choice in choices]
    chunks = [{**head, "choices": begun}, {**head, "choices": ended}]
    if include_usage:
        chunks = [{**chunk, "usage": None} for chunk in chunks]
        chunks.append({**head, "choices": [], "usage": completion.get("usage")})
    return [*(encode_event(orjson.dumps(chunk)) for chunk in chunks), DONE]


def _ended(choice: Mapping[str, Any]) -> dict[str, Any]:
    reason = choice.get("finish_reason")
    return {"index": choice.get("index", 0), "delta": {}, "logprobs": None, "finish_reason": reason}


def _begun(piece: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a delta what a whole message says by being empty."""
    delta = {name: value for name, value in piece["delta"].items() if value is not None and value != []}
    return {**piece, "delta": delta}


def _piece(choice: Mapping[str, Any]) -> dict[str, Any]:
    delta = dict(choice.get("message") or {})
    calls = delta.get("tool_calls")
    if calls:
        delta["tool_calls"] = [{**call, "index": index} for index, call in enumerate(calls)]
    return {**{name: value for name, value in choice.items() if name != "message"}, "delta": delta}

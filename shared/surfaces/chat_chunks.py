"""A whole chat completion as a stream of one chunk. Pure.

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


def _piece(choice: Mapping[str, Any]) -> dict[str, Any]:
    delta = dict(choice.get("message") or {})
    calls = delta.get("tool_calls")
    if calls:
        delta["tool_calls"] = [{**call, "index": index} for index, call in enumerate(calls)]
    return {**{name: value for name, value in choice.items() if name != "message"}, "delta": delta}

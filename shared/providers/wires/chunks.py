"""Writes chat completions and their chunks for wires whose providers know neither. Pure.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from shared.providers.wires.base import ProviderRequest, Translated
from shared.surfaces.sse import DONE, encode_event

Delta = dict[str, Any]


def head_of(request: ProviderRequest, more: Mapping[str, Any]) -> dict[str, Any]:
    """What a completion and each of its chunks begin with; ``more`` replaces and adds."""
    return {
        "id": request.answer_id,
        "object": "chat.completion.chunk",
        "created": request.created,
        "model": request.model,
        "system_fingerprint": None,
        **more,
    }


def whole_answer(
    request: ProviderRequest, choices: Iterable[Mapping[str, Any]], usage: Mapping[str, Any], more: Mapping[str, Any]
) -> Translated:
    """A complete answer; choices are numbered unless they say their ``index``."""
    completion = head_of(request, more) | {
        "object": "chat.completion",
        "choices": [{"index": index, "logprobs": None, **choice} for index, choice in enumerate(choices)],
        "usage": usage,
    }
    return Translated(body=orjson.dumps(completion), usage=usage, parsed=completion)


def join_deltas(deltas: Iterable[Delta]) -> dict[str, Any]:
    """The message that the deltas of a whole answer make."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    for delta in deltas:
        for name, value in delta.items():
            if name == "tool_calls":
                _join_calls(message.setdefault(name, []), value)
            elif name == "thinking_blocks":
                plain = [{key: each for key, each in item.items() if key != "index"} for item in value]
                message.setdefault(name, []).extend(plain)
            elif isinstance(value, str):
                message[name] = (message.get(name) or "") + value
            else:
                message[name] = value
    return message


def _join_calls(calls: list[dict[str, Any]], pieces: Iterable[Mapping[str, Any]]) -> None:
    for piece in pieces:
        if "id" in piece:
            whole = {key: value for key, value in piece.items() if key != "index"}
            calls.append({**whole, "function": dict(piece["function"])})
        else:
            calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]


class ChunkWriter:
    """The chunks of one streamed answer, as bytes.

    Args:
        more: For the head of every chunk.
    """

    __slots__ = ("_head", "_with_usage")

    def __init__(self, request: ProviderRequest, more: Mapping[str, Any] | None = None) -> None:
        options = request.fields.get("stream_options")
        self._with_usage = isinstance(options, Mapping) and options.get("include_usage") is True
        self._head = head_of(request, more or {})

    @property
    def answer_id(self) -> str:
        """The id of the completion."""
        return str(self._head["id"])

    def begin(self) -> bytes:
        """Write the role."""
        return self.write([{"role": "assistant", "content": None}])

    def write(self, deltas: Iterable[Delta], logprobs: object = None, index: int = 0) -> bytes:
        """Write a chunk for each delta of a choice."""
        return b"".join(self._chunk([_choice(index, delta, None, logprobs)]) for delta in deltas)

    def finish(self, delta: Delta, reason: str, more: Mapping[str, Any] | None = None, index: int = 0) -> bytes:
        """Write the last chunk of a choice.

        Args:
            delta: What is still to be added.
            reason: Why the choice ends.
            more: Further fields of the choice.
            index: Which choice.
        """
        return self._chunk([{**_choice(index, delta, reason, None), **(more or {})}])

    def end(self, usage: Mapping[str, Any]) -> bytes:
        """Write the usage, where it was asked for, and the end of the stream."""
        return (self._chunk([], usage) if self._with_usage else b"") + DONE

    def _chunk(self, choices: list[dict[str, Any]], usage: Mapping[str, Any] | None = None) -> bytes:
        chunk = {**self._head, "choices": choices}
        if self._with_usage:
            chunk["usage"] = usage
        return encode_event(orjson.dumps(chunk))


def _choice(index: int, delta: Delta, reason: str | None, logprobs: object) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}

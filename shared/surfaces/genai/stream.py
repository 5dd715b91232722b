"""OpenAI's chunks as streamed GenerateContentResponses.

The SDK for Python reads lines that do not begin with ``data: `` as part of an error, so there are no comments in what
comes out.
Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.surfaces.genai.answer import (
    bare_response,
    call_part,
    candidate_of,
    encode_parts,
    error_of,
    finish_of,
    google_of,
    prompt_feedback,
    usage_of,
)
from shared.surfaces.sse import EventSplitter, encode_event, event_data

_UNKNOWN_STATUS = 500


class ResponseEvents:
    """One stream being re-encoded, from the bytes of chat completion chunks to those of this format.

    Calls of functions are whole in this format, so each is kept until it is complete; the finish reason waits for the
    usage, which OpenAI's format tells after it.

    Args:
        as_array: The caller did not ask for ``alt=sse``: one JSON array instead of events.

    Attributes:
        ended: The last response or an error was given; nothing follows.
    """

    __slots__ = ("_as_array", "_begun", "_choices", "_head", "_splitter", "_usage", "ended")

    def __init__(self, *, as_array: bool = False) -> None:
        self._as_array = as_array
        self._begun = False
        self._splitter = EventSplitter()
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: object = None
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """The responses that the bytes complete; nothing for comments, which only keep connections alive."""
        out: list[bytes] = []
        for event in self._splitter.feed(data):
            text = event_data(event)
            if self.ended:
                break
            if text == b"[DONE]":
                self._finish(out)
            elif text:
                self._read(orjson.loads(text), out)
        return b"".join(out)

    def fail(self, status: int, error: Mapping[str, Any]) -> bytes:
        """What the stream breaks off with."""
        return self._last(error_of(status, error))

    def _read(self, chunk: Mapping[str, Any], out: list[bytes]) -> None:
        error = chunk.get("error")
        if error:
            fields = error if isinstance(error, Mapping) else {"message": str(error)}
            status = fields.get("status")
            out.append(self.fail(status if isinstance(status, int) else _UNKNOWN_STATUS, fields))
            return
        self._head = self._head or bare_response(chunk)
        self._usage = chunk.get("usage") or self._usage
        candidates = []
        for piece in chunk.get("choices") or []:
            index = piece.get("index", 0)
            choice = self._choices.setdefault(index, _Choice())
            parts, logprobs = choice.add(piece), piece.get("logprobs")
            if parts or logprobs:
                candidates.append(candidate_of(index, parts, logprobs=logprobs))
        if candidates:
            out.append(self._encode({**self._head, "candidates": candidates}))

    def _finish(self, out: list[bytes]) -> None:
        feedback = next((choice.feedback for choice in self._choices.values() if choice.feedback is not None), None)
        candidates = [candidate_of(index, *choice.end()) for index, choice in sorted(self._choices.items())]
        content = {"candidates": candidates} if feedback is None else {"promptFeedback": feedback}
        out.append(self._last({**self._head, **content, "usageMetadata": usage_of(self._usage)}))

    def _encode(self, response: Mapping[str, Any]) -> bytes:
        data = orjson.dumps(response)
        if not self._as_array:
            return encode_event(data)
        opening = b",\r\n" if self._begun else b"["
        self._begun = True
        return opening + data

    def _last(self, response: Mapping[str, Any]) -> bytes:
        self.ended = True
        return self._encode(response) + (b"]" if self._as_array else b"")


class _Choice:
    """State of one choice that is not yet written."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, Any]] = {}
        self._google: dict[str, Any] = {}
        self._finish: str | None = None
        self.feedback: Mapping[str, Any] | None = None

    def add(self, piece: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The parts that a piece completes."""
        delta = piece.get("delta") or {}
        self._finish = piece.get("finish_reason") or self._finish
        self._google |= {name: value for name, value in google_of(delta).items() if name != "parts"}
        self.feedback = prompt_feedback(delta) or self.feedback
        if self.feedback is not None:
            return []
        fields = {name: value for name, value in delta.items() if name != "role"}
        parts = encode_parts(fields)
        for call in delta.get("tool_calls") or []:
            parts += self._call(call)
        return parts

    def _call(self, call: Mapping[str, Any]) -> list[dict[str, Any]]:
        index, function = int(call.get("index") or 0), call.get("function") or {}
        ended = [] if index in self._calls else self._ended_calls()
        known = self._calls.setdefault(index, {"function": {"name": "", "arguments": ""}})
        known["function"]["name"] = known["function"]["name"] or function.get("name") or ""
        known["function"]["arguments"] += function.get("arguments") or ""
        known |= {name: call[name] for name in ("id", "extra_content") if call.get(name) is not None}
        return ended

    def _ended_calls(self) -> list[dict[str, Any]]:
        """The calls so far, which another one ends."""
        calls, self._calls = self._calls, {}
        return [call_part(call) for _, call in sorted(calls.items())]

    def end(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The last parts, and how it ended."""
        parts = self._ended_calls()
        if "thought_signature" in self._google:
            parts.insert(0, {"text": "", "thoughtSignature": self._google["thought_signature"]})
        return parts, finish_of({"finish_reason": self._finish}, self._google)

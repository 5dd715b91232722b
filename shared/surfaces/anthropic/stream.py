"""OpenAI's chunks as Anthropic's events, each with its ``event:`` line: the SDKs drop nameless ones.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.surfaces.anthropic.answer import bare_message, error_of, stop_of, usage_of
from shared.surfaces.fields import MISSHAPEN
from shared.surfaces.sse import EventSplitter, encode_event, event_data

_UNKNOWN_STATUS = 500


class MessageEvents:
    """One stream being re-encoded, from the bytes of complete or cut events to those of Anthropic's events.

    A block begins and ends around each change of content: thinking, text, a tool call.

    Args:
        request_id: Said in error events.

    Attributes:
        ended: ``message_stop`` or an error was given; nothing follows.
    """

    __slots__ = (
        "_choice",
        "_index",
        "_open",
        "_refusal",
        "_request_id",
        "_splitter",
        "_started",
        "_tools",
        "_usage",
        "ended",
    )

    def __init__(self, *, request_id: str | None = None) -> None:
        self._request_id = request_id
        self._splitter = EventSplitter()
        self._open: tuple[str, int] | None = None
        self._index = -1
        self._tools: set[int] = set()
        self._choice: dict[str, Any] = {}
        self._refusal: str = ""
        self._usage: object = None
        self._started = False
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """The events that the bytes complete; comments (which keep connections alive) become pings."""
        out: list[bytes] = []
        for event in self._splitter.feed(data):
            if self.ended:
                break
            text = event_data(event)
            if not text:
                out.append(_event("ping", {}))
            elif text == b"[DONE]":
                self._finish(out)
            else:
                self._try(text, out)
        return b"".join(out)

    def fail(self, status: int, error: Mapping[str, Any]) -> bytes:
        """The event with which the stream breaks off."""
        self.ended = True
        return _event("error", error_of(status, error, self._request_id))

    def _try(self, text: bytes, out: list[bytes]) -> None:
        try:
            self._read(orjson.loads(text), out)
        except MISSHAPEN:
            # Wires of OpenAI's format pass on what came; this is the first place that reads all of it.
            out.append(self.fail(502, {"message": "The provider's stream is not one of chat completion chunks."}))

    def _read(self, chunk: Mapping[str, Any], out: list[bytes]) -> None:
        error = chunk.get("error")
        if error:
            fields = error if isinstance(error, Mapping) else {"message": str(error)}
            status = fields.get("status")
            out.append(self.fail(status if isinstance(status, int) else _UNKNOWN_STATUS, fields))
            return
        if not self._started:
            self._start(chunk, out)
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        for choice in chunk.get("choices") or []:
            if choice.get("index", 0) == 0:
                self._write(choice.get("delta") or {}, out)
                self._choice |= {name: value for name, value in choice.items() if value is not None}
            if self.ended:
                return

    def _start(self, chunk: Mapping[str, Any], out: list[bytes]) -> None:
        self._started = True
        message = bare_message(str(chunk.get("id", "")), str(chunk.get("model", "")))
        message["usage"] = usage_of(chunk.get("usage"))
        out.append(_event("message_start", {"message": message}))

    def _write(self, delta: Mapping[str, Any], out: list[bytes]) -> None:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought:
            self._think(thought, out)
        for block in delta.get("thinking_blocks") or []:
            self._seal(block, out)
        text = delta.get("content") or delta.get("refusal")
        self._refusal += delta.get("refusal") or ""
        if text:
            self._switch("text", 0, {"type": "text", "text": ""}, out)
            self._extend({"type": "text_delta", "text": text}, out)
        for call in delta.get("tool_calls") or []:
            self._call(call, out)

    def _think(self, thought: str, out: list[bytes]) -> None:
        self._switch("thinking", 0, {"type": "thinking", "thinking": "", "signature": ""}, out)
        if thought:
            self._extend({"type": "thinking_delta", "thinking": thought}, out)

    def _seal(self, block: Mapping[str, Any], out: list[bytes]) -> None:
        """A whole thought: its text was streamed before, its signature was not."""
        if block.get("type") == "redacted_thinking":
            self._close(out)
            self._switch("redacted", 0, {"type": "redacted_thinking", "data": block.get("data", "")}, out)
        else:
            if self._open != ("thinking", 0):
                self._think(str(block.get("thinking") or ""), out)
            self._extend({"type": "signature_delta", "signature": block.get("signature") or ""}, out)
        self._close(out)

    def _call(self, call: Mapping[str, Any], out: list[bytes]) -> None:
        number, function = int(call.get("index") or 0), call.get("function") or {}
        if self._open != ("tool", number) and number in self._tools:
            # A block that has ended cannot go on, and to tell half a call would be worse than to stop.
            out.append(self.fail(502, {"message": "The provider mixed the arguments of two tool calls."}))
            return
        self._tools.add(number)
        begun: dict[str, Any] = {
            "type": "tool_use",
            "id": call.get("id"),
            "name": function.get("name"),
            "input": {},
        }
        self._switch("tool", number, begun, out)
        if function.get("arguments"):
            self._extend({"type": "input_json_delta", "partial_json": function["arguments"]}, out)

    def _switch(self, kind: str, number: int, block: Mapping[str, Any], out: list[bytes]) -> None:
        if self._open == (kind, number):
            return
        self._close(out)
        self._open = (kind, number)
        self._index += 1
        out.append(_event("content_block_start", {"index": self._index, "content_block": block}))

    def _extend(self, delta: Mapping[str, Any], out: list[bytes]) -> None:
        out.append(_event("content_block_delta", {"index": self._index, "delta": delta}))

    def _close(self, out: list[bytes]) -> None:
        if self._open is not None:
            self._open = None
            out.append(_event("content_block_stop", {"index": self._index}))

    def _finish(self, out: list[bytes]) -> None:
        """The end; usage comes in a chunk behind the finish reason, so neither is written before."""
        if not self._started:
            self._start({}, out)
        self._close(out)
        stop = stop_of(self._choice, refusal=self._refusal, calls=bool(self._tools))
        out.append(_event("message_delta", {"delta": stop, "usage": usage_of(self._usage)}))
        out.append(_event("message_stop", {}))
        self.ended = True


def _event(name: str, fields: Mapping[str, Any]) -> bytes:
    return encode_event(orjson.dumps({"type": name, **fields}), name=name)

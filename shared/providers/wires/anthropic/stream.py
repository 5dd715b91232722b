"""A streamed Message as OpenAI's chunks.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from shared.providers.wires.anthropic.answer import error_object, head_of, read_usage
from shared.providers.wires.anthropic.decoder import ContentDecoder, Delta
from shared.providers.wires.base import MalformedAnswer, ProviderRequest
from shared.providers.wires.reading import read_json_object
from shared.surfaces.sse import DONE, EventSplitter, EventTooLong, encode_event, event_data


class AnthropicStream:
    """One stream being translated; see ``StreamTranslation``."""

    __slots__ = (
        "_chunk",
        "_counts",
        "_finished",
        "_request",
        "_saying",
        "_splitter",
        "_with_usage",
        "complete",
        "error",
        "usage",
    )

    def __init__(self, request: ProviderRequest, *, answer_by_tool: bool) -> None:
        options = request.fields.get("stream_options")
        self._request = request
        self._with_usage = isinstance(options, Mapping) and options.get("include_usage") is True
        self._splitter = EventSplitter()
        self._saying = ContentDecoder(answer_by_tool=answer_by_tool)
        self._chunk: dict[str, Any] | None = None
        self._counts: dict[str, Any] = {}
        self._finished = False
        self.usage: Mapping[str, Any] = {}
        self.complete = False
        self.error: Mapping[str, Any] | None = None

    def feed(self, data: bytes) -> bytes:
        """The chunks that the bytes complete; nothing after the end or an error.

        Raises:
            MalformedAnswer: The bytes are not of the format.
        """
        out: list[bytes] = []
        try:
            for event in self._splitter.feed(data):
                if self.complete or self.error is not None:
                    break
                text = event_data(event)
                if text:
                    self._read(read_json_object(text, "an event of the stream"), out)
        except EventTooLong as error:
            raise MalformedAnswer(str(error)) from error
        return b"".join(out)

    def _read(self, event: Mapping[str, Any], out: list[bytes]) -> None:
        kind = event.get("type")
        if kind == "error":
            self.error = error_object(event.get("error"))
            return
        reader = _READERS.get(kind) if isinstance(kind, str) else None
        if reader is None:
            return  # ping, and what the provider may add: its versioning policy allows new events at any time
        if self._chunk is None and kind != "message_start":
            raise MalformedAnswer(f"the stream begins with {kind}")
        reader(self, event, out)

    def _start(self, event: Mapping[str, Any], out: list[bytes]) -> None:
        message = _object(event, "message")
        self._chunk = head_of(self._request, message)
        self._count(message.get("usage"))
        self._say([{"role": "assistant", "content": None}], out)

    def _open(self, event: Mapping[str, Any], out: list[bytes]) -> None:
        self._say(self._saying.open(_index(event), _object(event, "content_block")), out)

    def _extend(self, event: Mapping[str, Any], out: list[bytes]) -> None:
        self._say(self._saying.extend(_index(event), _object(event, "delta")), out)

    def _close(self, event: Mapping[str, Any], out: list[bytes]) -> None:
        self._say(self._saying.close(_index(event)), out)

    def _finish(self, event: Mapping[str, Any], out: list[bytes]) -> None:
        self._count(event.get("usage"))
        ending = _object(event, "delta")
        if ending.get("stop_reason") is None:
            return
        delta, reason, more = self._saying.finish(ending)
        self._finished = True
        out.append(self._event([{**self._choice(delta, reason), **more}]))

    def _stop(self, _event: Mapping[str, Any], out: list[bytes]) -> None:
        if not self._finished:
            raise MalformedAnswer("the stream ends without a stop reason")
        if self._with_usage:
            out.append(self._event([], self.usage))
        out.append(DONE)
        self.complete = True

    def _count(self, usage: object) -> None:
        """The counts are cumulative: what comes later replaces what came before."""
        if isinstance(usage, Mapping):
            self._counts |= {name: value for name, value in usage.items() if value is not None}
            self.usage = read_usage(self._counts)

    def _say(self, deltas: list[Delta], out: list[bytes]) -> None:
        out.extend(self._event([self._choice(delta, None)]) for delta in deltas)

    def _choice(self, delta: Delta, reason: str | None) -> dict[str, Any]:
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}

    def _event(self, choices: list[dict[str, Any]], usage: Mapping[str, Any] | None = None) -> bytes:
        chunk = {**(self._chunk or {}), "choices": choices}
        if self._with_usage:
            chunk["usage"] = usage
        return encode_event(orjson.dumps(chunk))


def _object(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = event.get(name)
    if not isinstance(value, Mapping):
        raise MalformedAnswer(f"an event without {name}")
    return value


def _index(event: Mapping[str, Any]) -> int:
    index = event.get("index")
    if not isinstance(index, int):
        raise MalformedAnswer("an event without the index of its block")
    return index


_READERS: Mapping[str, Callable[[AnthropicStream, Mapping[str, Any], list[bytes]], None]] = {
    "message_start": AnthropicStream._start,  # noqa: SLF001 - its own table
    "content_block_start": AnthropicStream._open,  # noqa: SLF001
    "content_block_delta": AnthropicStream._extend,  # noqa: SLF001
    "content_block_stop": AnthropicStream._close,  # noqa: SLF001
    "message_delta": AnthropicStream._finish,  # noqa: SLF001
    "message_stop": AnthropicStream._stop,  # noqa: SLF001
}

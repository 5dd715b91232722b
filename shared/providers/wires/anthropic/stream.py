"""A streamed Message as OpenAI's chunks.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Callable, Mapping
from typing import Any

from shared.providers.wires.anthropic.answer import error_object, head_of, read_usage
from shared.providers.wires.anthropic.decoder import ContentDecoder
from shared.providers.wires.base import MalformedAnswer, ProviderRequest, StreamTranslation
from shared.providers.wires.blocks import index_of, object_of
from shared.providers.wires.chunks import ChunkWriter
from shared.providers.wires.reading import read_json_object
from shared.surfaces.sse import EventSplitter, EventTooLong, event_data


class AnthropicStream(StreamTranslation):
    """One stream being translated; see ``StreamTranslation``."""

    __slots__ = ("_counts", "_decoder", "_finished", "_request", "_splitter", "_writer", "complete", "error", "usage")

    def __init__(self, request: ProviderRequest, *, answer_by_tool: bool) -> None:
        self._request = request
        self._splitter = EventSplitter()
        self._decoder = ContentDecoder(answer_by_tool=answer_by_tool)
        self._writer: ChunkWriter | None = None
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
                    out.append(self._read(read_json_object(text, "an event of the stream")))
        except EventTooLong as error:
            raise MalformedAnswer(str(error)) from error
        return b"".join(out)

    def _read(self, event: Mapping[str, Any]) -> bytes:
        kind = event.get("type")
        if kind == "error":
            self.error = error_object(event.get("error"))
            return b""
        reader = _READERS.get(kind) if isinstance(kind, str) else None
        if reader is None:
            return b""  # ping, and what the provider may add: its versioning policy allows new events at any time
        if self._writer is None:
            if kind != "message_start":
                raise MalformedAnswer(f"the stream begins with {kind}")
            self._writer = ChunkWriter(self._request, head_of(object_of(event, "message")))
        return reader(self, self._writer, event)

    def _start(self, writer: ChunkWriter, event: Mapping[str, Any]) -> bytes:
        self._count(object_of(event, "message").get("usage"))
        return writer.begin()

    def _open(self, writer: ChunkWriter, event: Mapping[str, Any]) -> bytes:
        return writer.write(self._decoder.open(index_of(event, "index"), object_of(event, "content_block")))

    def _extend(self, writer: ChunkWriter, event: Mapping[str, Any]) -> bytes:
        return writer.write(self._decoder.extend(index_of(event, "index"), object_of(event, "delta")))

    def _close(self, writer: ChunkWriter, event: Mapping[str, Any]) -> bytes:
        return writer.write(self._decoder.close(index_of(event, "index")))

    def _finish(self, writer: ChunkWriter, event: Mapping[str, Any]) -> bytes:
        self._count(event.get("usage"))
        ending = object_of(event, "delta")
        if ending.get("stop_reason") is None:
            return b""
        self._finished = True
        return writer.finish(*self._decoder.finish(ending))

    def _stop(self, writer: ChunkWriter, _event: Mapping[str, Any]) -> bytes:
        if not self._finished:
            raise MalformedAnswer("the stream ends without a stop reason")
        self.complete = True
        return writer.end(self.usage)

    def _count(self, usage: object) -> None:
        """The counts are cumulative: what comes later replaces what came before."""
        if isinstance(usage, Mapping):
            self._counts |= {name: value for name, value in usage.items() if value is not None}
            self.usage = read_usage(self._counts)


_READERS: Mapping[str, Callable[[AnthropicStream, ChunkWriter, Mapping[str, Any]], bytes]] = {
    "message_start": AnthropicStream._start,  # noqa: SLF001 - its own table
    "content_block_start": AnthropicStream._open,  # noqa: SLF001
    "content_block_delta": AnthropicStream._extend,  # noqa: SLF001
    "content_block_stop": AnthropicStream._close,  # noqa: SLF001
    "message_delta": AnthropicStream._finish,  # noqa: SLF001
    "message_stop": AnthropicStream._stop,  # noqa: SLF001
}

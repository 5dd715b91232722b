"""A streamed answer as OpenAI's chunks.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
"""

from collections.abc import Callable, Mapping
from typing import Any

from shared.providers.wires.base import MalformedAnswer, ProviderRequest, StreamTranslation
from shared.providers.wires.bedrock.answer import error_object, read_usage
from shared.providers.wires.bedrock.decoder import ContentDecoder
from shared.providers.wires.bedrock.frames import Frame, FrameSplitter
from shared.providers.wires.blocks import index_of, object_of
from shared.providers.wires.chunks import ChunkWriter
from shared.providers.wires.reading import read_json_object


class BedrockStream(StreamTranslation):
    """One stream being translated; see ``StreamTranslation``.

    Its end is the event with the usage: the stop reason comes before it.
    """

    __slots__ = ("_begun", "_decoder", "_finished", "_splitter", "_writer", "complete", "error", "usage")

    def __init__(self, request: ProviderRequest, *, answer_by_tool: bool) -> None:
        self._splitter = FrameSplitter()
        self._decoder = ContentDecoder(answer_by_tool=answer_by_tool)
        self._writer = ChunkWriter(request)
        self._begun = False
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
        for frame in self._splitter.feed(data):
            if self.complete or self.error is not None:
                break
            out.append(self._read(frame))
        return b"".join(out)

    def _read(self, frame: Frame) -> bytes:
        kind = frame.headers.get(":message-type")
        if kind == "error":
            # Faults of the service itself come in headers alone.
            code = frame.headers.get(":error-code") or "error"
            self.error = error_object(code, {"message": frame.headers.get(":error-message")})
            return b""
        event = read_json_object(frame.payload, "a frame of the stream")
        if kind == "exception":
            self.error = error_object(_exception(frame.headers.get(":exception-type")), event)
            return b""
        name = frame.headers.get(":event-type", "")
        reader = _READERS.get(name)
        if reader is None:
            return b""  # what the provider may add
        if not self._begun and name != "messageStart":
            raise MalformedAnswer(f"the stream begins with {name}")
        return reader(self, event)

    def _start(self, _event: Mapping[str, Any]) -> bytes:
        self._begun = True
        return self._writer.begin()

    def _open(self, event: Mapping[str, Any]) -> bytes:
        return self._writer.write(self._decoder.open(index_of(event, "contentBlockIndex"), object_of(event, "start")))

    def _extend(self, event: Mapping[str, Any]) -> bytes:
        return self._writer.write(self._decoder.extend(index_of(event, "contentBlockIndex"), object_of(event, "delta")))

    def _close(self, event: Mapping[str, Any]) -> bytes:
        return self._writer.write(self._decoder.close(index_of(event, "contentBlockIndex")))

    def _stop(self, event: Mapping[str, Any]) -> bytes:
        self._finished = True
        return self._writer.finish(*self._decoder.finish(event.get("stopReason")))

    def _count(self, event: Mapping[str, Any]) -> bytes:
        if not self._finished:
            raise MalformedAnswer("the stream ends without a stop reason")
        self.usage = read_usage(event.get("usage"))
        self.complete = True
        return self._writer.end(self.usage)


def _exception(name: str | None) -> str:
    """The exception's name as it stands in errors: in streams it begins with a small letter."""
    return name[:1].upper() + name[1:] if name else "InternalServerException"


_READERS: Mapping[str, Callable[[BedrockStream, Mapping[str, Any]], bytes]] = {
    "messageStart": BedrockStream._start,  # noqa: SLF001 - its own table
    "contentBlockStart": BedrockStream._open,  # noqa: SLF001
    "contentBlockDelta": BedrockStream._extend,  # noqa: SLF001
    "contentBlockStop": BedrockStream._close,  # noqa: SLF001
    "messageStop": BedrockStream._stop,  # noqa: SLF001
    "metadata": BedrockStream._count,  # noqa: SLF001
}

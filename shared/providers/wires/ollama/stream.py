"""A stream of JSON lines as OpenAI's chunks.

Sources: https://docs.ollama.com/api/streaming, https://docs.ollama.com/api/errors
"""

from collections.abc import Mapping
from typing import Any

from shared.providers.wires.base import MalformedAnswer, ProviderRequest, StreamTranslation
from shared.providers.wires.chunks import ChunkWriter, Delta
from shared.providers.wires.ollama.answer import read_logprobs, read_usage
from shared.providers.wires.ollama.decoder import ContentDecoder
from shared.providers.wires.reading import read_json_object

MAX_LINE_BYTES = 16 * 1024 * 1024


class OllamaStream(StreamTranslation):
    """One stream of JSON lines being translated; see ``StreamTranslation``."""

    __slots__ = ("_begun", "_decoder", "_rest", "_writer", "complete", "error", "usage")

    def __init__(self, request: ProviderRequest) -> None:
        self._rest = b""
        self._decoder = ContentDecoder(request)
        self._writer = ChunkWriter(request)
        self._begun = False
        self.usage: Mapping[str, Any] = {}
        self.complete = False
        self.error: Mapping[str, Any] | None = None

    def feed(self, data: bytes) -> bytes:
        """The chunks that the bytes complete; nothing after the end or an error.

        Raises:
            MalformedAnswer: The bytes are not of the format.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise MalformedAnswer(f"a line of more than {MAX_LINE_BYTES} bytes")
        out: list[bytes] = []
        for line in lines:
            if self.complete or self.error is not None:
                break
            if line.strip():
                out.append(self._read(read_json_object(line, "a line of the stream")))
        return b"".join(out)

    def _read(self, line: Mapping[str, Any]) -> bytes:
        if line.get("error"):
            self.error = {"message": str(line["error"])[:2000], "type": "api_error", "param": None, "code": None}
            return b""
        begin = b"" if self._begun else self._writer.begin()
        self._begun = True
        written = begin + self._write(self._decoder.decode(line), read_logprobs(line))
        if line.get("done") is not True:
            return written
        self.usage = read_usage(line)
        self.complete = True
        return written + self._writer.finish(*self._decoder.finish(line)) + self._writer.end(self.usage)

    def _write(self, deltas: list[Delta], logprobs: Mapping[str, Any] | None) -> bytes:
        """A chunk for each delta, the last one with the log probabilities of the line's tokens."""
        if logprobs is None:
            return self._writer.write(deltas)
        return self._writer.write(deltas[:-1]) + self._writer.write(deltas[-1:] or [{}], logprobs)

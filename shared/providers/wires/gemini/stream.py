"""A streamed answer as OpenAI's chunks.

Each event is a GenerateContentResponse that says what is new; there is no ``[DONE]``, the stream ends when every
candidate has its finish reason.
Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.providers.wires.base import MalformedAnswer, ProviderRequest, StreamTranslation
from shared.providers.wires.chunks import ChunkWriter
from shared.providers.wires.gemini.answer import candidates_of, head_of, index_of, read_usage, with_searches
from shared.providers.wires.gemini.decoder import ContentDecoder, blocked, logprobs_of
from shared.providers.wires.gemini.errors import error_object
from shared.providers.wires.gemini.tools import wants_one_call
from shared.providers.wires.reading import read_json_object
from shared.surfaces.sse import EventSplitter, EventTooLong, event_data


class GeminiStream(StreamTranslation):
    """One stream being translated; see ``StreamTranslation``."""

    __slots__ = (
        "_decoders",
        "_expected",
        "_grounded",
        "_request",
        "_splitter",
        "_writer",
        "complete",
        "error",
        "usage",
    )

    def __init__(self, request: ProviderRequest) -> None:
        count = request.fields.get("n")
        self._request = request
        self._expected = count if isinstance(count, int) and count > 1 else 1
        self._splitter = EventSplitter()
        self._writer: ChunkWriter | None = None
        self._decoders: dict[int, ContentDecoder] = {}
        self.usage: Mapping[str, Any] = {}
        self._grounded: dict[int, Mapping[str, Any]] = {}
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
                else:
                    self._read_bare(event)
            self._read_bare(self._splitter.rest)
        except (EventTooLong, orjson.JSONEncodeError) as error:
            raise MalformedAnswer(str(error)) from error
        return b"".join(out)

    def _read_bare(self, text: bytes) -> None:
        """An error that breaks into the stream as JSON without being an event."""
        if not text.lstrip().startswith((b"{", b"[")) or self.complete or self.error is not None:
            return
        try:
            fields = orjson.loads(text)
        except orjson.JSONDecodeError:
            return  # not all of it is here yet
        fields = fields[0] if isinstance(fields, list) and fields else fields
        if isinstance(fields, dict) and "error" in fields:
            self.error = error_object(fields["error"])

    def _read(self, chunk: Mapping[str, Any]) -> bytes:
        if "error" in chunk:
            self.error = error_object(chunk["error"])
            return b""
        writer = self._writer = self._writer or ChunkWriter(self._request, head_of(chunk))
        if chunk.get("usageMetadata"):
            self.usage = read_usage(chunk["usageMetadata"])
        candidates = candidates_of(chunk)
        self._grounded |= {
            index_of(each, at): each for at, each in enumerate(candidates) if "groundingMetadata" in each
        }
        out = [self._decode(writer, each, at) for at, each in enumerate(candidates)]
        refusal = None if self._decoders else blocked(chunk.get("promptFeedback"))
        if refusal is not None:
            out.append(writer.write([{"role": "assistant", **refusal}]))
            out.append(writer.finish({}, "content_filter"))
        ended = [decoder for decoder in self._decoders.values() if decoder.ended]
        if refusal is not None or len(ended) >= self._expected:
            self.usage = with_searches(self.usage or read_usage(None), self._grounded.values(), self._request.model)
            self.complete = True
            out.append(writer.end(self.usage))
        return b"".join(out)

    def _decode(self, writer: ChunkWriter, candidate: Mapping[str, Any], position: int) -> bytes:
        index = index_of(candidate, position)
        known = self._decoders.get(index)
        if known is not None and known.ended:
            return b""
        decoder = known or ContentDecoder(index, writer.answer_id, one_call=wants_one_call(self._request.fields))
        self._decoders[index] = decoder
        delta = decoder.decode(candidate)
        if known is None:
            delta = {"role": "assistant", "content": None, **delta}
        logprobs = logprobs_of(candidate)
        written = writer.write([delta], logprobs, index) if delta or logprobs else b""
        if decoder.finish_reason is not None:
            written += writer.finish(decoder.ending(), decoder.finish_reason, index=index)
        return written

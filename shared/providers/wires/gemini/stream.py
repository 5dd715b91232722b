"""A streamed answer as OpenAI's chunks.

Each event is a GenerateContentResponse that says what is new; there is no ``[DONE]``, the stream ends when every
candidate has its finish reason.
Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.providers.wires.base import MalformedAnswer, ProviderRequest
from shared.providers.wires.gemini.answer import candidates_of, choice_of, head_of, index_of, read_usage
from shared.providers.wires.gemini.decoder import ContentDecoder, blocked, logprobs_of
from shared.providers.wires.gemini.errors import error_object
from shared.providers.wires.gemini.tools import wants_one_call
from shared.providers.wires.reading import read_json_object
from shared.surfaces.sse import DONE, EventSplitter, EventTooLong, encode_event, event_data


class GeminiStream:
    """One stream being translated; see ``StreamTranslation``."""

    __slots__ = ("_expected", "_head", "_request", "_sayings", "_splitter", "_with_usage", "complete", "error", "usage")

    def __init__(self, request: ProviderRequest) -> None:
        options = request.fields.get("stream_options")
        count = request.fields.get("n")
        self._request = request
        self._expected = count if isinstance(count, int) and count > 1 else 1
        self._with_usage = isinstance(options, Mapping) and options.get("include_usage") is True
        self._splitter = EventSplitter()
        self._head: dict[str, Any] | None = None
        self._sayings: dict[int, ContentDecoder] = {}
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

    def _read(self, chunk: Mapping[str, Any], out: list[bytes]) -> None:
        if "error" in chunk:
            self.error = error_object(chunk["error"])
            return
        if self._head is None:
            self._head = head_of(self._request, chunk)
        if chunk.get("usageMetadata"):
            self.usage = read_usage(chunk["usageMetadata"])
        candidates = candidates_of(chunk)
        for place, candidate in enumerate(candidates):
            self._say(candidate, place, out)
        refusal = None if self._sayings else blocked(chunk.get("promptFeedback"))
        if refusal is not None:
            out.append(self._event([choice_of(0, "delta", {"role": "assistant", **refusal}, None)]))
            out.append(self._event([choice_of(0, "delta", {}, "content_filter")]))
        ended = [saying for saying in self._sayings.values() if saying.ended]
        if refusal is not None or len(ended) >= self._expected:
            self._end(out)

    def _say(self, candidate: Mapping[str, Any], place: int, out: list[bytes]) -> None:
        index = index_of(candidate, place)
        known = self._sayings.get(index)
        if known is not None and known.ended:
            return
        saying = known or ContentDecoder(
            index, str((self._head or {})["id"]), one_call=wants_one_call(self._request.fields)
        )
        self._sayings[index] = saying
        delta = saying.read(candidate)
        if known is None:
            delta = {"role": "assistant", "content": None, **delta}
        logprobs = logprobs_of(candidate)
        if delta or logprobs:
            out.append(self._event([choice_of(index, "delta", delta, None, logprobs)]))
        if saying.ended:
            out.append(self._event([choice_of(index, "delta", saying.ending(), saying.finish_reason)]))

    def _end(self, out: list[bytes]) -> None:
        self.usage = self.usage or read_usage(None)
        if self._with_usage:
            out.append(self._event([], self.usage))
        out.append(DONE)
        self.complete = True

    def _event(self, choices: list[dict[str, Any]], usage: Mapping[str, Any] | None = None) -> bytes:
        chunk = {**(self._head or {}), "choices": choices}
        if self._with_usage:
            chunk["usage"] = usage
        return encode_event(orjson.dumps(chunk))

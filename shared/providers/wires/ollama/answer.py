"""Answers, whole and streamed, in OpenAI's format: a whole one is a stream of one line.

Sources: https://docs.ollama.com/api/chat, https://docs.ollama.com/api/streaming, https://docs.ollama.com/api/errors
"""

import base64
import struct
from collections.abc import Mapping
from typing import Any

import orjson

from shared.providers.wires.base import MalformedAnswer, ProviderRequest, Translated
from shared.providers.wires.chunks import ChunkWriter, Delta, join_deltas, whole_answer
from shared.providers.wires.reading import read_count, read_json_object, write_arguments

MAX_LINE_BYTES = 16 * 1024 * 1024


class ContentDecoder:
    """One answer being said, line by line."""

    __slots__ = ("_answer_id", "_said", "_tools")

    def __init__(self, request: ProviderRequest) -> None:
        self._answer_id = request.answer_id
        self._said = False
        self._tools = 0

    def read(self, line: Mapping[str, Any]) -> list[Delta]:
        """What a line says."""
        message = line.get("message")
        if not isinstance(message, Mapping):
            raise MalformedAnswer("a line of the answer holds no message")
        deltas: list[Delta] = []
        for theirs, ours in (("thinking", "reasoning_content"), ("content", "content")):
            piece = message.get(theirs)
            if piece is not None and not isinstance(piece, str):
                raise MalformedAnswer(f"{theirs} of the answer is no text")
            if piece:
                deltas.append({ours: piece})
                self._said = self._said or ours == "content"
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list):
            raise MalformedAnswer("tool_calls of the answer are no list")
        return deltas + [self._call(call) for call in calls]

    def finish(self, line: Mapping[str, Any]) -> tuple[Delta, str]:
        """The last delta and the finish reason."""
        if self._tools:
            return {}, "tool_calls"
        reason = "length" if line.get("done_reason") == "length" else "stop"
        return ({} if self._said else {"content": ""}), reason

    def _call(self, call: object) -> Delta:
        function = call.get("function") if isinstance(call, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(call, Mapping) or not isinstance(function, Mapping) or not isinstance(name, str):
            raise MalformedAnswer("a tool call names no function")
        index = self._tools
        self._tools += 1
        arguments = write_arguments(function.get("arguments") or {})
        made = {
            "index": index,
            # Older servers give none.
            "id": str(call.get("id") or f"call_{index}_{self._answer_id}"),
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        return {"tool_calls": [made]}


def read_answer(request: ProviderRequest, body: bytes) -> Translated:
    """A chat completion.

    Raises:
        MalformedAnswer: It is no answer of the format.
    """
    line = read_json_object(body, "the answer")
    saying = ContentDecoder(request)
    deltas = saying.read(line)
    last, reason = saying.finish(line)
    choice: dict[str, Any] = {"message": join_deltas([*deltas, last]), "finish_reason": reason}
    logprobs = read_logprobs(line)
    if logprobs:
        choice["logprobs"] = logprobs
    return whole_answer(request, choice, read_usage(line), {})


def read_logprobs(line: Mapping[str, Any]) -> dict[str, Any] | None:
    """The log probabilities of a line's tokens in OpenAI's form; their items have the same fields."""
    tokens = line.get("logprobs")
    if not isinstance(tokens, list) or not tokens:
        return None
    content = [{"bytes": None, "top_logprobs": [], **token} for token in tokens if isinstance(token, Mapping)]
    return {"content": content, "refusal": None}


def read_usage(line: Mapping[str, Any]) -> dict[str, Any]:
    """Token counts in OpenAI's names; a prompt that was wholly cached may be counted as nothing.

    Raises:
        MalformedAnswer: The counts are no numbers.
    """
    prompt, completion = read_count(line, "prompt_eval_count"), read_count(line, "eval_count")
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read_count(line, "prompt_eval_cached_count")},
    }


def read_embeddings(request: ProviderRequest, body: bytes) -> Translated:
    """Embeddings, as numbers or in base64, as was asked for.

    Raises:
        MalformedAnswer: There are none in the answer.
    """
    fields = read_json_object(body, "the answer")
    vectors = fields.get("embeddings")
    if not isinstance(vectors, list) or not all(isinstance(vector, list) for vector in vectors):
        raise MalformedAnswer("the answer holds no embeddings")
    packed = request.fields.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector}
        for index, vector in enumerate(vectors)
    ]
    prompt = read_count(fields, "prompt_eval_count")
    usage = {"prompt_tokens": prompt, "total_tokens": prompt}
    answer = {"object": "list", "data": data, "model": request.model, "usage": usage}
    return Translated(body=orjson.dumps(answer), usage=usage)


def _packed(vector: list[Any]) -> str:
    """32-bit floats, little-endian, in base64: what OpenAI means by that."""
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except struct.error as error:
        raise MalformedAnswer("an embedding holds something that is no number") from error


class OllamaStream:
    """One stream of JSON lines being translated; see ``StreamTranslation``."""

    __slots__ = ("_begun", "_rest", "_saying", "_writer", "complete", "error", "usage")

    def __init__(self, request: ProviderRequest) -> None:
        self._rest = b""
        self._saying = ContentDecoder(request)
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
        said = begin + self._say(self._saying.read(line), read_logprobs(line))
        if line.get("done") is not True:
            return said
        self.usage = read_usage(line)
        self.complete = True
        return said + self._writer.finish(*self._saying.finish(line), self.usage)

    def _say(self, deltas: list[Delta], logprobs: Mapping[str, Any] | None) -> bytes:
        """A chunk for each delta, the last one with the log probabilities of the line's tokens."""
        if logprobs is None:
            return self._writer.say(deltas)
        return self._writer.say(deltas[:-1]) + self._writer.say(deltas[-1:] or [{}], logprobs)

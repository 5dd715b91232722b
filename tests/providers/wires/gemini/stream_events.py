"""A whole answer as the chunks in which the provider would stream it, and chunks put together again."""

from collections.abc import Iterator
from typing import Any

import orjson

from shared.surfaces.chat_assembly import ChatAssembly
from shared.surfaces.sse import EventSplitter, event_data

Answer = dict[str, Any]


def chunks_of(answer: Answer, *, size: int = 3) -> Iterator[Answer]:
    """The chunks of an answer, with texts cut into so many characters; calls and all else are whole."""
    head = {name: value for name, value in answer.items() if name != "candidates"}
    for candidate in answer.get("candidates", []):
        about = {name: value for name, value in candidate.items() if name != "content"}
        index = {"index": candidate["index"]} if "index" in candidate else {}
        for part in candidate["content"]["parts"]:
            for piece in _pieces(part, size):
                yield {**head, "candidates": [{"content": {"role": "model", "parts": [piece]}, **index}]}
        yield {**head, "candidates": [about]}
    if "promptFeedback" in answer:
        yield head


def _pieces(part: Answer, size: int) -> list[Answer]:
    text = part.get("text")
    if text is None or "thoughtSignature" in part:
        return [part]
    return [{**part, "text": text[at : at + size]} for at in range(0, len(text), size)]


def encode(chunks: Iterator[Answer] | list[Answer]) -> bytes:
    return b"".join(b"data: " + orjson.dumps(chunk) + b"\r\n\r\n" for chunk in chunks)


def decode(data: bytes) -> list[Any]:
    """The chunks in a stream of ours; the last one is ``[DONE]``."""
    texts = [event_data(event) for event in EventSplitter().feed(data)]
    return [text.decode() if text == b"[DONE]" else orjson.loads(text) for text in texts]


def assemble(data: bytes) -> Answer:
    """The completion that our own assembly puts together from a stream."""
    assembly = ChatAssembly()
    for event in EventSplitter().feed(data):
        assembly.add(event)
    whole: Answer = orjson.loads(assembly.completion())
    for choice in whole["choices"]:
        del choice["message"]["annotations"]
    return whole

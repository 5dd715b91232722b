"""A whole answer as the frames in which the provider would stream it."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from simulator.aws.event_stream import encode_frame

Event = tuple[str, dict[str, Any]]

ANSWER: dict[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 4, "outputTokens": 1, "totalTokens": 5},
    "metrics": {"latencyMs": 1},
}


def answer_with(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return ANSWER | {"output": {"message": {"role": "assistant", "content": list(blocks)}}} | more


def events_of(answer: dict[str, Any], *, size: int = 3) -> Iterator[Event]:
    """The events of an answer, with texts cut into so many characters."""
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(answer["output"]["message"]["content"]):
        if "toolUse" in block:
            start = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            yield "contentBlockStart", {"start": {"toolUse": start}, "contentBlockIndex": index}
        for delta in _deltas(block, size):
            yield "contentBlockDelta", {"delta": delta, "contentBlockIndex": index}
        yield "contentBlockStop", {"contentBlockIndex": index}
    yield "messageStop", {"stopReason": answer["stopReason"]}
    yield "metadata", {"usage": answer["usage"], "metrics": {"latencyMs": 1}}


def _deltas(block: dict[str, Any], size: int) -> list[dict[str, Any]]:
    if "text" in block:
        return [{"text": piece} for piece in _cut(block["text"], size)]
    if "toolUse" in block:
        given = orjson.dumps(block["toolUse"]["input"]).decode() if block["toolUse"]["input"] else ""
        return [{"toolUse": {"input": piece}} for piece in ["", *_cut(given, size)]]
    thought = block["reasoningContent"]
    if "redactedContent" in thought:
        return [{"reasoningContent": thought}]
    plain = thought["reasoningText"]
    deltas = [{"reasoningContent": {"text": piece}} for piece in _cut(plain["text"], size)]
    return [*deltas, *[{"reasoningContent": {"signature": plain[name]}} for name in ("signature",) if name in plain]]


def _cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def frame(name: str, body: dict[str, Any]) -> bytes:
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return encode_frame(headers, orjson.dumps({**body, "p": "abc"}))


def encode(events: Iterable[Event]) -> bytes:
    return b"".join(frame(name, body) for name, body in events)

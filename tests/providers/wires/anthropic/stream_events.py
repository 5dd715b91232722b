"""A whole Message as the events in which the provider would stream it, and chunks put together again."""

from collections.abc import Iterator
from typing import Any

import orjson

from shared.surfaces.sse import EventSplitter, event_data

Event = dict[str, Any]


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def events_of(message: dict[str, Any], *, size: int = 3) -> Iterator[Event]:
    """The events of a Message, with texts cut into so many characters."""
    usage = message["usage"]
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    yield {"type": "message_start", "message": {**begun, "usage": {**usage, "output_tokens": 1}}}
    yield {"type": "ping"}
    for index, block in enumerate(message["content"]):
        empty, deltas = _deltas(block, size)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {name: message.get(name) for name in ("stop_reason", "stop_sequence", "stop_details")}
    counts = {name: value for name, value in usage.items() if name != "service_tier"}
    yield {"type": "message_delta", "delta": ending, "usage": counts}
    yield {"type": "message_stop"}


def _deltas(block: Event, size: int) -> tuple[Event, list[Event]]:
    if block["type"] == "text":
        return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(block["text"], size)]
    if block["type"] == "thinking":
        thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"], size)]
        signature = {"type": "signature_delta", "signature": block["signature"]}
        return {**block, "thinking": "", "signature": ""}, [*thoughts, signature]
    if block["type"] == "tool_use":
        given = orjson.dumps(block["input"]).decode() if block["input"] else ""
        return {**block, "input": {}}, [
            {"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces(given, size)]
        ]
    return block, []


def encode(events: Iterator[Event] | list[Event]) -> bytes:
    return b"".join(
        b"event: %s\r\ndata: %s\r\n\r\n" % (event["type"].encode(), orjson.dumps(event)) for event in events
    )


def chunks_of(data: bytes) -> list[Any]:
    """The chunks in a stream of ours; the last one is ``[DONE]``."""
    texts = [event_data(event) for event in EventSplitter().feed(data)]
    return [text.decode() if text == b"[DONE]" else orjson.loads(text) for text in texts]


def assemble(chunks: list[Any]) -> dict[str, Any]:
    """The completion that a client puts together from chunks."""
    answer: dict[str, Any] = {}
    message: dict[str, Any] = {"content": None, "refusal": None}
    choice: dict[str, Any] = {"index": 0, "message": message, "logprobs": None}
    for chunk in chunks[:-1]:
        answer |= {name: value for name, value in chunk.items() if name not in {"choices", "object"}}
        for each in chunk["choices"]:
            choice |= {name: each[name] for name in ("finish_reason", "stop_reason") if each.get(name) is not None}
            _add(message, each["delta"])
    return answer | {"object": "chat.completion", "choices": [choice]}


def _add(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if name == "tool_calls":
            _add_calls(message.setdefault(name, []), value)
        elif name == "thinking_blocks":
            blocks = [{key: each for key, each in block.items() if key != "index"} for block in value]
            message.setdefault(name, []).extend(blocks)
        elif isinstance(message.get(name), str):
            message[name] += value
        else:
            message[name] = value


def _add_calls(calls: list[dict[str, Any]], parts: list[dict[str, Any]]) -> None:
    for part in parts:
        if part["index"] == len(calls):
            calls.append({"id": part["id"], "type": part["type"], "function": {"name": "", "arguments": ""}})
        for name, value in part["function"].items():
            calls[part["index"]]["function"][name] += value

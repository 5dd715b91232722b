"""Chunks of a translated stream, and what a client puts together from them."""

from typing import Any

import orjson

from shared.providers.wires.base import ProviderRequest
from shared.surfaces.request_types import CHAT, RequestType
from shared.surfaces.sse import EventSplitter, event_data

HI = [{"role": "user", "content": "Hi"}]
STREAMED = {"messages": HI, "stream": True, "stream_options": {"include_usage": True}}


def request_of(fields: dict[str, Any], model: str, request_type: RequestType = CHAT) -> ProviderRequest:
    return ProviderRequest(
        request_type=request_type,
        model=model,
        body=b"",  # these wires read the fields
        fields=fields,
        stream=fields.get("stream") is True,
        created=1_795_360_000,
        answer_id="chatcmpl-ours",
    )


def chunks_of(data: bytes) -> list[Any]:
    """The chunks in a stream of ours; the last one of a complete stream is ``[DONE]``."""
    texts = [event_data(event) for event in EventSplitter().feed(data)]
    return [text.decode() if text == b"[DONE]" else orjson.loads(text) for text in texts]


def assemble(chunks: list[Any]) -> dict[str, Any]:
    """The completion that the chunks before ``[DONE]`` make."""
    assert chunks[-1] == "[DONE]"
    answer: dict[str, Any] = {}
    message: dict[str, Any] = {"content": None, "refusal": None}
    choice: dict[str, Any] = {"index": 0, "message": message, "logprobs": None}
    for chunk in chunks[:-1]:
        answer |= {name: value for name, value in chunk.items() if name not in {"choices", "object"}}
        for each in chunk["choices"]:
            choice |= {name: each[name] for name in ("finish_reason",) if each.get(name) is not None}
            if each["logprobs"]:
                known = choice["logprobs"] or {"content": [], "refusal": None}
                choice["logprobs"] = {**known, "content": known["content"] + each["logprobs"]["content"]}
            _add(message, each["delta"])
    return answer | {"object": "chat.completion", "choices": [choice]}


def _add(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if name == "tool_calls":
            _add_calls(message.setdefault(name, []), value)
        elif isinstance(value, list):
            plain = [{key: each for key, each in item.items() if key != "index"} for item in value]
            message.setdefault(name, []).extend(plain)
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

"""`POST /chat/completions` as OpenAI's API reference describes it, whole and streamed."""

import time
from dataclasses import replace
from typing import Any

import orjson

from simulator.calls import Answer, Call, Refusal, Reply, Route, Stream
from simulator.model.ids import opaque
from simulator.model.json_schema import Json
from simulator.model.text import ANY_OBJECT, Ask, Composition, Tool, choose_tool, compose, count_tokens
from simulator.openai.errors import OPENAI, error_frame, missing, mistyped, need_model, whole_number

DONE = b"data: [DONE]\n\n"
FINGERPRINT = "fp_simulator1"
TOKENS_PER_MESSAGE = 4


def answer_chat(call: Call) -> Answer:
    """Answer a chat request.

    Raises:
        Refusal: a required field is absent or has the wrong type.
    """
    model = need_model(call)
    messages = _messages(call)
    count = whole_number(call, "n", 1, 128) or 1
    ask = _ask(call, model, messages)
    compositions = [_compose_turn(ask, call, turn) for turn in range(count)]
    usage = chat_usage(_prompt_tokens(messages), compositions)
    base = {
        "id": opaque("chatcmpl-", 29),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
    }
    tier = "flex" if call.body.get("service_tier") == "flex" else "default"
    tail = {"service_tier": tier, "system_fingerprint": FINGERPRINT}
    if call.body.get("stream") is True:
        base["object"] = "chat.completion.chunk"
        return _stream(call, {**base, **tail}, compositions, usage)
    choices = [_choice(index, composition) for index, composition in enumerate(compositions)]
    body = orjson.dumps({**base, "choices": choices, "usage": usage, **tail})
    return Reply(body, tokens=usage["completion_tokens"])


def chat_usage(prompt_tokens: int, compositions: list[Composition]) -> dict[str, Any]:
    """Token counts with all details; reasoning is part of the completion."""
    completion_tokens = sum(composition.tokens for composition in compositions)
    reasoning_tokens = sum(len(composition.reasoning) for composition in compositions)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def content_text(content: Json) -> str:
    """Return the text of a message's content: a string, a list of parts or null."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def stop_texts(value: Json) -> tuple[str, ...]:
    """Read the `stop` field: a string, a list of strings or null."""
    if isinstance(value, str):
        return (value,)
    return tuple(stop for stop in value if isinstance(stop, str)) if isinstance(value, list) else ()


def _messages(call: Call) -> list[dict[str, Any]]:
    messages = call.body.get("messages")
    if messages is None:
        raise missing("messages")
    if not isinstance(messages, list):
        raise mistyped("messages", "an array of objects")
    if not messages:
        raise Refusal(400, "Invalid 'messages': empty array.", param="messages", code="empty_array")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise mistyped(f"messages[{index}]", "an object")
        if not isinstance(message.get("role"), str):
            raise missing(f"messages[{index}].role")
    return messages


def _ask(call: Call, model: str, messages: list[dict[str, Any]]) -> Ask:
    texts = [content_text(message.get("content")) for message in messages]
    last_user = next(
        (text for text, message in zip(texts[::-1], messages[::-1], strict=True) if message["role"] == "user"),
        "",
    )
    body = call.body
    limit = whole_number(call, "max_completion_tokens", 0, 2**53)
    return Ask(
        model=model,
        read="\n".join(texts),
        last_user=last_user,
        limit=whole_number(call, "max_tokens", 0, 2**53) if limit is None else limit,
        stops=stop_texts(body["stop"]) if "stop" in body else (),
        schema=_schema(body["response_format"]) if "response_format" in body else None,
        tool=_tool(call, messages[-1]["role"] == "tool") if body.get("tools") else None,
    )


def _compose_turn(ask: Ask, call: Call, turn: int) -> Composition:
    return compose(replace(ask, turn=turn) if turn else ask, call.behaviour)


def _schema(response_format: Json) -> Json:
    """The JSON schema an answer must follow; None for text."""
    if not isinstance(response_format, dict):
        return None
    if response_format.get("type") == "json_object":
        return ANY_OBJECT
    if response_format.get("type") != "json_schema":
        return None
    described = response_format.get("json_schema")
    if not isinstance(described, dict) or not isinstance(described.get("schema"), dict):
        raise missing("response_format.json_schema")
    return described["schema"]


def _tool(call: Call, after_result: bool) -> Tool | None:
    tools = []
    for entry in call.body["tools"] if isinstance(call.body["tools"], list) else []:
        function = entry.get("function") if isinstance(entry, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            tools.append(Tool(function["name"], function.get("parameters") or {"type": "object"}))
    choice = call.body.get("tool_choice")
    if isinstance(choice, dict):
        function = choice.get("function")
        choice = f"={function.get('name')}" if isinstance(function, dict) else None
    choice = choice if isinstance(choice, str) else None
    return choose_tool(tools, choice, after_result=after_result, forced=call.behaviour.tool)


def _prompt_tokens(messages: list[dict[str, Any]]) -> int:
    texts = sum(count_tokens(content_text(message.get("content"))) for message in messages)
    return texts + TOKENS_PER_MESSAGE * len(messages)


def _finish_reason(composition: Composition) -> str:
    if composition.tool is not None:
        return "tool_calls"
    return "length" if composition.cut_short else "stop"


def _choice(index: int, composition: Composition) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    if composition.tool is None:
        message["content"] = composition.text
    else:
        function = {"name": composition.tool.name, "arguments": composition.text}
        message["tool_calls"] = [{"id": opaque("call_"), "type": "function", "function": function}]
    if composition.reasoning:
        message["reasoning_content"] = "".join(composition.reasoning)
    reason = _finish_reason(composition)
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}


def _stream(call: Call, base: dict[str, Any], compositions: list[Composition], usage: dict[str, Any]) -> Stream:
    options = call.body.get("stream_options")
    counted = isinstance(options, dict) and options.get("include_usage") is True
    frames: list[tuple[int, bytes]] = []
    token = 0
    for index, composition in enumerate(compositions):
        role, *deltas = _deltas(composition)
        frames.append((token + 1, _chunk(base, index, role, None, counted)))
        frames += [
            (token + place, _chunk(base, index, delta, None, counted)) for place, delta in enumerate(deltas, start=1)
        ]
        token += len(deltas)
        frames.append((token, _chunk(base, index, {}, _finish_reason(composition), counted)))
    if counted:
        frames.append((token, _frame({**base, "choices": [], "usage": usage})))
    return Stream(frames, DONE, error_frame)


def _deltas(composition: Composition) -> list[dict[str, Any]]:
    """The deltas of one choice: role first, then reasoning, then text or a tool call."""
    first: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
    deltas = [first] + [{"reasoning_content": piece} for piece in composition.reasoning]
    if composition.tool is None:
        return deltas + [{"content": piece} for piece in composition.pieces]
    first["content"] = None
    function = {"name": composition.tool.name, "arguments": ""}
    deltas.append({"tool_calls": [{"index": 0, "id": opaque("call_"), "type": "function", "function": function}]})
    return deltas + [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in composition.pieces]


def _chunk(base: dict[str, Any], index: int, delta: dict[str, Any], reason: str | None, counted: bool) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
    usage = {"usage": None} if counted else {}
    return _frame({**base, "choices": [choice], **usage})


def _frame(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


ROUTES = (Route("POST", "/chat/completions", answer_chat, OPENAI),)

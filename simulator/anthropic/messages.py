"""`POST /v1/messages`, whole and streamed, `/v1/messages/count_tokens` and the models, as Anthropic has them.

Source: https://platform.claude.com/docs/en/api/messages and .../build-with-claude/streaming
"""

from dataclasses import replace
from typing import Any

import orjson

from simulator.anthropic.checks import check_limit, check_messages, check_request, invalid, sign
from simulator.calls import Answer, Call, Family, Refusal, Reply, Route, Stream
from simulator.model.ids import opaque
from simulator.model.json_schema import Json
from simulator.model.text import Ask, Composition, Tool, choose_tool, compose, count_tokens, schema_in_prompt

TOKENS_PER_MESSAGE = 4
TOKENS_PER_IMAGE = 1_600
LISTED = ("claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5")
CREATED_AT = "2026-01-02T03:04:05Z"
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def refuse(refusal: Refusal) -> Reply:
    """A refusal in Anthropic's envelope; the type follows from the status."""
    kind = _KINDS.get(refusal.status, "api_error" if refusal.status >= 500 else "invalid_request_error")
    return Reply(_error(kind, refusal.message), refusal.status, headers=refusal.headers)


ANTHROPIC = Family(refuse)


def _error(kind: str, message: str) -> bytes:
    error = {"type": kind, "message": message}
    return orjson.dumps({"type": "error", "error": error, "request_id": opaque("req_")})


def error_frame(_sent: int) -> bytes:
    """Return the event that ends a broken stream."""
    return b"event: error\ndata: " + _error("overloaded_error", "Overloaded") + b"\n\n"


def answer_message(call: Call) -> Answer:
    """Answer a Messages request.

    Raises:
        Refusal: the real service would refuse it.
    """
    check_request(call)
    body = call.body
    limit = check_limit(body)
    ask = _ask(body, limit, forced=call.behaviour.tool)
    behaviour = replace(call.behaviour, reasoning=True) if _thinks(body) else call.behaviour
    composition = compose(ask, behaviour)
    hidden = _field(body.get("thinking"), "display") == "omitted"
    content = _content(composition, hidden=hidden)
    message = {
        "id": opaque("msg_"),
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        **_stop(ask, composition, compose(replace(ask, stops=()), behaviour)),
        "usage": _usage(body, composition),
    }
    if body.get("stream") is True:
        return _stream(message, composition)
    return Reply(orjson.dumps(message), tokens=composition.tokens)


def _ask(body: dict[str, Any], limit: int, *, forced: bool) -> Ask:
    texts = [_text(message["content"]) for message in body["messages"]]
    users = [text for text, message in zip(texts, body["messages"], strict=True) if message["role"] == "user"]
    last = body["messages"][-1]["content"]
    after_result = isinstance(last, list) and any(block["type"] == "tool_result" for block in last)
    choice = body.get("tool_choice")
    tool = _tool(body.get("tools", []), choice, after_result=after_result, forced=forced)
    stops = body.get("stop_sequences") or ()
    return Ask(
        model=body["model"],
        read="\n".join([_text(body.get("system")), *texts]),
        last_user=users[-1] if users else "",
        limit=limit,
        stops=tuple(stop for stop in stops if isinstance(stop, str)),
        schema=_schema(body.get("output_config")) or schema_in_prompt(_text(body.get("system"))),
        tool=tool,
    )


def _field(value: Json, name: str) -> Json:
    return value.get(name) if isinstance(value, dict) else None


def _thinks(body: dict[str, Any]) -> bool:
    """Whether thinking is on; a forced tool turns it off."""
    forced = _field(body.get("tool_choice"), "type") in ("any", "tool")
    return _field(body.get("thinking"), "type") in ("enabled", "adaptive") and not forced


def _tool(tools: list[dict[str, Any]], choice: Json, *, after_result: bool, forced: bool) -> Tool | None:
    offered = [Tool(tool["name"], tool["input_schema"]) for tool in tools]
    kind = choice.get("type") if isinstance(choice, dict) else "auto"
    if kind == "tool":
        if choice.get("name") not in [tool.name for tool in offered]:
            raise invalid(f"tool_choice.name: tool {choice.get('name')!r} not found in provided tools")
        return choose_tool(offered, f"={choice['name']}", after_result=after_result, forced=forced)
    if kind not in _CHOICES:
        raise invalid("tool_choice: Input tag does not match any of the expected tags: auto, any, tool, none")
    return choose_tool(offered, _CHOICES[kind], after_result=after_result, forced=forced)


def _schema(output: Json) -> Json:
    form = output.get("format") if isinstance(output, dict) else None
    if form is None:
        return None
    if not isinstance(form, dict) or form.get("type") != "json_schema" or not isinstance(form.get("schema"), dict):
        raise invalid("output_config.format.schema: Field required")
    return form["schema"]


def _text(content: Json) -> str:
    """Return the text of a content, including tool results."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [block.get("text") or _text(block.get("content")) for block in content if isinstance(block, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _content(composition: Composition, *, hidden: bool) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if composition.reasoning:
        thought = "".join(composition.reasoning)
        visible = "" if hidden else thought
        blocks.append({"type": "thinking", "thinking": visible, "signature": sign(thought)})
    if composition.tool is None:
        if composition.text:
            blocks.append({"type": "text", "text": composition.text})
    else:
        given = orjson.loads(composition.text)
        blocks.append({"type": "tool_use", "id": opaque("toolu_"), "name": composition.tool.name, "input": given})
    return blocks


def _stop(ask: Ask, composition: Composition, unstopped: Composition) -> dict[str, Any]:
    if composition.tool is not None:
        return {"stop_reason": "tool_use", "stop_sequence": None}
    if composition.cut_short:
        return {"stop_reason": "max_tokens", "stop_sequence": None}
    found = [(unstopped.text.find(stop), stop) for stop in ask.stops if stop and stop in unstopped.text]
    if found:
        return {"stop_reason": "stop_sequence", "stop_sequence": min(found)[1]}
    return {"stop_reason": "end_turn", "stop_sequence": None}


def _usage(body: dict[str, Any], composition: Composition) -> dict[str, Any]:
    return {
        "input_tokens": _input_tokens(body),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": composition.tokens,
        "output_tokens_details": {"thinking_tokens": len(composition.reasoning)},
        "service_tier": "standard",
    }


def _input_tokens(body: dict[str, Any]) -> int:
    texts = [_text(body.get("system"))] + [_text(message["content"]) for message in body["messages"]]
    tools = orjson.dumps(body["tools"]).decode() if body.get("tools") else ""
    blocks = [
        block for message in body["messages"] if isinstance(message["content"], list) for block in message["content"]
    ]
    images = sum(block["type"] in ("image", "document") for block in blocks)
    words = sum(count_tokens(text) for text in [*texts, tools])
    return words + TOKENS_PER_MESSAGE * len(body["messages"]) + TOKENS_PER_IMAGE * images


def _stream(message: dict[str, Any], composition: Composition) -> Stream:
    usage = message["usage"]
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    begun["usage"] = {**usage, "output_tokens": 1, "output_tokens_details": None}
    frames = [(0, _frame("message_start", {"message": begun})), (0, PING)]
    token = 0
    for index, block in enumerate(message["content"]):
        empty, deltas = _deltas(block, composition)
        frames.append((token + 1, _frame("content_block_start", {"index": index, "content_block": empty})))
        for delta in deltas:
            token += delta["type"] != "signature_delta"
            frames.append((token, _frame("content_block_delta", {"index": index, "delta": delta})))
        frames.append((token, _frame("content_block_stop", {"index": index})))
    stop = {name: message[name] for name in ("stop_reason", "stop_sequence")}
    counts = {name: value for name, value in usage.items() if name != "service_tier"}
    frames.append((token, _frame("message_delta", {"delta": stop, "usage": counts})))
    return Stream(frames, _frame("message_stop", {}), error_frame, bad_frame=b'event: ping\ndata: {"type": "pi\n\n')


def _deltas(block: dict[str, Any], composition: Composition) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the start of a block, and its deltas."""
    if block["type"] == "thinking":
        thoughts = composition.reasoning if block["thinking"] else []
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in thoughts]
        signature = {"type": "signature_delta", "signature": block["signature"]}
        return {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signature]
    if block["type"] == "text":
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in composition.pieces]
    return {**block, "input": {}}, [
        {"type": "input_json_delta", "partial_json": piece} for piece in ["", *composition.pieces]
    ]


def _frame(name: str, fields: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps({"type": name, **fields}))


def count_message(call: Call) -> Reply:
    """Count the tokens of a request.

    Raises:
        Refusal: the real service would refuse it.
    """
    check_messages(call.body.get("messages"))
    return Reply(orjson.dumps({"input_tokens": _input_tokens(call.body)}))


def list_models(_call: Call) -> Reply:
    """List all models on one page."""
    page = {
        "data": [_model(name) for name in LISTED],
        "has_more": False,
        "first_id": LISTED[0],
        "last_id": LISTED[-1],
    }
    return Reply(orjson.dumps(page))


def retrieve_model(call: Call) -> Reply:
    """One model; any name works, as with every other route."""
    return Reply(orjson.dumps(_model(call.params["id"])))


def _model(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": CREATED_AT,
        "lifecycle": "active",
    }


ROUTES = (
    Route("POST", "/anthropic/v1/messages", answer_message, ANTHROPIC),
    Route("POST", "/anthropic/v1/messages/count_tokens", count_message, ANTHROPIC),
    Route("GET", "/anthropic/v1/models", list_models, ANTHROPIC),
    Route("GET", "/anthropic/v1/models/{id:path}", retrieve_model, ANTHROPIC, lambda call: call.params["id"]),
    # Without the prefix too, but for the models: their path is OpenAI's as well.
    Route("POST", "/v1/messages", answer_message, ANTHROPIC),
    Route("POST", "/v1/messages/count_tokens", count_message, ANTHROPIC),
)

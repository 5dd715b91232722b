"""`POST /responses`: the body with all its fields; items of reasoning, text and function calls."""

import time
from typing import Any

import orjson

from simulator.calls import Answer, Call, Refusal, Reply, Route
from simulator.model.ids import hexadecimal, opaque
from simulator.model.json_schema import Json
from simulator.model.text import ANY_OBJECT, Ask, Composition, Tool, choose_tool, compose, count_tokens
from simulator.openai.chat import TOKENS_PER_MESSAGE, content_text
from simulator.openai.errors import OPENAI, missing, mistyped, need_model, whole_number
from simulator.openai.response_events import stream_events
from simulator.store import StoredResponse

Item = dict[str, Any]

_DEFAULTS: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "metadata": {},
    "user": None,
}
_INHERITED_TIER = ("auto", None)


def answer_responses(call: Call) -> Answer:
    """Answer a request for a response; a background one is `queued` until it is first polled.

    Raises:
        Refusal: a field is absent or wrong, or the previous response is unknown.
    """
    model = need_model(call)
    items = _input_items(call)
    history = _history(call)
    composition = compose(_ask(call, model, [*history, *items]), call.behaviour)
    body = _skeleton(call.body, model)
    output = _output(composition)
    final = _finished(body, output, composition, _input_tokens(call, [*history, *items]))
    stored = StoredResponse(final, [*history, *items])

    def keep() -> None:
        if final["store"]:
            call.store.responses.put(final["id"], stored)

    if call.body.get("stream") is True:
        return stream_events(body, final, composition, keep)
    if body["background"]:
        stored.pending = True
        keep()
        return Reply(orjson.dumps({**body, "status": "queued"}))
    keep()
    return Reply(orjson.dumps(final), tokens=composition.tokens)


def _input_items(call: Call) -> list[Item]:
    """The input as items with ids; a plain string is one user message."""
    given = call.body.get("input")
    if given is None:
        raise missing("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise mistyped("input", "a string or an array of items")
    return [_input_item(item) for item in given]


def _input_item(given: Item) -> Item:
    if given.get("type", "message") != "message":
        return {"id": hexadecimal("item_"), "status": "completed", **given}
    content = given.get("content")
    if isinstance(content, str):
        assistant = given.get("role") == "assistant"
        text: Item = {"type": "output_text", "text": content, "annotations": [], "logprobs": []}
        content = [text if assistant else {"type": "input_text", "text": content}]
    return {"id": hexadecimal("msg_"), "type": "message", "status": "completed", **given, "content": content}


def _history(call: Call) -> list[Item]:
    previous_id = call.body.get("previous_response_id")
    if previous_id is None:
        return []
    previous = call.store.responses.get(str(previous_id))
    if previous is None:
        message = f"Previous response with id '{previous_id}' not found."
        raise Refusal(400, message, param="previous_response_id", code="previous_response_not_found")
    return [*previous.input_items, *previous.body["output"]]


def _ask(call: Call, model: str, items: list[Item]) -> Ask:
    texts = [content_text(item.get("content")) or str(item.get("output") or "") for item in items]
    users = [text for text, item in zip(texts, items, strict=True) if item.get("role") == "user"]
    instructions = call.body.get("instructions")
    after_result = bool(items) and items[-1].get("type") == "function_call_output"
    return Ask(
        model=model,
        read="\n".join([instructions if isinstance(instructions, str) else "", *texts]),
        last_user=users[-1] if users else "",
        limit=whole_number(call, "max_output_tokens", 0, 2**53),
        schema=_schema(call.body.get("text")),
        tool=_tool(call, after_result),
    )


def _schema(text: Json) -> Json:
    given = text.get("format") if isinstance(text, dict) else None
    if not isinstance(given, dict):
        return None
    if given.get("type") == "json_object":
        return ANY_OBJECT
    if given.get("type") != "json_schema":
        return None
    if not isinstance(given.get("schema"), dict):
        raise missing("text.format.schema")
    return given["schema"]


def _functions(request: dict[str, Any]) -> list[Item]:
    tools = request.get("tools")
    given = tools if isinstance(tools, list) else []
    return [tool for tool in given if isinstance(tool, dict) and tool.get("type") == "function"]


def _tool(call: Call, after_result: bool) -> Tool | None:
    tools = []
    for tool in _functions(call.body):
        if not isinstance(tool.get("name"), str):
            raise missing("tools[].name")
        tools.append(Tool(tool["name"], tool.get("parameters") or {"type": "object"}))
    choice = call.body.get("tool_choice")
    if isinstance(choice, dict):
        choice = f"={choice.get('name')}" if choice.get("type") == "function" else None
    choice = choice if isinstance(choice, str) else None
    return choose_tool(tools, choice, after_result=after_result, forced=call.behaviour.tool)


def _input_tokens(call: Call, items: list[Item]) -> int:
    texts = [content_text(item.get("content")) or str(item.get("output") or "") for item in items]
    instructions = call.body.get("instructions")
    extra = count_tokens(instructions) + TOKENS_PER_MESSAGE if isinstance(instructions, str) else 0
    return extra + sum(count_tokens(text) + TOKENS_PER_MESSAGE for text in texts)


def _skeleton(request: dict[str, Any], model: str) -> dict[str, Any]:
    """The response before anything was generated: every field, with what the request set."""
    echoed = {name: default if request.get(name) is None else request[name] for name, default in _DEFAULTS.items()}
    tier = request.get("service_tier")
    reasoning = request.get("reasoning")
    effort = reasoning if isinstance(reasoning, dict) else {}
    text = request.get("text")
    return {
        "id": hexadecimal("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "in_progress",
        "background": request.get("background") is True,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "reasoning": {"effort": effort.get("effort"), "summary": effort.get("summary")},
        "service_tier": "default" if tier in _INHERITED_TIER else tier,
        "store": request.get("store") is not False,
        "text": _echoed_text(text if isinstance(text, dict) else {}),
        "tools": [_echoed_tool(tool) for tool in _list(request.get("tools"))],
        "usage": None,
        **echoed,
    }


def _list(value: Json) -> list[Any]:
    return value if isinstance(value, list) else []


def _echoed_text(text: dict[str, Json]) -> dict[str, Json]:
    """Return the requested text format, with the optional fields of a schema as null."""
    form = text.get("format")
    if isinstance(form, dict) and form.get("type") == "json_schema":
        form = {"description": None, "strict": None, **form}
    return {**text, "format": form or {"type": "text"}}


def _echoed_tool(tool: Json) -> Json:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": True, **tool}


def _output(composition: Composition) -> list[Item]:
    """Return the finished items."""
    items: list[Item] = []
    if composition.reasoning:
        summary = {"type": "summary_text", "text": "".join(composition.reasoning)}
        items.append({"id": hexadecimal("rs_"), "type": "reasoning", "summary": [summary]})
    status = "incomplete" if composition.cut_short else "completed"
    if composition.tool is not None:
        call = {"call_id": opaque("call_"), "name": composition.tool.name, "arguments": composition.text}
        items.append({"id": hexadecimal("fc_"), "type": "function_call", "status": status, **call})
        return items
    part = {"type": "output_text", "text": composition.text, "annotations": [], "logprobs": []}
    head = {"id": hexadecimal("msg_"), "type": "message", "status": status}
    items.append({**head, "role": "assistant", "content": [part]})
    return items


def _finished(body: dict[str, Any], output: list[Item], composition: Composition, input_tokens: int) -> dict[str, Any]:
    usage = {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": composition.tokens,
        "output_tokens_details": {"reasoning_tokens": len(composition.reasoning)},
        "total_tokens": input_tokens + composition.tokens,
    }
    if composition.cut_short:
        end: dict[str, Any] = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    else:
        end = {"status": "completed", "completed_at": int(time.time())}
    return {**body, **end, "output": output, "usage": usage}


ROUTES = (Route("POST", "/responses", answer_responses, OPENAI),)

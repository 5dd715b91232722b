"""`POST /api/chat` and `/api/embed`, `GET /api/tags` and `/api/version`, as Ollama has them.

Source: https://docs.ollama.com/api
"""

from dataclasses import replace
from typing import Any

import orjson

from simulator.calls import Answer, Call, Family, Refusal, Reply, Route, Stream
from simulator.model.ids import opaque
from simulator.model.json_schema import Json
from simulator.model.text import ANY_OBJECT, Ask, Composition, Tool, choose_tool, compose, count_tokens, unit_vector

LINES_TYPE = b"application/x-ndjson"
CREATED_AT = "2026-01-02T03:04:05.678901Z"
EMBEDDING_SIZE = 768
LISTED = ("llama3.1:8b", "qwen3:4b", "nomic-embed-text:latest")


def refuse(refusal: Refusal) -> Reply:
    """A refusal as a plain text."""
    return Reply(orjson.dumps({"error": refusal.message}), refusal.status, headers=refusal.headers)


OLLAMA = Family(refuse)


def answer_chat(call: Call) -> Answer:
    """Answer a chat request, in lines unless the request says otherwise.

    Raises:
        Refusal: the real server would refuse it.
    """
    model = _model(call)
    messages = _messages(call.body)
    composition = compose(_ask(call, model, messages), _behaviour(call))
    texts = [str(message.get("content") or "") for message in messages]
    ending = {
        "done": True,
        "done_reason": "length" if composition.cut_short else "stop",
        "total_duration": 1_200_000,
        "load_duration": 100_000,
        "prompt_eval_count": sum(count_tokens(text) for text in texts) + 4 * len(messages),
        "prompt_eval_duration": 200_000,
        "eval_count": composition.tokens,
        "eval_duration": 900_000,
    }
    base = {"model": model, "created_at": CREATED_AT}
    if call.body.get("stream") is False:
        message = _whole(composition)
        return Reply(orjson.dumps({**base, "message": message, **ending}), tokens=composition.tokens)
    frames = [
        (token, _line({**base, "message": {"role": "assistant", "content": "", **piece}, "done": False}))
        for token, piece in enumerate(_pieces(composition), start=1)
    ]
    end = _line({**base, "message": {"role": "assistant", "content": ""}, **ending})
    return Stream(frames, end, error_frame, bad_frame=b'{"model": "broken", "mess\n', content_type=LINES_TYPE)


def error_frame(_sent: int) -> bytes:
    """Return the line that ends a broken stream."""
    return _line({"error": "an error was encountered while running the model: simulated"})


def _line(fields: dict[str, Any]) -> bytes:
    return orjson.dumps(fields) + b"\n"


def _model(call: Call) -> str:
    model = call.body.get("model")
    if not isinstance(model, str) or not model:
        raise Refusal(400, "model is required")
    return model


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Refusal(400, "messages must be a list of messages")
    for message in messages:
        if message.get("role") not in {"system", "user", "assistant", "tool"}:
            raise Refusal(400, "invalid role; must be one of [system, user, assistant, tool]")
        if not isinstance(message.get("content", ""), str):
            raise Refusal(
                400, "json: cannot unmarshal into Go struct field ChatRequest.messages.content of type string"
            )
        for called in message.get("tool_calls") or []:
            if not isinstance(called.get("function", {}).get("arguments"), dict):
                raise Refusal(400, "json: cannot unmarshal string into field arguments of type object")
    return messages


def _behaviour(call: Call) -> Any:  # noqa: ANN401 - a Behaviour
    return replace(call.behaviour, reasoning=True) if call.body.get("think") else call.behaviour


def _ask(call: Call, model: str, messages: list[dict[str, Any]]) -> Ask:
    texts = [str(message.get("content") or "") for message in messages]
    user_texts = [text for text, message in zip(texts, messages, strict=True) if message["role"] == "user"]
    options = call.body.get("options") or {}
    if not isinstance(options, dict):
        raise Refusal(400, "options must be an object")
    limit = options.get("num_predict")
    after_result = bool(messages) and messages[-1]["role"] == "tool"
    return Ask(
        model=model,
        read="\n".join(texts),
        last_user=user_texts[-1] if user_texts else "",
        limit=limit if isinstance(limit, int) and limit >= 0 else None,
        stops=tuple(options.get("stop") or ()),
        schema=_schema(call.body.get("format")),
        tool=_tool(call.body.get("tools"), after_result=after_result, forced=call.behaviour.tool),
    )


def _schema(form: Json) -> Json:
    if form == "json":
        return ANY_OBJECT
    if form in (None, "") or isinstance(form, dict):
        return form or None
    raise Refusal(400, f'invalid format: "{form}"; expected "json" or a valid JSON Schema')


def _tool(tools: Json, *, after_result: bool, forced: bool) -> Tool | None:
    functions = [tool.get("function") for tool in tools or [] if isinstance(tool, dict)]
    known = [
        Tool(function["name"], function.get("parameters") or {"type": "object"})
        for function in functions
        if isinstance(function, dict) and isinstance(function.get("name"), str)
    ]
    return choose_tool(known, "auto", after_result=after_result, forced=forced)


def _call(composition: Composition, tool: Tool) -> dict[str, Any]:
    function = {"index": 0, "name": tool.name, "arguments": orjson.loads(composition.text)}
    return {"tool_calls": [{"id": opaque("call_", 8), "function": function}]}


def _whole(composition: Composition) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    if composition.reasoning:
        message["thinking"] = "".join(composition.reasoning)
    if composition.tool is not None:
        return message | _call(composition, composition.tool)
    return message | {"content": composition.text}


def _pieces(composition: Composition) -> list[dict[str, Any]]:
    """Return the content of each line; a tool call is never split."""
    thoughts: list[dict[str, Any]] = [{"thinking": piece} for piece in composition.reasoning]
    if composition.tool is not None:
        return [*thoughts, _call(composition, composition.tool)]
    return thoughts + [{"content": piece} for piece in composition.pieces]


def answer_embed(call: Call) -> Answer:
    """Embed a text or several.

    Raises:
        Refusal: it is something else.
    """
    model, inputs = _model(call), call.body.get("input")
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refusal(400, "invalid input type")
    size = call.body.get("dimensions") or EMBEDDING_SIZE
    vectors = [unit_vector(text, size) for text in texts]
    count = sum(count_tokens(text) for text in texts)
    return Reply(orjson.dumps({"model": model, "embeddings": vectors, "prompt_eval_count": count}))


def answer_tags(_call: Call) -> Answer:
    """List the models."""
    models = [{"name": name, "model": name, "modified_at": CREATED_AT, "size": 1} for name in LISTED]
    return Reply(orjson.dumps({"models": models}))


def answer_version(_call: Call) -> Answer:
    """Which server this would be."""
    return Reply(b'{"version":"0.40.12"}')


ROUTES = (
    Route("POST", "/api/chat", answer_chat, OLLAMA),
    Route("POST", "/api/embed", answer_embed, OLLAMA),
    Route("GET", "/api/tags", answer_tags, OLLAMA),
    Route("GET", "/api/version", answer_version, OLLAMA),
)

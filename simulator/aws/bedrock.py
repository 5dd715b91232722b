"""`POST /model/{id}/converse` and `/converse-stream` as Amazon Bedrock has them.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from dataclasses import replace
from typing import Any

import orjson

from simulator.aws.checks import check_request, check_signature
from simulator.aws.event_stream import encode_frame
from simulator.calls import Answer, Call, Family, Refusal, Reply, Route, Stream
from simulator.model.json_schema import Json
from simulator.model.text import Ask, Composition, Tool, choose_tool, compose, count_tokens, schema_in_prompt

STREAM_TYPE = b"application/vnd.amazon.eventstream"
TOKENS_PER_MESSAGE = 4
PADDING = "abcdefghijklmnopqrstuvwxyz"
_NAMES = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
# There is no 401 here: who is not known is forbidden.
_STATUSES = {401: 403, 502: 500, 504: 500}


def refuse(refusal: Refusal) -> Reply:
    """A refusal with its name in a header and its message in the body."""
    name = _NAMES.get(refusal.status, "InternalServerException" if refusal.status >= 500 else "ValidationException")
    headers = ((b"x-amzn-errortype", f"{name}:http://internal.amazon.com/coral/".encode()), *refusal.headers)
    status = _STATUSES.get(refusal.status, refusal.status)
    return Reply(orjson.dumps({"message": refusal.message}), status, headers=headers)


BEDROCK = Family(refuse)


def answer_converse(call: Call) -> Answer:
    """Answer with a whole message.

    Raises:
        Refusal: the real service would refuse it.
    """
    composition, usage = _compose(call)
    body = {
        "output": {"message": {"role": "assistant", "content": _content(composition)}},
        "stopReason": _stop_reason(composition),
        "usage": usage,
        "metrics": {"latencyMs": 12},
    }
    return Reply(orjson.dumps(body), tokens=composition.tokens)


def answer_stream(call: Call) -> Answer:
    """Answer in frames; the last one has the usage.

    Raises:
        Refusal: the real service would refuse it.
    """
    composition, usage = _compose(call)
    frames = [(1, _event("messageStart", {"role": "assistant"}))]
    token = 0
    for index, deltas in enumerate(_blocks(composition)):
        if composition.tool is not None and "toolUse" in deltas[0]:
            start = {"toolUse": {"toolUseId": _tool_use_id(composition), "name": composition.tool.name}}
            frames.append((token + 1, _event("contentBlockStart", {"start": start, "contentBlockIndex": index})))
        for delta in deltas:
            token += "signature" not in delta.get("reasoningContent", {})
            frames.append((token, _event("contentBlockDelta", {"delta": delta, "contentBlockIndex": index})))
        frames.append((token, _event("contentBlockStop", {"contentBlockIndex": index})))
    frames.append((token, _event("messageStop", {"stopReason": _stop_reason(composition)})))
    end = _event("metadata", {"usage": usage, "metrics": {"latencyMs": 12}})
    bad = bytearray(_event("contentBlockDelta", {"delta": {"text": "broken"}, "contentBlockIndex": 0}))
    bad[-1] ^= 255
    return Stream(frames, end, error_frame, bad_frame=bytes(bad), content_type=STREAM_TYPE)


def error_frame(_sent: int) -> bytes:
    """Return the frame that ends a broken stream."""
    headers = {
        ":exception-type": "modelStreamErrorException",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    body = {"message": "The simulated model failed in the middle.", "originalStatusCode": 500}
    return encode_frame(headers, orjson.dumps(body))


def _event(name: str, body: dict[str, Any]) -> bytes:
    """An event; padded, as the real ones are, so that its length tells nothing of the text."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return encode_frame(headers, orjson.dumps({**body, "p": PADDING[: 1 + len(name) % len(PADDING)]}))


def _compose(call: Call) -> tuple[Composition, dict[str, int]]:
    check_signature(call)
    check_request(call.body)
    ask = _ask(call)
    behaviour = replace(call.behaviour, reasoning=True) if _reasons(call.body) else call.behaviour
    composition = compose(ask, behaviour)
    texts = [*_texts(call.body.get("system")), ask.read]
    messages = len(call.body["messages"])
    read = sum(count_tokens(text) for text in texts) + TOKENS_PER_MESSAGE * messages
    usage = {
        "inputTokens": read,
        "outputTokens": composition.tokens,
        "totalTokens": read + composition.tokens,
        "cacheReadInputTokens": 0,
        "cacheWriteInputTokens": 0,
    }
    return composition, usage


def _ask(call: Call) -> Ask:
    body = call.body
    messages = body["messages"]
    texts = ["\n".join(_texts(message["content"])) for message in messages]
    user_texts = [text for text, message in zip(texts, messages, strict=True) if message["role"] == "user" and text]
    inference = body.get("inferenceConfig") or {}
    after_result = any("toolResult" in block for block in messages[-1]["content"])
    return Ask(
        model=call.params["model"],
        read="\n".join([*_texts(body.get("system")), *texts]),
        last_user=user_texts[-1] if user_texts else "",
        limit=inference.get("maxTokens"),
        stops=tuple(inference.get("stopSequences") or ()),
        schema=_schema(body.get("outputConfig")) or schema_in_prompt("\n".join(_texts(body.get("system")))),
        tool=_tool(body.get("toolConfig"), after_result=after_result, forced=call.behaviour.tool),
    )


def _texts(blocks: Json) -> list[str]:
    """Return the text of blocks, including tool results."""
    texts: list[str] = []
    for block in blocks or []:
        if isinstance(block.get("text"), str):
            texts.append(block["text"])
        texts += _texts(block.get("toolResult", {}).get("content"))
    return texts


def _schema(output: Json) -> Json:
    form = output.get("textFormat") if isinstance(output, dict) else None
    if not isinstance(form, dict):
        return None
    try:
        return orjson.loads(form["structure"]["jsonSchema"]["schema"])
    except (KeyError, TypeError, orjson.JSONDecodeError) as error:
        raise Refusal(400, "The value at outputConfig.textFormat.structure.jsonSchema.schema is not JSON.") from error


def _tool(config: Json, *, after_result: bool, forced: bool) -> Tool | None:
    if not isinstance(config, dict):
        return None
    specs = [tool["toolSpec"] for tool in config["tools"] if "toolSpec" in tool]
    tools = [Tool(spec["name"], spec["inputSchema"]["json"]) for spec in specs]
    choice = config.get("toolChoice") or {"auto": {}}
    named = f"={choice['tool'].get('name')}" if "tool" in choice else None
    wanted = named or ("required" if "any" in choice else "auto")
    return choose_tool(tools, wanted, after_result=after_result, forced=forced)


def _reasons(body: dict[str, Any]) -> bool:
    own = body.get("additionalModelRequestFields") or {}
    settings = [own.get("thinking"), own.get("reasoningConfig")]
    return "reasoning_effort" in own or any(
        isinstance(each, dict) and each.get("type") in {"enabled", "adaptive"} for each in settings
    )


def _stop_reason(composition: Composition) -> str:
    if composition.tool is not None:
        return "tool_use"
    return "max_tokens" if composition.cut_short else "end_turn"


def _tool_use_id(composition: Composition) -> str:
    return f"tooluse_sim{count_tokens(composition.text):020d}"


def _content(composition: Composition) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if composition.reasoning:
        text = "".join(composition.reasoning)
        content.append({"reasoningContent": {"reasoningText": {"text": text, "signature": _signature(text)}}})
    if composition.tool is None:
        content.append({"text": composition.text})
        return content
    use = {
        "toolUseId": _tool_use_id(composition),
        "name": composition.tool.name,
        "input": orjson.loads(composition.text),
    }
    return [*content, {"toolUse": use}]


def _blocks(composition: Composition) -> list[list[dict[str, Any]]]:
    """Return the deltas of each block."""
    blocks: list[list[dict[str, Any]]] = []
    if composition.reasoning:
        signature = _signature("".join(composition.reasoning))
        thoughts = [{"reasoningContent": {"text": piece}} for piece in composition.reasoning]
        blocks.append([*thoughts, {"reasoningContent": {"signature": signature}}])
    if composition.tool is None:
        blocks.append([{"text": piece} for piece in composition.pieces] or [{"text": ""}])
    else:
        blocks.append([{"toolUse": {"input": piece}} for piece in composition.pieces])
    return blocks


def _signature(text: str) -> str:
    return f"c2lt{count_tokens(text):08d}"


def model_in_path(call: Call) -> str | None:
    """Return the model named in the path."""
    return call.params["model"]


def list_models(_call: Call) -> Reply:
    """`ListFoundationModels`: one that can be asked, one that is gone."""
    models = [
        {"modelId": name, "modelName": name, "modelLifecycle": {"status": status}, "outputModalities": ["TEXT"]}
        for name, status in (("amazon.nova-lite-v1:0", "ACTIVE"), ("anthropic.claude-v2", "LEGACY"))
    ]
    return Reply(orjson.dumps({"modelSummaries": models}))


def list_profiles(call: Call) -> Reply:
    """`ListInferenceProfiles`, one a page."""
    names = ("us.anthropic.claude-sonnet-4-6", "us.amazon.nova-pro-v1:0")
    at = int(call.query("nextToken") or 0)
    profile = {"inferenceProfileId": names[at], "inferenceProfileName": names[at], "status": "ACTIVE"}
    more = {"nextToken": str(at + 1)} if at + 1 < len(names) else {}
    return Reply(orjson.dumps({"inferenceProfileSummaries": [profile], **more}))


ROUTES = (
    Route("POST", "/model/{model:path}/converse", answer_converse, BEDROCK, model_in_path),
    Route("POST", "/model/{model:path}/converse-stream", answer_stream, BEDROCK, model_in_path),
    Route("GET", "/foundation-models", list_models, BEDROCK),
    Route("GET", "/inference-profiles", list_profiles, BEDROCK),
)

"""A chat completion request as a request to ``/api/chat``.

Sources: https://docs.ollama.com/api/chat, https://docs.ollama.com/modelfile#parameter
"""

from collections.abc import Mapping
from typing import Any

from shared.providers.wires.base import ProviderRequest
from shared.providers.wires.embeddings import check_encoding
from shared.providers.wires.messages import read_function
from shared.providers.wires.ollama.messages import read_messages
from shared.providers.wires.reading import plain_names, read_limit, read_schema, read_stops, refuse_unknown
from shared.surfaces.fields import need_list, need_number, need_object, present, unsupported

DROPPED: Mapping[str, str] = {
    "fallbacks": "used by the gateway, not sent to the provider",
    "logit_bias": "the provider cannot steer single tokens",
    "parallel_tool_calls": "the format has no such control",
    "prediction": "only speeds up the answer, and the provider does not support it",
    "store, metadata, user, safety_identifier, service_tier": "a local server has no accounts",
    "verbosity": "the provider has no such control",
    "moderation": "the provider has no moderation",
    "prompt_cache_key, prompt_cache_options, prompt_cache_retention": "the server manages its cache itself",
    "stream_options.include_obfuscation": "handled by the gateway's own stream",
    "response_format.json_schema.name, description and strict": "only the schema constrains the answer",
    "tools[].function.strict": "the provider has no such control",
    "messages[].name": "the provider does not name participants",
    "messages[].thinking_blocks": "signatures of other providers; reasoning_content is sent",
    "messages[].annotations": "part of an answer that SDKs send back",
    "messages[].content[].image_url.detail": "the provider has one resolution",
}
"""Request fields that do not reach the provider, by design, and why."""

_DROPPED_FIELDS = plain_names(DROPPED)
_REFUSED: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "modalities": (["text"], []),
    "audio": (),
    "functions": ([],),
    "function_call": ("none",),
    "web_search_options": (),
}
_NUMBERS = ("temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty")
_NATIVE = ("keep_alive", "logprobs", "top_logprobs")
_EMBED_FIELDS = ("dimensions", "options", "keep_alive", "truncate")
_READ = frozenset(
    {
        *("model", "messages", "max_tokens", "max_completion_tokens", "stop", "stream", "stream_options", "tools"),
        *("tool_choice", "reasoning_effort", "response_format", "options", "think", *_NUMBERS, *_NATIVE),
    }
)
_EFFORTS: Mapping[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}


def chat_request(request: ProviderRequest) -> dict[str, Any]:
    """The body of a request to ``/api/chat``.

    Raises:
        UnsupportedParameter: A field cannot be expressed.
        InvalidRequest: A field is not of OpenAI's format.
    """
    fields = present(request.fields)
    refuse_unknown(fields, read=_READ, dropped=_DROPPED_FIELDS, refused=_REFUSED)
    body: dict[str, Any] = {
        "model": request.model,
        "messages": read_messages(fields.get("messages")),
        "stream": request.stream,  # its default is true
    }
    options = _options(fields)
    if options:
        body["options"] = options
    tools = _tools(fields)
    if tools:
        body["tools"] = tools
    body |= {name: fields[name] for name in _NATIVE if name in fields}
    return body | _thinking(fields) | _format(fields)


def _options(fields: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {name: need_number(fields[name], name) for name in _NUMBERS if name in fields}
    limit, stops = read_limit(fields), read_stops(fields.get("stop"))
    if limit is not None:
        options["num_predict"] = limit
    if stops:
        options["stop"] = stops
    return {**options, **need_object(fields.get("options", {}), "options")}


def _thinking(fields: Mapping[str, Any]) -> dict[str, Any]:
    if "think" in fields:
        return {"think": fields["think"]}
    effort = fields.get("reasoning_effort")
    if effort is None:
        return {}
    if not isinstance(effort, str) or effort not in _EFFORTS:
        raise unsupported("reasoning_effort", f"{effort!r} is none of {', '.join(_EFFORTS)}.")
    return {"think": _EFFORTS[effort]}


def _format(fields: Mapping[str, Any]) -> dict[str, Any]:
    wanted = need_object(fields.get("response_format", {"type": "text"}), "response_format")
    kind = wanted.get("type")
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"format": "json"}
    if kind != "json_schema":
        raise unsupported("response_format.type", f"{kind!r} cannot be asked of this provider.")
    return {"format": read_schema(wanted)[2]}


def _tools(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    choice = fields.get("tool_choice", "auto")
    if choice not in ("auto", "none"):
        raise unsupported("tool_choice", "this provider cannot be made to call a tool; auto and none are left.")
    tools = [
        _encode_tool(need_object(tool, f"tools[{index}]"), f"tools[{index}]")
        for index, tool in enumerate(need_list(fields.get("tools", []), "tools"))
    ]
    return [] if choice == "none" else tools


def _encode_tool(tool: Mapping[str, Any], path: str) -> dict[str, Any]:
    function = read_function(tool, path)
    encoded = {
        "name": function.name,
        "description": function.description or "",
        "parameters": {"type": "object", **(function.parameters or {})},
    }
    return {"type": "function", "function": encoded}


def embed_request(request: ProviderRequest) -> dict[str, Any]:
    """The body of a request to ``/api/embed`` (https://docs.ollama.com/api/embed).

    Raises:
        UnsupportedParameter: Tokens as input, or a field cannot be expressed.
        InvalidRequest: A field is not of OpenAI's format.
    """
    fields = present(request.fields)
    read = frozenset({"model", "input", "encoding_format", *_EMBED_FIELDS})
    refuse_unknown(fields, read=read, dropped=frozenset({"fallbacks", "user"}), refused={})
    check_encoding(fields)
    texts = fields.get("input")
    for index, text in enumerate([texts] if isinstance(texts, str) else need_list(texts, "input")):
        if not isinstance(text, str):
            raise unsupported(f"input[{index}]", "this provider takes texts only.")
    body: dict[str, Any] = {"model": request.model, "input": texts}
    return body | {name: fields[name] for name in _EMBED_FIELDS if name in fields}

"""A chat completion request as a Messages request.

Source: https://platform.claude.com/docs/en/api/messages
"""

from collections.abc import Mapping
from typing import Any

from shared.errors import InvalidRequest
from shared.providers.wires.anthropic.messages import read_conversation
from shared.providers.wires.anthropic.models import Traits, traits_of
from shared.providers.wires.anthropic.options import read_options
from shared.providers.wires.anthropic.schema import fit_schema
from shared.providers.wires.anthropic.thinking import read_thinking
from shared.providers.wires.anthropic.tools import read_tools
from shared.providers.wires.base import ProviderRequest
from shared.providers.wires.blocks import ANSWER_TOOL
from shared.providers.wires.reading import JSON_HINT, plain_names, read_limit, read_schema, refuse_unknown
from shared.surfaces.fields import need_object, present, unsupported

DROPPED: Mapping[str, str] = {
    "fallbacks": "used by the gateway, not sent to the provider",
    "frequency_penalty, presence_penalty, logit_bias": "the provider cannot steer single tokens",
    "seed": "the provider does not offer reproducible answers",
    "prediction": "only speeds up the answer, and the provider does not support it",
    "store": "the provider does not store completions",
    "verbosity": "the provider has no such control",
    "moderation": "the provider always applies its own",
    "prompt_cache_key, prompt_cache_options, prompt_cache_retention": (
        "caching is controlled by cache_control and prompt_cache_breakpoint"
    ),
    "metadata": "all but metadata.user_id: the provider does not store it",
    "stream_options.include_obfuscation": "handled by the gateway's own stream",
    "temperature, top_p": (
        "both for models that refuse them and while thinking is on; top_p next to temperature on Claude 4.1 "
        "to 4.6; temperatures above 1 become 1, the provider's maximum"
    ),
    "tools[].function.strict": "for models without structured outputs",
    "messages[].name": "the provider does not name participants",
    "messages[].reasoning_content": "thoughts are only sent back signed (thinking_blocks)",
    "messages[].content": "blank texts: the provider refuses them",
    "messages[].annotations": "part of an answer that SDKs send back",
    "messages[].content[].image_url.detail": "the provider has one resolution",
}
"""Request fields that do not reach the provider, by design, and why."""

_DROPPED_FIELDS = plain_names(DROPPED) - {"metadata", "temperature", "top_p"}
# Those whose loss the caller would notice in the answer; refused unless they ask for nothing.
_REFUSED: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"], []),
    "audio": (),
    "functions": ([],),
    "function_call": ("none",),
    "web_search_options": (),
}
# Of the provider's own format, taken beside OpenAI's.
_NATIVE = ("cache_control", "inference_geo", "speed", "top_k")
_READ = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "stop",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning_effort",
        "thinking",
        "response_format",
        "service_tier",
        "metadata",
        "user",
        "safety_identifier",
        *_NATIVE,
    }
)


def messages_request(request: ProviderRequest) -> dict[str, Any]:
    """The body of a Messages request.

    Raises:
        UnsupportedParameter: A field cannot be expressed.
        InvalidRequest: A field is not of OpenAI's format.
    """
    fields = present(request.fields)
    traits = traits_of(request.model)
    refuse_unknown(fields, read=_READ, dropped=_DROPPED_FIELDS, refused=_REFUSED)
    limit = read_limit(fields)
    system, turns = read_conversation(fields.get("messages"))
    limit = traits.default_max_tokens if limit is None else limit
    body: dict[str, Any] = {"model": request.model, "max_tokens": limit, "messages": turns}
    body |= read_options(fields)
    body |= {name: fields[name] for name in _NATIVE if name in fields}
    body |= read_thinking(fields, traits, body["max_tokens"])
    body |= _sampling(fields, traits, thinking=_thinks(body))
    body |= read_tools(fields, traits)
    _shape_answer(body, fields, traits, system)
    if system:
        body["system"] = system
    if request.stream:
        body["stream"] = True
    return body


def answers_by_tool(request: ProviderRequest) -> bool:
    """Whether the answer comes as a forced tool's input: structured output from models that have none."""
    chosen = request.fields.get("response_format")
    schema_wanted = isinstance(chosen, Mapping) and chosen.get("type") == "json_schema"
    return schema_wanted and not traits_of(request.model).structured


def _thinks(body: Mapping[str, Any]) -> bool:
    return body.get("thinking", {}).get("type") in ("enabled", "adaptive")


def _sampling(fields: Mapping[str, Any], traits: Traits, *, thinking: bool) -> dict[str, float]:
    names = [name for name in ("temperature", "top_p") if name in fields]
    for name in names:
        if isinstance(fields[name], bool) or not isinstance(fields[name], int | float):
            raise InvalidRequest(f"{name} must be a number.", param=name)
    if traits.sampling == "none" or thinking:
        return {}
    return {name: min(fields[name], 1) for name in (names if traits.sampling == "both" else names[:1])}


def _shape_answer(
    body: dict[str, Any], fields: Mapping[str, Any], traits: Traits, system: list[dict[str, Any]]
) -> None:
    """Ask for the wanted form of the answer: a format, a forced tool, or in words."""
    wanted = need_object(fields.get("response_format", {"type": "text"}), "response_format")
    kind = wanted.get("type")
    if kind == "json_object":
        system.append({"type": "text", "text": JSON_HINT})
    elif kind == "json_schema":
        schema = _schema_of(wanted)
        if traits.structured:
            body["output_config"] = body.get("output_config", {}) | {
                "format": {"type": "json_schema", "schema": schema}
            }
        else:
            _force_answer_tool(body, schema)
    elif kind != "text":
        raise unsupported("response_format.type", f"{kind!r} cannot be asked of this provider.")


def _schema_of(wanted: Mapping[str, Any]) -> dict[str, Any]:
    _, description, schema = read_schema(wanted)
    fitted = fit_schema(schema, "response_format.json_schema.schema")
    return {"description": description, **fitted} if description else fitted


def _force_answer_tool(body: dict[str, Any], schema: dict[str, Any]) -> None:
    tool = {"name": ANSWER_TOOL, "description": "Gives the answer to the user.", "input_schema": schema}
    others = body.get("tools", [])
    body["tools"] = [*others, tool]
    body["tool_choice"] = {"type": "any"} if others else {"type": "tool", "name": ANSWER_TOOL}

"""A chat completion request as a Converse request.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

import re
from collections.abc import Mapping
from typing import Any

from shared.providers.wires.anthropic.schema import fit_schema
from shared.providers.wires.base import ProviderRequest
from shared.providers.wires.bedrock.content import Block
from shared.providers.wires.bedrock.messages import read_conversation
from shared.providers.wires.bedrock.models import claude_traits, is_structured
from shared.providers.wires.bedrock.reasoning import read_reasoning
from shared.providers.wires.bedrock.tools import answer_tool, read_tools
from shared.providers.wires.blocks import ANSWER_TOOL
from shared.providers.wires.reading import (
    JSON_HINT,
    plain_names,
    read_limit,
    read_schema,
    read_stops,
    refuse_unknown,
)
from shared.surfaces.fields import encode, need_number, need_object, present, unsupported

DROPPED: Mapping[str, str] = {
    "fallbacks": "used by the gateway, not sent to the provider",
    "frequency_penalty, presence_penalty, logit_bias": "the format cannot steer single tokens",
    "seed": "the provider does not offer reproducible answers",
    "parallel_tool_calls": "the format has no such control",
    "prediction": "only speeds up the answer, and the provider does not support it",
    "store": "the provider does not store completions",
    "user, safety_identifier": "the provider has no such field; metadata goes on as requestMetadata",
    "verbosity": "the provider has no such control",
    "moderation": "guardrailConfig is the provider's own way",
    "prompt_cache_key, prompt_cache_options, prompt_cache_retention": (
        "caching is controlled by cache_control and prompt_cache_breakpoint"
    ),
    "stream_options.include_obfuscation": "handled by the gateway's own stream",
    "temperature, top_p": (
        "for models of Claude that refuse them, and while thinking is on; top_p beside temperature where only one "
        "is taken; temperatures above 1 become 1, the provider's maximum"
    ),
    "tools[].function.strict": "for models without structured outputs",
    "tool_choice none": "while the conversation holds tool calls: the format cannot say it",
    "messages[].name": "the provider does not name participants",
    "messages[].reasoning_content": "thoughts are only sent back signed (thinking_blocks)",
    "messages[].content": "blank texts: the provider refuses them",
    "messages[].annotations": "part of an answer that SDKs send back",
    "messages[].content[].image_url.detail": "the provider has one resolution",
}
"""Request fields that do not reach the provider, by design, and why."""

_DROPPED_FIELDS = plain_names(DROPPED) - {"temperature", "top_p"}
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
_NATIVE = ("guardrailConfig", "performanceConfig", "promptVariables", "additionalModelRequestFields")
_READ = frozenset(
    {
        *("model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop"),
        *("stream", "stream_options", "tools", "tool_choice", "reasoning_effort", "thinking", "response_format"),
        *("service_tier", "metadata", *_NATIVE),
    }
)
_TIERS = {"default": "default", "flex": "flex", "priority": "priority"}
_METADATA_TEXT = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")


def converse_request(request: ProviderRequest) -> dict[str, Any]:
    """The body of a Converse or ConverseStream request.

    Raises:
        UnsupportedParameter: A field cannot be expressed.
        InvalidRequest: A field is not of OpenAI's format.
    """
    fields = present(request.fields)
    refuse_unknown(fields, read=_READ, dropped=_DROPPED_FIELDS, refused=_REFUSED)
    system, turns = read_conversation(fields.get("messages"))
    body: dict[str, Any] = {"messages": turns}
    body |= {name: fields[name] for name in _NATIVE if name in fields}
    limit = read_limit(fields)
    reasoning = read_reasoning(fields, request.model, limit)
    inference = _inference(fields, request.model, reasoning.limit, thinking=reasoning.thinking)
    if inference:
        body["inferenceConfig"] = inference
    _add_model_fields(body, fields, reasoning.fields)
    output = {"effort": reasoning.effort} if reasoning.effort else {}
    tools = read_tools(fields, request.model, turns)
    if tools:
        body["toolConfig"] = tools
    _shape_answer(body, fields, request.model, system, output)
    if output:
        body["outputConfig"] = output
    if system:
        body["system"] = system
    return body | _labels(fields)


def answers_by_tool(request: ProviderRequest) -> bool:
    """Whether the answer comes as a forced tool's input: structured output from models that have none."""
    chosen = request.fields.get("response_format")
    wanted = isinstance(chosen, Mapping) and chosen.get("type") == "json_schema"
    return wanted and not is_structured(request.model)


def _inference(fields: Mapping[str, Any], model: str, limit: int | None, *, thinking: bool) -> dict[str, Any]:
    inference: dict[str, Any] = {} if limit is None else {"maxTokens": limit}
    traits = claude_traits(model)
    sampling = [(name, need_number(fields[name], name)) for name in ("temperature", "top_p") if name in fields]
    if thinking or (traits and traits.sampling == "none"):
        sampling = []
    elif traits and traits.sampling == "one":
        sampling = sampling[:1]
    spelt = {"temperature": "temperature", "top_p": "topP"}
    inference |= {spelt[name]: min(value, 1) for name, value in sampling}
    stops = read_stops(fields.get("stop"))
    return inference | ({"stopSequences": stops} if stops else {})


def _add_model_fields(body: dict[str, Any], fields: Mapping[str, Any], reasoning: Mapping[str, Any]) -> None:
    """What only this model knows; the caller's own words win."""
    own = need_object(fields.get("additionalModelRequestFields", {}), "additionalModelRequestFields")
    top_k = {"top_k": fields["top_k"]} if "top_k" in fields else {}
    merged = {**top_k, **reasoning, **own}
    if merged:
        body["additionalModelRequestFields"] = merged


def _shape_answer(
    body: dict[str, Any], fields: Mapping[str, Any], model: str, system: list[Block], output: dict[str, Any]
) -> None:
    """Ask for the wanted form of the answer: a format, a forced tool, or in words."""
    wanted = need_object(fields.get("response_format", {"type": "text"}), "response_format")
    kind = wanted.get("type")
    if kind == "json_object":
        system.append({"text": JSON_HINT})
    elif kind == "json_schema":
        _hold_to_schema(body, wanted, model, output)
    elif kind != "text":
        raise unsupported("response_format.type", f"{kind!r} cannot be asked of this provider.")


def _hold_to_schema(body: dict[str, Any], wanted: Mapping[str, Any], model: str, output: dict[str, Any]) -> None:
    name, description, schema = read_schema(wanted)
    if not is_structured(model):
        others = body.get("toolConfig", {}).get("tools", [])
        choice = {"any": {}} if others else {"tool": {"name": ANSWER_TOOL}}
        body["toolConfig"] = {"tools": [*others, answer_tool(schema)], "toolChoice": choice}
        return
    if claude_traits(model):
        schema = fit_schema(schema, "response_format.json_schema.schema")
    definition = {"schema": encode(schema, "response_format.json_schema.schema").decode(), "name": name}
    if description:
        definition["description"] = description
    output["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": definition}}


def _labels(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``serviceTier`` and ``requestMetadata``, as far as asked for."""
    labels: dict[str, Any] = {}
    tier = fields.get("service_tier", "auto")
    if tier != "auto":
        if not isinstance(tier, str) or tier not in _TIERS:
            raise unsupported("service_tier", f"{tier!r} is none of auto, {', '.join(_TIERS)}.")
        labels["serviceTier"] = {"type": _TIERS[tier]}
    metadata = need_object(fields.get("metadata", {}), "metadata")
    for name, value in metadata.items():
        if not (name and isinstance(value, str) and _plain(name) and _plain(value)):
            raise unsupported(
                f"metadata.{name}", "this provider takes texts of up to 256 letters, digits and :_@$#=/+,-. only."
            )
    return labels | ({"requestMetadata": dict(metadata)} if metadata else {})


def _plain(text: str) -> bool:
    return _METADATA_TEXT.fullmatch(text) is not None

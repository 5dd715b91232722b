"""A Messages request of a caller as a chat completion request.

Source: https://platform.claude.com/docs/en/api/messages
"""

from collections.abc import Mapping
from typing import Any

from shared.errors import InvalidRequest
from shared.surfaces.anthropic.content import Message, assistant_message, text_parts, user_messages
from shared.surfaces.anthropic.extensions import EXTENSIONS
from shared.surfaces.anthropic.tools import chat_tool_choice, chat_tools
from shared.surfaces.fields import need_list, need_object, need_text, need_whole, present, unsupported

DROPPED: Mapping[str, str] = {
    "betas": "for Anthropic's own service; a beta without a counterpart is refused by its own field",
    "context_management": "saves tokens by dropping old content; without it the model reads the whole",
    "diagnostics": "explains Anthropic's cache to its caller; the answer does not change",
    "tools[].eager_input_streaming": "arguments are always streamed as they come",
    "messages[].content[].citations": "when not enabled, or an echo of an answer's",
    "messages[].content[].transformations": "how Anthropic scales images",
}
"""Request fields that are not passed on, by design, and why."""

_DROPPED_FIELDS = frozenset({"betas", "context_management", "diagnostics"})
_READ = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "system",
        "stop_sequences",
        "temperature",
        "top_p",
        "tools",
        "tool_choice",
        "output_config",
        "service_tier",
        "metadata",
        "stream",
        *EXTENSIONS,
    }
)
_TIERS = {"auto": "auto", "standard_only": "default"}
# Budgets (tokens) below which an effort is meant; between those that our wire gives the efforts.
_EFFORT_BELOW = ((4096, "low"), (16_384, "medium"))


def chat_request(body: Mapping[str, Any], *, counting: bool = False) -> dict[str, Any]:
    """The chat completion request that means the same, with extensions where OpenAI's format has no words.

    Args:
        body: A Messages request, or one to count tokens of.
        counting: ``max_tokens`` is not asked for.

    Raises:
        UnsupportedParameter: Something has no counterpart; ``param`` is its path.
        InvalidRequest: It is no Messages request.
    """
    fields = present(body)
    for name in fields:
        if name not in _READ and name not in _DROPPED_FIELDS:
            raise unsupported(name, "the gateway cannot offer this.")
    chat: dict[str, Any] = {"model": need_text(fields.get("model"), "model"), "messages": _messages(fields)}
    if not counting:
        chat["max_completion_tokens"] = need_whole(fields.get("max_tokens"), "max_tokens")
    chat |= {name: fields[name] for name in ("temperature", "top_p", *EXTENSIONS) if name in fields}
    chat |= _options(fields)
    chat |= chat_tools(fields.get("tools", []))
    if "tools" in chat:
        chat |= chat_tool_choice(fields.get("tool_choice"))
    chat |= _output(fields)
    if fields.get("stream") is True:
        chat |= {"stream": True, "stream_options": {"include_usage": True}}
    return chat


def _messages(fields: Mapping[str, Any]) -> list[Message]:
    messages: list[Message] = []
    if "system" in fields:
        messages.append({"role": "system", "content": text_parts(fields["system"], "system")})
    for index, message in enumerate(need_list(fields.get("messages"), "messages")):
        path = f"messages[{index}]"
        turn = need_object(message, path)
        role, content, item_path = turn.get("role"), turn.get("content"), f"{path}.content"
        if role == "user":
            messages += user_messages(content, item_path)
        elif role == "assistant":
            messages.append(assistant_message(content, item_path))
        elif role == "system":
            messages.append({"role": "system", "content": text_parts(content, item_path)})
        else:
            raise InvalidRequest(f"{path}.role must be user, assistant or system.", param=f"{path}.role")
    return messages


def _options(fields: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    stops = need_list(fields.get("stop_sequences", []), "stop_sequences")
    if stops:
        options["stop"] = [need_text(stop, f"stop_sequences[{index}]") for index, stop in enumerate(stops)]
    user = need_object(fields.get("metadata", {}), "metadata").get("user_id")
    if user is not None:
        options["user"] = need_text(user, "metadata.user_id")
    if "service_tier" in fields:
        tier = need_text(fields["service_tier"], "service_tier")
        if tier not in _TIERS:
            raise InvalidRequest(f"service_tier is none of {', '.join(_TIERS)}.", param="service_tier")
        options["service_tier"] = _TIERS[tier]
    return options


def _output(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``reasoning_effort`` and ``response_format``."""
    config = present(need_object(fields.get("output_config", {}), "output_config"))
    unknown = config.keys() - {"effort", "format"}
    if unknown:
        raise unsupported(f"output_config.{min(unknown)}", "the gateway does not know the field.")
    output: dict[str, Any] = {}
    effort = config.get("effort") or _effort_of(need_object(fields.get("thinking", {}), "thinking"))
    if effort is not None:
        output["reasoning_effort"] = need_text(effort, "output_config.effort")
    if "format" in config:
        form = need_object(config["format"], "output_config.format")
        if form.get("type") != "json_schema":
            raise unsupported("output_config.format.type", f"{form.get('type')!r} is not known.")
        schema = dict(need_object(form.get("schema"), "output_config.format.schema"))
        named = {"name": "output", "schema": schema, "strict": _fits_strict(schema)}
        output["response_format"] = {"type": "json_schema", "json_schema": named}
    return output


def _fits_strict(schema: Mapping[str, Any]) -> bool:
    """Whether OpenAI's strict mode takes the schema: all properties required, all objects closed."""
    left: list[Any] = [schema]
    while left:
        each = left.pop()
        if isinstance(each, list):
            left += each
        elif isinstance(each, Mapping):
            left += each.values()
            properties = each.get("properties")
            required = each.get("required")
            if isinstance(properties, Mapping) and "type" in each:
                listed = isinstance(required, list) and all(name in required for name in properties)
                if not listed or each.get("additionalProperties") is not False:
                    return False
    return True


def _effort_of(thinking: Mapping[str, Any]) -> str | None:
    """The effort that a budget of tokens means; adaptive and disabled leave it to the model's default."""
    if thinking.get("type") != "enabled":
        return None
    budget = need_whole(thinking.get("budget_tokens"), "thinking.budget_tokens")
    return next((effort for below, effort in _EFFORT_BELOW if budget < below), "high")

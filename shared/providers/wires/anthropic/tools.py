"""Functions that the model may call, and which of them it must.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview
"""

from collections.abc import Mapping
from typing import Any

from shared.errors import InvalidRequest
from shared.providers.wires.allowed import offer_allowed
from shared.providers.wires.anthropic.content import with_cache_mark
from shared.providers.wires.anthropic.models import Traits
from shared.providers.wires.anthropic.schema import fit_schema
from shared.providers.wires.messages import read_function
from shared.surfaces.fields import need_list, need_object, need_text, unsupported

_CHOICES = {"auto": "auto", "required": "any", "none": "none"}


def read_tools(fields: Mapping[str, Any], traits: Traits) -> dict[str, Any]:
    """``tools`` and ``tool_choice``, as far as asked for.

    Raises:
        UnsupportedParameter: A tool or a choice that is not about functions.
        InvalidRequest: It is not of OpenAI's format.
    """
    fields = offer_allowed(fields)
    tools = [
        _encode_tool(need_object(tool, f"tools[{index}]"), f"tools[{index}]", traits)
        for index, tool in enumerate(need_list(fields.get("tools", []), "tools"))
    ]
    choice = _encode_choice(fields.get("tool_choice"))
    if not tools:
        if choice is not None and choice["type"] in {"any", "tool"}:
            raise InvalidRequest("tool_choice asks for a tool and there are no tools.", param="tool_choice")
        return {}
    if fields.get("parallel_tool_calls") is False and (choice is None or choice["type"] != "none"):
        choice = (choice or {"type": "auto"}) | {"disable_parallel_tool_use": True}
    return {"tools": tools} | ({"tool_choice": choice} if choice else {})


def _encode_tool(tool: Mapping[str, Any], path: str, traits: Traits) -> dict[str, Any]:
    function = read_function(tool, path)
    strict = function.fields.get("strict") is True and traits.structured
    encoded: dict[str, Any] = {"name": function.name}
    if function.description is not None:
        encoded["description"] = function.description
    schema = {"type": "object", **(function.parameters or {})}
    encoded["input_schema"] = fit_schema(schema, f"{function.path}.parameters") if strict else schema
    if strict:
        encoded["strict"] = True
    return with_cache_mark(encoded, function.fields if "cache_control" in function.fields else tool)


def _encode_choice(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    if isinstance(value, str):
        if value not in _CHOICES:
            raise InvalidRequest(f"tool_choice is none of {', '.join(_CHOICES)}.", param="tool_choice")
        return {"type": _CHOICES[value]}
    chosen = need_object(value, "tool_choice")
    if chosen.get("type") != "function":
        raise unsupported("tool_choice.type", f"{chosen.get('type')!r} cannot be asked of this provider.")
    function = need_object(chosen.get("function"), "tool_choice.function")
    return {"type": "tool", "name": need_text(function.get("name"), "tool_choice.function.name")}

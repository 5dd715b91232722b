"""Tools of a Messages request as OpenAI's functions.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview
"""

from collections.abc import Mapping
from typing import Any

from shared.errors import InvalidRequest
from shared.surfaces.fields import need_list, need_object, need_text, present, unsupported

_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_READ = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
# Fields with the one value that asks for nothing, or None for those that may go with any.
_HARMLESS: Mapping[str, Any] = {
    "eager_input_streaming": None,
    "defer_loading": False,
    "allowed_callers": ["direct"],
    "input_examples": [],
}


def chat_tools(tools: object) -> dict[str, Any]:
    """``tools`` as functions; nothing for none.

    Raises:
        UnsupportedParameter: A tool of Anthropic's own, or a way of calling that others do not have.
        InvalidRequest: It is no list of tools.
    """
    made = [
        _function(present(need_object(tool, f"tools[{index}]")), f"tools[{index}]")
        for index, tool in enumerate(need_list(tools, "tools"))
    ]
    return {"tools": made} if made else {}


def _function(tool: Mapping[str, Any], path: str) -> dict[str, Any]:
    if tool.get("type", "custom") != "custom":
        raise unsupported(f"{path}.type", f"{tool['type']!r} is Anthropic's own; only functions can be offered.")
    for name, value in tool.items():
        if name in _READ or (name in _HARMLESS and _HARMLESS[name] in (None, value)):
            continue
        raise unsupported(f"{path}.{name}", "this model has nothing like it.")
    function: dict[str, Any] = {
        "name": need_text(tool.get("name"), f"{path}.name"),
        "parameters": dict(need_object(tool.get("input_schema"), f"{path}.input_schema")),
    }
    if "description" in tool:
        function["description"] = need_text(tool["description"], f"{path}.description")
    if tool.get("strict") is True:
        function["strict"] = True
    mark = {"cache_control": tool["cache_control"]} if "cache_control" in tool else {}
    return {"type": "function", "function": function, **mark}


def chat_tool_choice(value: object) -> dict[str, Any]:
    """``tool_choice`` and ``parallel_tool_calls``, as far as asked for.

    Raises:
        InvalidRequest: It is no choice of tools.
    """
    if value is None:
        return {}
    choice = need_object(value, "tool_choice")
    kind = choice.get("type")
    made: dict[str, Any] = {}
    if choice.get("disable_parallel_tool_use") is True:
        made["parallel_tool_calls"] = False
    if kind == "tool":
        name = need_text(choice.get("name"), "tool_choice.name")
        return made | {"tool_choice": {"type": "function", "function": {"name": name}}}
    if not isinstance(kind, str) or kind not in _CHOICES:
        raise InvalidRequest("tool_choice.type is none of auto, any, tool, none.", param="tool_choice.type")
    return made | {"tool_choice": _CHOICES[kind]}

"""Tools and the choice among them.

Source: https://ai.google.dev/api/caching#Tool, https://ai.google.dev/api/caching#FunctionCallingConfig
"""

from collections.abc import Mapping
from typing import Any

from shared.providers.wires.messages import read_function
from shared.surfaces.fields import need_list, need_object, need_text, unsupported

_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def read_tools(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``tools``: all functions in one tool, and a search of the web if ``web_search_options`` asks for it.

    Raises:
        UnsupportedParameter: A tool that is not a function, or a search with wishes.
        InvalidRequest: They are not tools.
    """
    declarations = []
    for index, tool in enumerate(need_list(fields.get("tools", []), "tools")):
        item_path = f"tools[{index}]"
        declarations.append(_encode_function(need_object(tool, item_path), item_path))
    tools: list[dict[str, Any]] = [{"functionDeclarations": declarations}] if declarations else []
    if "web_search_options" in fields:
        if need_object(fields["web_search_options"], "web_search_options"):
            raise unsupported("web_search_options", "this provider searches as it likes: leave the object empty.")
        tools.append({"googleSearch": {}})
    return tools


def read_choice(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``functionCallingConfig``; empty: the model's own choice.

    Raises:
        UnsupportedParameter: The choice cannot be expressed.
        InvalidRequest: It is no choice.
    """
    choice = fields.get("tool_choice")
    if choice is None:
        return {}
    if isinstance(choice, str):
        if choice not in _MODES:
            raise unsupported("tool_choice", f"{choice!r} is none of {', '.join(_MODES)}.")
        return {"mode": _MODES[choice]}
    named = need_object(choice, "tool_choice")
    if named.get("type") == "function":
        return {"mode": "ANY", "allowedFunctionNames": [_name(named, "tool_choice")]}
    if named.get("type") == "allowed_tools":
        return _allowed(need_object(named.get("allowed_tools"), "tool_choice.allowed_tools"))
    raise unsupported("tool_choice.type", f"{named.get('type')!r} cannot be asked of this provider.")


def wants_one_call(fields: Mapping[str, Any]) -> bool:
    """Whether an answer may hold one tool call at most: the format cannot say so, the answer is read accordingly."""
    return fields.get("parallel_tool_calls") is False


def _encode_function(tool: Mapping[str, Any], path: str) -> dict[str, Any]:
    function = read_function(tool, path)
    declared: dict[str, Any] = {"name": function.name}
    if function.description is not None:
        declared["description"] = function.description
    if function.parameters is not None:
        declared["parametersJsonSchema"] = function.parameters
    return declared


def _allowed(allowed: Mapping[str, Any]) -> dict[str, Any]:
    """Some of the functions: one must be called (``required``), or may be (``auto``)."""
    path = "tool_choice.allowed_tools"
    tools = need_list(allowed.get("tools"), f"{path}.tools")
    names = [_name(need_object(tool, f"{path}.tools[{at}]"), f"{path}.tools[{at}]") for at, tool in enumerate(tools)]
    mode = allowed.get("mode")
    if mode not in ("auto", "required"):
        raise unsupported(f"{path}.mode", f"{mode!r} is none of auto, required.")
    # The names of a choice are not heeded in mode AUTO; VALIDATED is the mode that leaves the choice and heeds them.
    return {"mode": "ANY" if mode == "required" else "VALIDATED", "allowedFunctionNames": names}


def _name(named: Mapping[str, Any], path: str) -> str:
    function = need_object(named.get("function"), f"{path}.function")
    return need_text(function.get("name"), f"{path}.function.name")

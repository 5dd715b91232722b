"""Tools and the choice among them, from Responses' flat form to chat's nested one."""

from collections.abc import Mapping
from typing import Any

from shared.errors import InvalidRequest
from shared.surfaces.responses.content import check_keys, refuse, text_of

_FUNCTION = ("name", "description", "parameters", "strict")
_KNOWN = frozenset({"type", *_FUNCTION})


def chat_tools(tools: object, choice: object) -> dict[str, Any]:
    """``tools`` and ``tool_choice`` of a chat request; neither, where there are no tools.

    Raises:
        InvalidRequest: They are not of the format, or the choice names a tool that is not there.
        UnsupportedParameter: A tool is one that OpenAI itself runs.
    """
    nested = [_nested(tool, f"tools[{index}]") for index, tool in enumerate(_list(tools, "tools"))]
    names = [tool["function"]["name"] for tool in nested]
    picked, chosen = _chosen(choice, names)
    if not picked:
        return {}
    kept = [tool for tool in nested if tool["function"]["name"] in picked]
    return {"tools": kept} if chosen is None else {"tools": kept, "tool_choice": chosen}


def _list(value: object, path: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidRequest(f"{path} must be a list.", param=path)
    return value


def _nested(tool: object, path: str) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise InvalidRequest(f"{path} must be an object.", param=path)
    if tool.get("type") != "function":
        refuse(f"{path}.type", f"a tool of type {tool.get('type')!r}")
    check_keys(tool, _KNOWN, path)
    text_of(tool, "name", path)
    return {
        "type": "function",
        "function": {key: tool[key] for key in _FUNCTION if tool.get(key) is not None},
    }


def _chosen(choice: object, names: list[str]) -> tuple[list[str], str | dict[str, Any] | None]:
    """Names of the tools to offer, and chat's ``tool_choice``."""
    if choice is None or isinstance(choice, str):
        if choice not in {None, "auto", "none", "required"}:
            raise InvalidRequest("tool_choice must be auto, none, required or an object.", param="tool_choice")
        if choice == "required" and not names:
            raise InvalidRequest("tool_choice is 'required', and there are no tools.", param="tool_choice")
        return names, choice
    if not isinstance(choice, dict):
        raise InvalidRequest("tool_choice must be auto, none, required or an object.", param="tool_choice")
    kind = choice.get("type")
    if kind == "function":
        name = _present(choice, names, "tool_choice")
        return names, {"type": "function", "function": {"name": name}}
    if kind == "allowed_tools":
        # Offering nothing else is the same, and every chat can say it.
        return _allowed(choice, names), _mode(choice.get("mode"))
    return refuse("tool_choice.type", f"a tool choice of type {kind!r}")


def _allowed(choice: Mapping[str, Any], names: list[str]) -> list[str]:
    path = "tool_choice.tools"
    allowed = []
    for index, tool in enumerate(_list(choice.get("tools"), path)):
        if not isinstance(tool, dict) or tool.get("type") != "function":
            refuse(f"{path}[{index}].type", "a tool that is no function")
        allowed.append(_present(tool, names, f"{path}[{index}]"))
    if not allowed:
        raise InvalidRequest(f"{path} must name at least one tool.", param=path)
    return allowed


def _mode(mode: object) -> str:
    if mode is None:
        return "auto"
    if isinstance(mode, str) and mode in {"auto", "none", "required"}:
        return mode
    raise InvalidRequest("tool_choice.mode must be auto, none or required.", param="tool_choice.mode")


def _present(named: Mapping[str, Any], names: list[str], path: str) -> str:
    name = text_of(named, "name", path)
    if name not in names:
        raise InvalidRequest(f"{path}: no tool is named {name[:64]!r}.", param=f"{path}.name")
    return name

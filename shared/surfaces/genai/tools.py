"""Tools and the choice among them, in OpenAI's format.

Source: https://ai.google.dev/api/caching#Tool
"""

from typing import Any

from shared.errors import InvalidRequest
from shared.surfaces.fields import need_list, need_object, need_text
from shared.surfaces.genai.schema import json_schema
from shared.surfaces.genai.spelling import read_object, refuse_others

_DECLARED = frozenset(
    {"name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema", "behavior"}
)
_MODES = {"AUTO": "auto", "NONE": "none", "ANY": "required", "VALIDATED": "auto"}


def chat_tools(value: object) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Functions in OpenAI's form, and the tools that Google runs itself (search, code, ...) in theirs.

    Raises:
        InvalidRequest: They are not tools.
    """
    functions: list[dict[str, Any]] = []
    native: list[dict[str, Any]] = []
    for index, each in enumerate(need_list(value, "tools")):
        tool = read_object(each, f"tools[{index}]")
        path = f"tools[{index}].functionDeclarations"
        for number, declared in enumerate(need_list(tool.pop("functionDeclarations", []), path)):
            functions.append(_function(declared, f"{path}[{number}]"))
        if tool:
            native.append(tool)
    return functions, native


def _function(declared: object, path: str) -> dict[str, Any]:
    fields = read_object(declared, path)
    refuse_others(fields, _DECLARED, path)
    function: dict[str, Any] = {"name": need_text(fields.get("name"), f"{path}.name")}
    if "description" in fields:
        function["description"] = need_text(fields["description"], f"{path}.description")
    if "parametersJsonSchema" in fields:
        function["parameters"] = dict(need_object(fields["parametersJsonSchema"], f"{path}.parametersJsonSchema"))
    elif "parameters" in fields:
        function["parameters"] = json_schema(fields["parameters"], f"{path}.parameters")
    return {"type": "function", "function": function}


def chat_choice(value: object) -> dict[str, Any]:
    """``tool_choice``; empty: the model's own choice.

    Raises:
        InvalidRequest: It is no choice.
    """
    path = "toolConfig.functionCallingConfig"
    config = read_object(value, path)
    refuse_others(config, {"mode", "allowedFunctionNames"}, path)
    mode = str(config.get("mode", "MODE_UNSPECIFIED")).upper()
    if mode == "MODE_UNSPECIFIED":
        return {}
    if mode not in _MODES:
        raise InvalidRequest(f"{path}.mode is none of {', '.join(_MODES)}.", param=f"{path}.mode")
    names = [
        need_text(name, f"{path}.allowedFunctionNames")
        for name in need_list(config.get("allowedFunctionNames", []), f"{path}.allowedFunctionNames")
    ]
    if not names or mode in {"AUTO", "NONE"}:
        return {"tool_choice": _MODES[mode]}
    chosen = [{"type": "function", "function": {"name": name}} for name in names]
    if mode == "ANY" and len(chosen) == 1:
        return {"tool_choice": chosen[0]}
    allowed = {"mode": _MODES[mode], "tools": chosen}
    return {"tool_choice": {"type": "allowed_tools", "allowed_tools": allowed}}

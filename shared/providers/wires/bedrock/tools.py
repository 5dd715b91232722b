"""Functions that the model may call, and which of them it must.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolConfiguration.html
"""

from collections.abc import Iterable, Mapping
from typing import Any

from shared.errors import InvalidRequest
from shared.providers.wires.allowed import offer_allowed
from shared.providers.wires.anthropic.schema import fit_schema
from shared.providers.wires.bedrock.content import cache_point
from shared.providers.wires.bedrock.messages import Turn
from shared.providers.wires.bedrock.models import family_of, is_structured
from shared.providers.wires.blocks import ANSWER_TOOL
from shared.providers.wires.messages import read_function
from shared.surfaces.fields import need_list, need_object, need_text, unsupported

_CHOICES: Mapping[str, dict[str, Any]] = {"auto": {"auto": {}}, "required": {"any": {}}}


def read_tools(fields: Mapping[str, Any], model: str, turns: Iterable[Turn]) -> dict[str, Any] | None:
    """``toolConfig``; None: the model is offered none.

    A conversation that holds calls cannot go without the functions it speaks of: they are named from the calls
    where the request has none, and stay where ``tool_choice`` is ``none``, which this format cannot say.

    Raises:
        UnsupportedParameter: A tool or a choice that is not about functions.
        InvalidRequest: It is not of OpenAI's format.
    """
    fields = offer_allowed(fields)
    tools: list[dict[str, Any]] = []
    for index, tool in enumerate(need_list(fields.get("tools", []), "tools")):
        tools += _encode_tool(need_object(tool, f"tools[{index}]"), f"tools[{index}]", model)
    choice = fields.get("tool_choice")
    called = _called(turns)
    if choice == "none" and not called:
        return None
    if not tools:
        if choice not in {None, "none", "auto"} if isinstance(choice, str | None) else True:
            raise InvalidRequest("tool_choice asks for a tool and there are no tools.", param="tool_choice")
        return {"tools": [_bare(name) for name in called]} if called else None
    if choice is None or choice == "none":
        return {"tools": tools}
    return {"tools": tools, "toolChoice": _encode_choice(choice)}


def answer_tool(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The tool that takes the answer."""
    spec = {
        "name": ANSWER_TOOL,
        "description": "Gives the answer to the user.",
        "inputSchema": {"json": {"type": "object", **schema}},
    }
    return {"toolSpec": spec}


def _called(turns: Iterable[Turn]) -> list[str]:
    blocks = (block for turn in turns for block in turn["content"])
    return list(dict.fromkeys(block["toolUse"]["name"] for block in blocks if "toolUse" in block))


def _bare(name: str) -> dict[str, Any]:
    return {"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}}


def _encode_tool(tool: Mapping[str, Any], path: str, model: str) -> list[dict[str, Any]]:
    function = read_function(tool, path)
    spec: dict[str, Any] = {"name": function.name}
    if function.description:
        spec["description"] = function.description
    schema = {"type": "object", **(function.parameters or {})}
    strict = function.fields.get("strict") is True and is_structured(model)
    if strict and family_of(model) == "claude":
        schema = fit_schema(schema, f"{function.path}.parameters")
    spec["inputSchema"] = {"json": schema}
    if strict:
        spec["strict"] = True
    return [{"toolSpec": spec}, *cache_point(function.fields if "cache_control" in function.fields else tool)]


def _encode_choice(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        if value not in _CHOICES:
            raise InvalidRequest("tool_choice is none of auto, none, required.", param="tool_choice")
        return _CHOICES[value]
    chosen = need_object(value, "tool_choice")
    if chosen.get("type") != "function":
        raise unsupported("tool_choice.type", f"{chosen.get('type')!r} cannot be asked of this provider.")
    function = need_object(chosen.get("function"), "tool_choice.function")
    return {"tool": {"name": need_text(function.get("name"), "tool_choice.function.name")}}

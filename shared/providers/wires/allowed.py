"""``tool_choice`` of type ``allowed_tools``, for formats without it: only the allowed tools are offered.

Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tool_choice
"""

from collections.abc import Mapping
from typing import Any

from shared.errors import InvalidRequest
from shared.surfaces.fields import need_list, need_object, need_text

_PATH = "tool_choice.allowed_tools"


def offer_allowed(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the request with only the allowed tools and a plain choice among them; unchanged without such a choice.

    Raises:
        InvalidRequest: The choice is not of OpenAI's format, or allows a function that is not in tools.
    """
    choice = fields.get("tool_choice")
    if not isinstance(choice, Mapping) or choice.get("type") != "allowed_tools":
        return fields
    allowed = need_object(choice.get("allowed_tools"), _PATH)
    mode = allowed.get("mode")
    if mode not in ("auto", "required"):
        raise InvalidRequest(f"{_PATH}.mode must be auto or required.", param=f"{_PATH}.mode")
    listed = need_list(allowed.get("tools"), f"{_PATH}.tools")
    names = {_name(tool, f"{_PATH}.tools[{at}]") for at, tool in enumerate(listed)}
    tools = need_list(fields.get("tools", []), "tools")
    allowed_tools = [tool for at, tool in enumerate(tools) if _name(tool, f"tools[{at}]") in names]
    if len(allowed_tools) < len(names) or not names:
        raise InvalidRequest(f"{_PATH}.tools names functions that are not in tools.", param=f"{_PATH}.tools")
    return {**fields, "tools": allowed_tools, "tool_choice": mode}


def _name(tool: object, path: str) -> str:
    function = need_object(need_object(tool, path).get("function"), f"{path}.function")
    return need_text(function.get("name"), f"{path}.function.name")

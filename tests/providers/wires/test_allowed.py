from typing import Any

import pytest

from shared.errors import InvalidRequest
from shared.providers.wires.allowed import offer_allowed


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def choice(*names: str, mode: str = "required") -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [tool(name) for name in names]}}


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_only_the_allowed_tools_are_offered(mode: str) -> None:
    fields = {"model": "m", "tools": [tool("f"), tool("g"), tool("h")], "tool_choice": choice("h", "f", mode=mode)}
    assert offer_allowed(fields) == {"model": "m", "tools": [tool("f"), tool("h")], "tool_choice": mode}


@pytest.mark.parametrize("chosen", [None, "auto", tool("f")])
def test_another_choice_changes_nothing(chosen: object) -> None:
    fields = {"tools": [tool("f")], "tool_choice": chosen}
    assert offer_allowed(fields) is fields


@pytest.mark.parametrize(
    "chosen",
    [
        choice("f", mode="any"),
        choice("nobody"),
        choice(),
        {"type": "allowed_tools"},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function"}]}},
    ],
)
def test_what_is_no_choice_among_the_tools_is_refused(chosen: object) -> None:
    with pytest.raises(InvalidRequest):
        offer_allowed({"tools": [tool("f")], "tool_choice": chosen})

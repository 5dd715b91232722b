"""Takes out of a chat request what of Anthropic's own a target does not understand, or refuses it."""

from collections.abc import Mapping
from typing import Any

from shared.surfaces.dialect import Dialect
from shared.surfaces.fields import unsupported

EXTENSIONS = frozenset({"thinking", "top_k", "cache_control", "inference_geo", "speed"})
"""Fields of Anthropic's that travel beside OpenAI's."""

DROPPED_ELSEWHERE: Mapping[str, str] = {
    "thinking": "a budget is sent as reasoning_effort; adaptive and disabled leave it to the model",
    "cache_control": "other providers cache by themselves; the answer does not change",
    "messages[].content[].thinking, .redacted_thinking": "only the provider that signed thoughts can read them",
    "messages[].content[].is_error": "the text of a tool's result says that it failed",
    "inference_geo, speed": "when they ask for nothing special: global, standard",
}
"""What a request to another model than Claude loses, by design, and why; all else that it cannot say is refused."""

_PLAIN_VALUES = {"inference_geo": ("global",), "speed": ("standard",)}
_MESSAGE_EXTENSIONS = frozenset({"thinking_blocks", "reasoning_content", "is_error", "cache_control"})


def without_extensions(chat: dict[str, Any], *, dialect: Dialect) -> dict[str, Any]:
    """The request as a target takes it.

    Args:
        chat: A chat request that may hold extensions.
        dialect: Which extensions the target understands.

    Raises:
        UnsupportedParameter: The caller asks for something that the target does not have.
    """
    if dialect.anthropic:
        return chat
    for name, plain_values in _PLAIN_VALUES.items():
        if name in chat and chat[name] not in plain_values:
            raise unsupported(name, "only Anthropic's own service has it.")
    if "top_k" in chat and not dialect.top_k:
        raise unsupported("top_k", "this provider has no such control.")
    # Claude behind another format knows cache marks on content, but not the one for the whole request.
    kept = {"top_k", "thinking"} if dialect.claude else {"top_k"}
    plain = {name: value for name, value in chat.items() if name not in EXTENSIONS - kept}
    return plain if dialect.claude else _without_marks(plain)


def _without_marks(chat: dict[str, Any]) -> dict[str, Any]:
    chat["messages"] = [_plain_message(message) for message in chat["messages"]]
    if "tools" in chat:
        chat["tools"] = [_unmarked(tool) for tool in chat["tools"]]
    return chat


def _plain_message(message: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in message.items() if name not in _MESSAGE_EXTENSIONS}
    if isinstance(plain.get("content"), list):
        plain["content"] = [_unmarked(part) for part in plain["content"]]
    if "tool_calls" in plain:
        plain["tool_calls"] = [_unmarked(call) for call in plain["tool_calls"]]
    return plain


def _unmarked(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "cache_control"}

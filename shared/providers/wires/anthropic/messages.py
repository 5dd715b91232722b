"""A conversation in OpenAI's chat format as system blocks and alternating turns.

Source: https://platform.claude.com/docs/en/api/messages
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.errors import InvalidRequest
from shared.providers.wires.anthropic.content import Block, blocks_of, with_cache_mark
from shared.surfaces.fields import need_list, need_object, need_text, unsupported

Turn = dict[str, Any]


def read_conversation(messages: object) -> tuple[list[Block], list[Turn]]:
    """The system blocks and the turns of a conversation.

    System and developer messages are joined wherever they stand; neighbours of one role become one turn,
    with the results of tools first, as the provider demands of parallel calls.

    Raises:
        UnsupportedParameter: Content that the format cannot express.
        InvalidRequest: The messages are not of OpenAI's format, or nothing is said in them.
    """
    system: list[Block] = []
    turns: list[Turn] = []
    for index, message in enumerate(need_list(messages, "messages")):
        path = f"messages[{index}]"
        role, blocks = _read_message(need_object(message, path), path)
        if not blocks:
            continue
        if role == "system":
            system += blocks
        elif turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    if not turns:
        raise unsupported("messages", "this provider needs a message of the user that is not blank.")
    for turn in turns:
        turn["content"].sort(key=lambda block: block["type"] != "tool_result" and turn["role"] == "user")
    return system, turns


def _read_message(message: Mapping[str, Any], path: str) -> tuple[str, list[Block]]:
    role = message.get("role")
    if role in ("system", "developer"):
        return "system", _marked(_text_only(message, path), message)
    if role == "user":
        return "user", _marked(blocks_of(message.get("content"), f"{path}.content"), message)
    if role == "assistant":
        return "assistant", _marked(_said(message, path), message)
    if role == "tool":
        return "user", [with_cache_mark(_tool_result(message, path), message)]
    raise unsupported(f"{path}.role", f"messages of role {role!r} cannot be sent to this provider.")


def _marked(blocks: list[Block], message: Mapping[str, Any]) -> list[Block]:
    """The blocks, the last one with the message's own cache mark if it has one."""
    if blocks:
        with_cache_mark(blocks[-1], message)
    return blocks


def _text_only(message: Mapping[str, Any], path: str) -> list[Block]:
    blocks = blocks_of(message.get("content"), f"{path}.content")
    if any(block["type"] != "text" for block in blocks):
        raise unsupported(f"{path}.content", "system and developer messages can hold text only.")
    return blocks


def _said(message: Mapping[str, Any], path: str) -> list[Block]:
    """An assistant's turn, its signed thoughts first: the provider refuses tool calls without them."""
    for name in ("audio", "function_call"):
        if message.get(name) is not None:
            raise unsupported(f"{path}.{name}", "it cannot be sent to this provider.")
    blocks = _thoughts(message.get("thinking_blocks"), f"{path}.thinking_blocks")
    blocks += blocks_of(message.get("content"), f"{path}.content")
    blocks += blocks_of(message.get("refusal"), f"{path}.refusal")
    for index, call in enumerate(need_list(message.get("tool_calls") or [], f"{path}.tool_calls")):
        place = f"{path}.tool_calls[{index}]"
        blocks.append(_tool_use(need_object(call, place), place))
    return blocks


def _thoughts(value: object, path: str) -> list[Block]:
    blocks: list[Block] = []
    for index, thought in enumerate(need_list(value or [], path)):
        place = f"{path}[{index}]"
        fields = need_object(thought, place)
        if fields.get("type") == "redacted_thinking":
            blocks.append({"type": "redacted_thinking", "data": need_text(fields.get("data"), f"{place}.data")})
        elif fields.get("type") == "thinking":
            text = need_text(fields.get("thinking"), f"{place}.thinking")
            signature = need_text(fields.get("signature"), f"{place}.signature")
            blocks.append({"type": "thinking", "thinking": text, "signature": signature})
        else:
            raise unsupported(f"{place}.type", "thinking or redacted_thinking is expected.")
    return blocks


def _tool_use(call: Mapping[str, Any], path: str) -> Block:
    if call.get("type", "function") != "function":
        raise unsupported(f"{path}.type", f"tool calls of type {call.get('type')!r} cannot be sent to this provider.")
    function = need_object(call.get("function"), f"{path}.function")
    block = {
        "type": "tool_use",
        "id": need_text(call.get("id"), f"{path}.id"),
        "name": need_text(function.get("name"), f"{path}.function.name"),
        "input": _read_arguments(function.get("arguments"), f"{path}.function.arguments"),
    }
    return with_cache_mark(block, call)


def _read_arguments(value: object, path: str) -> dict[str, Any]:
    """The arguments as an object; a function without parameters is often called with an empty text."""
    text = need_text(value, path)
    try:
        arguments = orjson.loads(text) if text.strip() else {}
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"{path} must be JSON.", param=path) from error
    if not isinstance(arguments, dict):
        raise InvalidRequest(f"{path} must be a JSON object.", param=path)
    return arguments


def _tool_result(message: Mapping[str, Any], path: str) -> Block:
    block: Block = {
        "type": "tool_result",
        "tool_use_id": need_text(message.get("tool_call_id"), f"{path}.tool_call_id"),
    }
    content = blocks_of(message.get("content"), f"{path}.content")
    if content:
        plain = len(content) == 1 and content[0].keys() == {"type", "text"}
        block["content"] = content[0]["text"] if plain else content
    if message.get("is_error") is True:
        block["is_error"] = True
    return block

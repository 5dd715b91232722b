"""A conversation in OpenAI's chat format as system blocks and alternating turns.

Source: https://platform.claude.com/docs/en/api/messages
"""

from collections.abc import Mapping
from typing import Any

from shared.providers.wires.anthropic.content import Block, blocks_of, with_cache_mark
from shared.providers.wires.messages import read_thoughts, read_tool_calls, refuse_audio_and_functions
from shared.surfaces.fields import need_list, need_object, need_text, unsupported

Turn = dict[str, Any]


def read_conversation(messages: object) -> tuple[list[Block], list[Turn]]:
    """The system blocks and the turns of a conversation.

    System and developer messages are joined wherever they stand; neighbours of one role become one turn,
    with the results of tools first, as the provider demands of parallel calls.

    Raises:
        UnsupportedParameter: Content that the format cannot express.
        InvalidRequest: The messages are not of OpenAI's format, or hold no content.
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
        return "system", _marked(_encode_system(message, path), message)
    if role == "user":
        return "user", _marked(blocks_of(message.get("content"), f"{path}.content"), message)
    if role == "assistant":
        return "assistant", _marked(_encode_assistant(message, path), message)
    if role == "tool":
        return "user", [with_cache_mark(_encode_tool_result(message, path), message)]
    raise unsupported(f"{path}.role", f"messages of role {role!r} cannot be sent to this provider.")


def _marked(blocks: list[Block], message: Mapping[str, Any]) -> list[Block]:
    """The blocks, the last one with the message's own cache mark if it has one."""
    if blocks:
        with_cache_mark(blocks[-1], message)
    return blocks


def _encode_system(message: Mapping[str, Any], path: str) -> list[Block]:
    blocks = blocks_of(message.get("content"), f"{path}.content")
    if any(block["type"] != "text" for block in blocks):
        raise unsupported(f"{path}.content", "system and developer messages can hold text only.")
    return blocks


def _encode_assistant(message: Mapping[str, Any], path: str) -> list[Block]:
    """An assistant's turn, its signed thoughts first: the provider refuses tool calls without them."""
    refuse_audio_and_functions(message, path)
    blocks: list[Block] = list(read_thoughts(message, path))
    blocks += blocks_of(message.get("content"), f"{path}.content")
    blocks += blocks_of(message.get("refusal"), f"{path}.refusal")
    for call in read_tool_calls(message, path):
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
        blocks.append(with_cache_mark(block, call.fields))
    return blocks


def _encode_tool_result(message: Mapping[str, Any], path: str) -> Block:
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

"""A conversation in OpenAI's chat format as system blocks and alternating turns.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-call.html
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from shared.providers.wires.bedrock.content import Block, blocks_of, cache_point
from shared.providers.wires.reading import read_arguments
from shared.surfaces.fields import need_list, need_object, need_text, unsupported

Turn = dict[str, Any]

_TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
# What may stand inside a tool's result.
_RESULT_KINDS = frozenset({"text", "image", "document"})


def read_conversation(messages: object) -> tuple[list[Block], list[Turn]]:
    """The system blocks and the turns of a conversation.

    System and developer messages are joined wherever they stand; neighbours of one role become one turn,
    with the results of tools first, as the provider demands of parallel calls.

    Raises:
        UnsupportedParameter: Content that the format cannot express.
        InvalidRequest: The messages are not of OpenAI's format.
    """
    system: list[Block] = []
    turns: list[Turn] = []
    for index, message in enumerate(need_list(messages, "messages")):
        path = f"messages[{index}]"
        fields = need_object(message, path)
        role, blocks = _read_message(fields, path)
        if blocks:
            _add(system if role == "system" else _turn(turns, role), [*blocks, *cache_point(fields)])
    if not turns:
        raise unsupported("messages", "this provider needs a message of the user that is not blank.")
    return system, turns


def _turn(turns: list[Turn], role: str) -> list[Block]:
    """The content of the turn that a message of the role goes into."""
    if not turns or turns[-1]["role"] != role:
        turns.append({"role": role, "content": []})
    content: list[Block] = turns[-1]["content"]
    return content


def _add(content: list[Block], blocks: list[Block]) -> None:
    if "toolResult" not in blocks[0]:
        content += blocks
        return
    results = next((at for at in reversed(range(len(content))) if "toolResult" in content[at]), -1) + 1
    content[results:results] = blocks


def _read_message(message: Mapping[str, Any], path: str) -> tuple[str, list[Block]]:
    role = message.get("role")
    if role in ("system", "developer"):
        return "system", _text_only(message, path)
    if role == "user":
        return "user", blocks_of(message.get("content"), f"{path}.content")
    if role == "assistant":
        return "assistant", _said(message, path)
    if role == "tool":
        return "user", [_tool_result(message, path)]
    raise unsupported(f"{path}.role", f"messages of role {role!r} cannot be sent to this provider.")


def _text_only(message: Mapping[str, Any], path: str) -> list[Block]:
    blocks = blocks_of(message.get("content"), f"{path}.content")
    if not all(block.keys() & {"text", "cachePoint"} for block in blocks):
        raise unsupported(f"{path}.content", "system and developer messages can hold text only.")
    return blocks


def _said(message: Mapping[str, Any], path: str) -> list[Block]:
    """An assistant's turn, its signed thoughts first: models refuse tool calls without them."""
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
            kept: Block = {"redactedContent": need_text(fields.get("data"), f"{place}.data")}
        elif fields.get("type") == "thinking":
            text = need_text(fields.get("thinking"), f"{place}.thinking")
            signature = need_text(fields.get("signature"), f"{place}.signature")
            kept = {"reasoningText": {"text": text, "signature": signature}}
        else:
            raise unsupported(f"{place}.type", "thinking or redacted_thinking is expected.")
        blocks.append({"reasoningContent": kept})
    return blocks


def _tool_use(call: Mapping[str, Any], path: str) -> Block:
    if call.get("type", "function") != "function":
        raise unsupported(f"{path}.type", f"tool calls of type {call.get('type')!r} cannot be sent to this provider.")
    function = need_object(call.get("function"), f"{path}.function")
    return {
        "toolUse": {
            "toolUseId": _tool_use_id(call.get("id"), f"{path}.id"),
            "name": need_text(function.get("name"), f"{path}.function.name"),
            "input": read_arguments(function.get("arguments"), f"{path}.function.arguments"),
        }
    }


def _tool_result(message: Mapping[str, Any], path: str) -> Block:
    content = message.get("content")
    if content is None or isinstance(content, str):
        blocks: list[Block] = [{"text": content or ""}]
    else:
        blocks = [block for block in blocks_of(content, f"{path}.content") if "cachePoint" not in block]
        if not all(block.keys() <= _RESULT_KINDS for block in blocks):
            raise unsupported(f"{path}.content", "the result of a tool can hold text, images and documents only.")
    result: Block = {
        "toolUseId": _tool_use_id(message.get("tool_call_id"), f"{path}.tool_call_id"),
        "content": blocks or [{"text": ""}],
    }
    if message.get("is_error") is True:
        result["status"] = "error"
    return {"toolResult": result}


def _tool_use_id(value: object, path: str) -> str:
    """The call's id, or a lasting stand-in for one that another provider minted and this one would refuse."""
    said = need_text(value, path)
    if _TOOL_USE_ID.fullmatch(said):
        return said
    return f"call_{hashlib.sha256(said.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"

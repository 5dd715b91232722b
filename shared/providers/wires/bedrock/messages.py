"""A conversation in OpenAI's chat format as system blocks and alternating turns.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-call.html
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from shared.providers.wires.bedrock.content import Block, blocks_of, cache_point
from shared.providers.wires.messages import read_thoughts, read_tool_calls, refuse_audio_and_functions
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
        return "system", _encode_system(message, path)
    if role == "user":
        return "user", blocks_of(message.get("content"), f"{path}.content")
    if role == "assistant":
        return "assistant", _encode_assistant(message, path)
    if role == "tool":
        return "user", [_encode_tool_result(message, path)]
    raise unsupported(f"{path}.role", f"messages of role {role!r} cannot be sent to this provider.")


def _encode_system(message: Mapping[str, Any], path: str) -> list[Block]:
    blocks = blocks_of(message.get("content"), f"{path}.content")
    if not all(block.keys() & {"text", "cachePoint"} for block in blocks):
        raise unsupported(f"{path}.content", "system and developer messages can hold text only.")
    return blocks


def _encode_assistant(message: Mapping[str, Any], path: str) -> list[Block]:
    """An assistant's turn, its signed thoughts first: models refuse tool calls without them."""
    refuse_audio_and_functions(message, path)
    blocks: list[Block] = [{"reasoningContent": _encode_thought(thought)} for thought in read_thoughts(message, path)]
    blocks += blocks_of(message.get("content"), f"{path}.content")
    blocks += blocks_of(message.get("refusal"), f"{path}.refusal")
    for call in read_tool_calls(message, path):
        use = {"toolUseId": _tool_use_id(call.id), "name": call.name, "input": call.arguments}
        blocks.append({"toolUse": use})
    return blocks


def _encode_thought(thought: Mapping[str, str]) -> Block:
    if thought["type"] == "redacted_thinking":
        return {"redactedContent": thought["data"]}
    return {"reasoningText": {"text": thought["thinking"], "signature": thought["signature"]}}


def _encode_tool_result(message: Mapping[str, Any], path: str) -> Block:
    content = message.get("content")
    if content is None or isinstance(content, str):
        blocks: list[Block] = [{"text": content or ""}]
    else:
        blocks = [block for block in blocks_of(content, f"{path}.content") if "cachePoint" not in block]
        if not all(block.keys() <= _RESULT_KINDS for block in blocks):
            raise unsupported(f"{path}.content", "the result of a tool can hold text, images and documents only.")
    result: Block = {
        "toolUseId": _tool_use_id(need_text(message.get("tool_call_id"), f"{path}.tool_call_id")),
        "content": blocks or [{"text": ""}],
    }
    if message.get("is_error") is True:
        result["status"] = "error"
    return {"toolResult": result}


def _tool_use_id(call_id: str) -> str:
    """The call's id, or a lasting stand-in for one that another provider minted and this one would refuse."""
    if _TOOL_USE_ID.fullmatch(call_id):
        return call_id
    return f"call_{hashlib.sha256(call_id.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"

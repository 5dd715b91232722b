"""What a provider signed of its reasoning, carried through a Responses caller and back.

Providers want their thinking blocks again as they gave them (Anthropic's signatures, redacted blocks). A
Responses caller keeps reasoning items with their opaque ``encrypted_content``; that is where the blocks
travel, encoded, not secret: the caller of a chat sees the same.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

# Message fields of chat answers that hold such blocks, each a list of objects.
CARRIED_FIELDS = ("thinking_blocks", "reasoning_details")

_MARK = "finops1."

Carried = dict[str, list[dict[str, Any]]]


def seal(carried: Carried) -> str | None:
    """The text that carries the blocks; None: there are none."""
    held = {name: [_unnumbered(block) for block in blocks] for name, blocks in carried.items() if blocks}
    if not held:
        return None
    return _MARK + base64.urlsafe_b64encode(orjson.dumps(held)).decode()


def _unnumbered(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block without its number, which only streams have."""
    return {key: value for key, value in block.items() if key != "index"}


def unseal(text: object) -> Carried:
    """The blocks in a text of ours; empty for every other text, such as another gateway's or OpenAI's own."""
    if not isinstance(text, str) or not text.startswith(_MARK):
        return {}
    try:
        held = orjson.loads(base64.urlsafe_b64decode(text[len(_MARK) :]))
    except (binascii.Error, ValueError):
        return {}
    if not isinstance(held, dict):
        return {}
    return {name: held[name] for name in CARRIED_FIELDS if _is_blocks(held.get(name))}


def _is_blocks(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(block, dict) for block in value)


def merge_blocks(blocks: list[dict[str, Any]], pieces: list[dict[str, Any]]) -> None:
    """Add a stream's pieces to the blocks they belong to.

    A piece with an ``index`` belongs to the block with the same; one without continues the last block when
    both are thinking and it has no signature yet. Text grows, everything else is replaced.
    """
    for piece in pieces:
        block = _continued(blocks, piece)
        if block is None:
            blocks.append(dict(piece))
            continue
        for name, value in piece.items():
            grows = name not in {"type", "id", "format"} and isinstance(value, str)
            block[name] = (block.get(name) or "") + value if grows else value


def _continued(blocks: list[dict[str, Any]], piece: Mapping[str, Any]) -> dict[str, Any] | None:
    if not blocks:
        return None
    if "index" in piece:
        return next((block for block in blocks if block.get("index") == piece["index"]), None)
    last = blocks[-1]
    unsigned = last.get("type") == piece.get("type") == "thinking" and not last.get("signature")
    return last if unsigned else None

"""The items of a conversation as they are kept: ids, complete forms of what callers may shorten, and pages.

An item's id holds the id of its response, so that an item which a later request only names can be found.
Source: https://platform.openai.com/docs/api-reference/responses/input-items
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.errors import InvalidRequest

DEFAULT_LIMIT = 20
MAX_LIMIT = 100

_ID = re.compile(r"[a-z]+_(?:([0-9a-f]{48})|([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12}))_i?\d+")
_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}


def item_id(kind: str, response_id: str, ordinal: int | str) -> str:
    """The id of a response's item: the same for the same place, whoever makes it.

    Args:
        kind: The item's ``type``.
        response_id: ``resp_`` and 48 hexadecimal digits, or a UUID.
        ordinal: Its place among the items of its kind; input items have an ``i`` before it.
    """
    stem = response_id.removeprefix("resp_").replace("-", "")
    return f"{_PREFIXES.get(kind, 'item')}_{stem}_{ordinal}"


def response_of(item: str) -> str | None:
    """The id of the response that an item id of ours belongs to; None: it is not of ours."""
    found = _ID.fullmatch(item)
    if found is None:
        return None
    native, *uuid = found.groups()
    return f"resp_{native}" if native else "-".join(uuid)


def is_reference(item: Mapping[str, Any]) -> bool:
    """Whether an input item only names one that is kept."""
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "role" not in item and isinstance(item.get("id"), str))


def referenced_ids(fields: Mapping[str, Any]) -> list[str]:
    """Ids of kept items that the request's input only names; their owner is ``response_of`` each."""
    items = fields.get("input")
    if not isinstance(items, list):
        return []
    return [str(item.get("id")) for item in items if isinstance(item, dict) and is_reference(item)]


def stored_input(
    fields: Mapping[str, Any], response_id: str, references: Mapping[str, Mapping[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """The request's input as items in their complete form, each with an id of its own.

    Args:
        fields: The request; its ``input`` has been found good by ``responses_to_chat``.
        response_id: Whose input it is.
        references: Kept items by id; an item that only names one is replaced by it.
    """
    given = fields.get("input")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    known = references or {}
    items: list[dict[str, Any]] = []
    seen: set[str] = set()
    for ordinal, short in enumerate(given if isinstance(given, list) else []):
        item = _complete(known.get(str(short.get("id")), short) if is_reference(short) else short)
        if not isinstance(item.get("id"), str) or item["id"] in seen:
            item["id"] = item_id(item["type"], response_id, f"i{ordinal}")
        seen.add(item["id"])
        items.append(item)
    return items


def _complete(item: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(item.get("type") or "message")
    whole = {**item, "type": kind}
    if kind == "message":
        whole["content"] = _parts(item.get("content"), from_model=item.get("role") == "assistant")
    if kind == "reasoning":
        whole["summary"] = item.get("summary") or []
    elif not whole.get("status"):
        whole["status"] = "completed"
    return whole


def _parts(content: object, *, from_model: bool) -> list[dict[str, Any]]:
    kind = "output_text" if from_model else "input_text"
    if isinstance(content, str):
        content = [{"type": kind, "text": content}]
    return [_part(part) for part in content or [] if isinstance(part, dict)] if isinstance(content, list) else []


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("type") == "output_text":
        return {"annotations": [], "logprobs": [], **part}
    if part.get("type") == "input_image":
        return {**part, "image_url": part.get("image_url"), "detail": part.get("detail") or "auto"}
    return dict(part)


def input_items_page(
    items: Sequence[Mapping[str, Any]],
    after: str | None = None,
    limit: int | str | None = None,
    order: str | None = None,
) -> dict[str, Any]:
    """One page of a response's input items.

    Args:
        items: All of them, oldest first, those of the conversation before it included.
        after: Id of the last item of the page before.
        limit: 1 to 100; 20 when absent. A query string's text is read.
        order: ``asc`` or ``desc``, which is the default.

    Raises:
        InvalidRequest: One of the arguments is not of that, or no item has the id.
    """
    count = _limit(limit)
    if order not in {None, "asc", "desc"}:
        raise InvalidRequest("order must be 'asc' or 'desc'.", param="order")
    ordered = list(items if order == "asc" else reversed(items))
    rest = ordered[_start(ordered, after) :]
    page = rest[:count]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(rest) > count,
    }


def _limit(limit: int | str | None) -> int:
    if limit is None:
        return DEFAULT_LIMIT
    text = str(limit)
    # Digits alone: int() would also read signs, spaces and underscores.
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_LIMIT):
        raise InvalidRequest(f"limit must be a whole number from 1 to {MAX_LIMIT}.", param="limit")
    return int(text)


def _start(items: Iterable[Mapping[str, Any]], after: str | None) -> int:
    if after is None:
        return 0
    # The last of them: a caller may have sent an item twice, and a page must never lead back.
    indices = [index for index, item in enumerate(items) if item["id"] == after]
    if not indices:
        raise InvalidRequest(f"No input item has the id {after[:64]!r}.", param="after")
    return indices[-1] + 1

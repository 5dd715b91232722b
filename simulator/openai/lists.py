"""Cursor pages as OpenAI's list endpoints give them."""

from typing import Any

from simulator.calls import Call, Refusal


def page(
    call: Call, newest_first: list[dict[str, Any]], default_limit: int = 20, limit_max: int = 100
) -> dict[str, Any]:
    """Return the page that `limit`, `order` and `after` select.

    Raises:
        Refusal: a limit out of bounds, an unknown order or cursor.
    """
    text = call.query("limit")
    limit = default_limit if text is None else _limit(text, limit_max)
    order = call.query("order") or "desc"
    if order not in ("asc", "desc"):
        raise Refusal(400, "Invalid 'order': use asc or desc.", param="order")
    items = newest_first if order == "desc" else newest_first[::-1]
    after = call.query("after")
    if after is not None:
        places = [place for place, item in enumerate(items) if item["id"] == after]
        if not places:
            raise Refusal(400, f"Invalid 'after': no such object '{after}'.", param="after")
        items = items[places[0] + 1 :]
    selected = items[:limit]
    return {
        "object": "list",
        "data": selected,
        "first_id": selected[0]["id"] if selected else None,
        "last_id": selected[-1]["id"] if selected else None,
        "has_more": len(items) > len(selected),
    }


def _limit(text: str, limit_max: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= limit_max:
        raise Refusal(400, f"Invalid 'limit': must be from 1 to {limit_max}.", param="limit")
    return int(text)

"""Query parameters and pages of lists, in OpenAI's form."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from api.http.request_context import Reply, json_reply
from shared.errors import InvalidRequest

DEFAULT_LIMIT = 20
MAX_LIMIT = 100


def read_query(raw: bytes) -> dict[str, str]:
    """Parse a query string; the last value of a repeated parameter counts."""
    return {name: values[-1] for name, values in parse_qs(raw.decode("latin-1")).items()}


def read_limit(text: str | None, *, default: int = DEFAULT_LIMIT, most: int = MAX_LIMIT) -> int:
    """Parse the page size.

    Raises:
        InvalidRequest: It is not a whole number from 1 to ``most``.
    """
    if not text:
        return default
    if text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= most:
        return int(text)
    raise InvalidRequest(f"limit must be a whole number from 1 to {most}.", param="limit")


def refuse_unknown(params: Iterable[str], known: Collection[str]) -> None:
    """Refuse query parameters that an endpoint does not have.

    Raises:
        InvalidRequest: There is one; the message lists those that exist.
    """
    for name in params:
        if name not in known:
            parameter = name[:64]
            raise InvalidRequest(f"Unknown parameter {parameter!r}. Known: {', '.join(known)}.", param=parameter)


def list_reply(objects: Sequence[Mapping[str, Any]], *, more: bool, last_id: str | None = None) -> Reply:
    """Render a page of a list.

    Args:
        objects: Entries, each with its ``id``.
        more: Whether there is a next page.
        last_id: Cursor of the next page; default: the id of the last entry.
    """
    return json_reply(
        {
            "object": "list",
            "data": objects,
            "first_id": objects[0]["id"] if objects else None,
            "last_id": last_id or (objects[-1]["id"] if objects else None),
            "has_more": more,
        }
    )


def unknown_cursor() -> InvalidRequest:
    """The error for an ``after`` that is not in the list."""
    return InvalidRequest(
        "after must be the id of an entry of this list. The entry may have expired: start again without after.",
        param="after",
    )

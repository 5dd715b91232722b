"""Reading of parts of a foreign configuration, whose types nobody has checked."""

import math
from typing import Any


class NotThatKind(ValueError):
    """The file is not a configuration of the named gateway."""


def table(value: object) -> dict[str, Any]:
    """Return a table with names that are strings; anything else is empty."""
    return {str(name): item for name, item in value.items()} if isinstance(value, dict) else {}


def rows(value: object) -> list[dict[str, Any]]:
    """Return the tables of a list."""
    return [table(item) for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def names(value: object) -> list[str]:
    """Return the strings of a list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def text(value: object) -> str:
    """Return a string or a number as text; anything else is empty."""
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def number(value: object) -> float | None:
    """Return a finite number, also one in a string; a whole one as ``int``, so that it is written as one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(found):
        return None
    return int(found) if found.is_integer() else found

"""Limits of every value of a dimension, or of every end user, for itself."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import orjson

from shared.governance.limits.model import Limit, limits_of
from shared.settings.limits import EachSettings

MAX_VALUE = 100
_DIMENSION = "dimension:"
_NO_LIMITS: tuple[Limit, ...] = ()


class EachLimits:
    """Finds the limits that a call's dimensions and end user bring with them.

    Args:
        settings: By ``dimension:<name>`` or ``user``.
    """

    def __init__(self, settings: Mapping[str, EachSettings]) -> None:
        limits = {name: limits_of(name, table.each) for name, table in settings.items()}
        self._by_user = limits.pop("user", _NO_LIMITS)
        self._by_dimension = {name.removeprefix(_DIMENSION): found for name, found in limits.items()}

    def of(
        self, fixed: tuple[tuple[str, str], ...], dimensions: Mapping[str, str], fields: Mapping[str, Any]
    ) -> tuple[Limit, ...]:
        """Return a call's limits.

        Args:
            fixed: The dimensions of its key, which count before those of its headers.
            dimensions: The dimensions of its headers.
            fields: Its body; the end user is ``safety_identifier``, else ``user``.
        """
        found: tuple[Limit, ...] = _NO_LIMITS
        if self._by_dimension:
            for name, value in {**dimensions, **dict(fixed)}.items():
                found += _with_value(self._by_dimension.get(name, _NO_LIMITS), value)
        if self._by_user:
            user = fields.get("safety_identifier") or fields.get("user")
            if user:
                found += _with_value(self._by_user, user if isinstance(user, str) else orjson.dumps(user).decode())
        return found


def _with_value(limits: tuple[Limit, ...], value: str) -> tuple[Limit, ...]:
    """Return limits for one value; a long or unprintable one stands in names of keys by its hash."""
    if not limits:
        return limits
    if len(value) > MAX_VALUE or not value.isprintable():
        value = f"#{blake2b(value.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"
    return tuple(replace(limit, scope=f"{limit.scope}:{value}") for limit in limits)

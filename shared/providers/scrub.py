"""Removes configured secrets from texts that come from providers: some repeat the key in their error messages."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

MIN_CHARS = 8
"""Shorter values are left: they would be found inside ordinary words."""
MASK = "[redacted]"


class Scrubber:
    """Replaces known secrets in error texts by ``[redacted]``.

    Args:
        secrets: The configured ones; those shorter than ``MIN_CHARS`` are ignored.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._pattern = _pattern(secrets)

    def error(self, error: Mapping[str, Any], more: Iterable[str] = ()) -> dict[str, Any]:
        """Return an error object without secrets, at any depth.

        Args:
            error: The provider's error object.
            more: Further secrets: the credentials of this request, which may be short-lived tokens.
        """
        patterns = [pattern for pattern in (self._pattern, _pattern(more)) if pattern is not None]
        return {str(_clean(name, patterns)): _clean(value, patterns) for name, value in error.items()}


def _pattern(secrets: Iterable[str]) -> re.Pattern[str] | None:
    known = sorted({secret for secret in secrets if len(secret) >= MIN_CHARS}, key=len, reverse=True)
    return re.compile("|".join(re.escape(secret) for secret in known)) if known else None


def _clean(value: object, patterns: Iterable[re.Pattern[str]]) -> object:
    if isinstance(value, str):
        for pattern in patterns:
            value = pattern.sub(MASK, value)
        return value
    if isinstance(value, Mapping):
        return {_clean(name, patterns): _clean(each, patterns) for name, each in value.items()}
    if isinstance(value, list):
        return [_clean(each, patterns) for each in value]
    return value

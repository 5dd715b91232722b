"""Removes configured secrets from texts that come from providers: some repeat the key in their error messages."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import orjson

from shared.surfaces.sse import EventSplitter, encode_event, event_data, event_name

MIN_CHARS = 8
"""Shorter values are left: they would be found inside ordinary words."""
MAX_ANSWER_BYTES = 1024 * 1024
"""Larger answers with a 2xx status are not searched for errors: parsing them would hold the event loop."""
MASK = "[redacted]"

_may_have_error = re.compile(rb'"error"\s*+:(?!\s*+null)').search


class Scrubber:
    """Replaces known secrets in error texts by ``[redacted]``, also in percent-encoding and in Base64.

    Args:
        secrets: The configured ones; those shorter than ``MIN_CHARS`` are ignored.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._pattern = _pattern(tuple(secrets))

    def headers(self, headers: Mapping[str, str], more: Iterable[str] = ()) -> dict[str, str]:
        """Return response headers without secrets in their values; see ``error``."""
        patterns = self._patterns(more)
        return {name: str(_clean(value, patterns)) for name, value in headers.items()}

    def error(self, error: Mapping[str, Any], more: Iterable[str] = ()) -> dict[str, Any]:
        """Return an error object without secrets, at any depth.

        Args:
            error: The provider's error object.
            more: Further secrets: the credentials of this request, which may be short-lived tokens.
        """
        patterns = self._patterns(more)
        return {str(_clean(name, patterns)): _clean(value, patterns) for name, value in error.items()}

    def answer(self, body: bytes) -> bytes:
        """Return a JSON answer without secrets if it has an ``error`` at any depth; any other bytes as they are."""
        if len(body) > MAX_ANSWER_BYTES or body.find(b'"error"') < 0 or not _may_have_error(body):
            return body
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError:
            return body
        cleaned = _clean(found, self._patterns(()))
        return body if cleaned == found else orjson.dumps(cleaned)

    def events(self, events: bytes) -> bytes:
        """Return whole server-sent events, those with an ``error`` without secrets."""
        if events.find(b'"error"') < 0 or not _may_have_error(events):
            return events
        return b"".join(self._event(event) for event in EventSplitter().feed(events))

    def _event(self, event: bytes) -> bytes:
        data = event_data(event)
        cleaned = self.answer(data)
        return event if cleaned == data else encode_event(cleaned, name=event_name(event).decode())

    def _patterns(self, more: Iterable[str]) -> list[re.Pattern[str]]:
        return [pattern for pattern in (self._pattern, _pattern(tuple(more))) if pattern is not None]


@lru_cache(maxsize=64)  # a storm of errors repeats the same credentials, and compiling takes a millisecond
def _pattern(secrets: tuple[str, ...]) -> re.Pattern[str] | None:
    known = {spelling for secret in secrets if len(secret) >= MIN_CHARS for spelling in _spellings(secret)}
    return re.compile("|".join(map(re.escape, sorted(known, key=len, reverse=True)))) if known else None


def _spellings(secret: str) -> Iterator[str]:
    """The secret as it stands, in a URL, and in Base64 wherever in a longer value it began, as in Basic credentials."""
    yield secret
    escaped = quote(secret, safe="")
    yield escaped
    yield re.sub("%..", lambda found: found[0].lower(), escaped)
    for before in range(3):
        text = base64.b64encode(b"\0" * before + secret.encode()).rstrip(b"=").decode()
        whole = (len(secret.encode()) + before) % 3 == 0
        # The first characters share bits with what stands before, the last one with what follows.
        core = text[(0, 2, 3)[before] : None if whole else -1]
        yield core
        yield core.replace("+", "-").replace("/", "_")


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

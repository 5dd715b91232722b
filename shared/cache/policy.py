"""What a request asks of the cache, read from its headers. Pure.

Source: https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1 (the request directives of ``Cache-Control``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any

from shared.errors import InvalidRequest
from shared.settings.cache import CacheSettings

CACHE_CONTROL = b"cache-control"
KEY = b"x-bf-cache-key"
TTL = b"x-bf-cache-ttl"
TYPE = b"x-bf-cache-type"
NO_STORE = b"x-bf-cache-no-store"
THRESHOLD = b"x-bf-cache-threshold"
DEBUG = b"x-bf-cache-debug"
_NAMES = (CACHE_CONTROL, KEY, TTL, TYPE, NO_STORE, THRESHOLD, DEBUG)
HEADERS = frozenset(_NAMES)

MAX_KEY_CHARS = 256
# Parsing takes 6 us, and callers send the same few values; longer ones are parsed anew, so that they stay in no memory.
PARSED_POLICIES = 256
PARSED_CHARS = 256
MAX_STALE_S = 1e10
_DURATION = re.compile(r"(\d{1,9})(s|m|h|d)?")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DELTA_SECONDS = re.compile(r"\d{1,10}")
_TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
_FALSE_WORDS = frozenset({"0", "false", "no", "off", ""})
_TYPES = frozenset({"direct", "near", "semantic"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """What one request asks of the cache.

    Attributes:
        look: Whether a stored answer may be served.
        store: Whether the answer may be stored.
        reload: Whether the request asks for a fresh answer (``no-cache``): not served, but stored.
        partition: The caller's own name for a part of its cache; answers of other parts are not served.
        ttl_s: How long the answer is to be stored, in seconds.
        max_age_s: The oldest answer that may be served, in seconds.
        max_stale_s: How long past its time to live an answer may be served, in seconds.
        near: Whether the answer to a near request may be served, not only that to an equal one.
        semantic: Whether that to a request of the same meaning may be served too.
        threshold: How similar a near or semantic match must be at least, 0 to 1; the configured value may be higher.
        only_if_cached: Whether nothing but a stored answer will do.
        debug: Whether the answer's body is to say how the cache was used.
    """

    look: bool = True
    store: bool = True
    reload: bool = False
    partition: str = ""
    ttl_s: int
    max_age_s: float = inf
    max_stale_s: float = 0.0
    near: bool = True
    semantic: bool = True
    threshold: float = 0.0
    only_if_cached: bool = False
    debug: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return what a job's record keeps."""
        fields: dict[str, Any] = {"ttl": self.ttl_s, "look": self.look, "store": self.store}
        if self.reload:
            fields["reload"] = True
        if self.partition:
            fields["partition"] = self.partition
        if self.max_age_s < inf:
            fields["max_age"] = self.max_age_s
        if self.max_stale_s:
            fields["max_stale"] = self.max_stale_s
        if not self.near:
            fields["near"] = False
        if not self.semantic:
            fields["semantic"] = False
        if self.threshold:
            fields["threshold"] = self.threshold
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "CachePolicy":
        """Read what ``to_json`` returned."""
        return cls(
            look=bool(fields.get("look", True)),
            store=bool(fields.get("store", True)),
            reload=bool(fields.get("reload", False)),
            partition=str(fields.get("partition", "")),
            ttl_s=int(fields["ttl"]),
            max_age_s=float(fields.get("max_age", inf)),
            max_stale_s=float(fields.get("max_stale", 0)),
            near=bool(fields.get("near", True)),
            semantic=bool(fields.get("semantic", True)),
            threshold=float(fields.get("threshold", 0)),
        )


def default_ttl_s(settings: CacheSettings, request_type: str) -> int:
    """Return how long an answer of a request type is stored, in seconds."""
    return settings.embeddings_ttl_s if request_type in {"embeddings", "moderations"} else settings.ttl_s


def default_policy(settings: CacheSettings, request_type: str) -> CachePolicy:
    """Return what a request without headers asks, where it uses the cache."""
    return CachePolicy(ttl_s=default_ttl_s(settings, request_type))


def read_policy(headers: Mapping[bytes, bytes], settings: CacheSettings, request_type: str) -> CachePolicy | None:
    """Read a request's headers.

    Args:
        headers: By lower-case name.
        settings: Of the cache, which is on.
        request_type: ``RequestType.name``.

    Returns:
        None if the cache is used by those alone who ask for it, and the request does not.

    Raises:
        InvalidRequest: An ``x-bf-cache-*`` header is invalid. Of ``Cache-Control``, unknown directives are ignored.
    """
    ttl_s = default_ttl_s(settings, request_type)
    if HEADERS.isdisjoint(headers):
        return None if settings.when == "asked" else default_policy(settings, request_type)
    values = tuple([headers.get(name) for name in _NAMES])
    parse = _parsed if max(map(len, filter(None, values)), default=0) <= PARSED_CHARS else _parse
    return parse(values, ttl_s, settings.max_ttl_s, settings.when == "asked")


def _parse(values: tuple[bytes | None, ...], ttl_s: int, max_ttl_s: int, asked: bool) -> CachePolicy | None:
    """Parse the values of ``HEADERS``.

    Args:
        values: In the order of ``_NAMES``; None: the request does not have the header.
        ttl_s: How long answers are stored by default, in seconds.
        max_ttl_s: The longest that a request may ask for.
        asked: Whether the cache is used by those alone who ask for it.

    Raises:
        InvalidRequest: An ``x-bf-cache-*`` header is invalid.
    """
    headers = {name: value for name, value in zip(_NAMES, values, strict=True) if value is not None}
    directives = _directives(headers.get(CACHE_CONTROL, b"").decode("latin-1"))
    if asked and KEY not in headers and "max-age" not in directives:
        return None
    kind = _kind(headers)
    no_store = "no-store" in directives or _switch(headers, NO_STORE)
    no_cache = "no-cache" in directives
    return CachePolicy(
        look=not no_cache and "no-store" not in directives,
        store=not no_store,
        reload=no_cache,
        partition=_partition(headers),
        ttl_s=_ttl_s(headers, ttl_s, max_ttl_s),
        max_age_s=_max_age_s(directives),
        max_stale_s=_max_stale_s(directives),
        near=kind != "direct",
        semantic=kind == "semantic",
        threshold=_threshold(headers),
        only_if_cached="only-if-cached" in directives,
        debug=_switch(headers, DEBUG),
    )


_parsed = lru_cache(maxsize=PARSED_POLICIES)(_parse)


def _kind(headers: Mapping[bytes, bytes]) -> str:
    """Return which matches are wanted at most; semantic ones include near ones, which include equal ones."""
    kind = headers.get(TYPE, b"semantic").decode("latin-1").strip().lower()
    if kind not in _TYPES:
        raise _invalid(TYPE, "must be direct, near or semantic", kind)
    return kind


def _threshold(headers: Mapping[bytes, bytes]) -> float:
    """Return how similar a near request must be at least; 0: as configured."""
    if (raw := headers.get(THRESHOLD)) is None:
        return 0.0
    try:
        threshold = float(raw)
    except ValueError:
        threshold = -1.0
    if not 0 <= threshold <= 1:
        raise _invalid(THRESHOLD, "must be a number between 0 and 1", raw.decode("latin-1"))
    return threshold


def _directives(text: str) -> dict[str, str]:
    """Return the directives by lower-case name, with their arguments unquoted."""
    found = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name:
            found[name.strip().lower()] = value.strip().strip('"')
    return found


def _max_age_s(directives: Mapping[str, str]) -> float:
    """Return the oldest answer that is wanted; an invalid number asks for a fresh one (RFC 9111, 4.2.1)."""
    raw = directives.get("max-age")
    if raw is None:
        return inf
    return float(raw) if _DELTA_SECONDS.fullmatch(raw) else 0.0


def _max_stale_s(directives: Mapping[str, str]) -> float:
    """Return how stale an answer may be: without a number however stale, with an invalid one not at all."""
    raw = directives.get("max-stale")
    if raw is None:
        return 0.0
    if not raw:
        return MAX_STALE_S
    return float(raw) if _DELTA_SECONDS.fullmatch(raw) else 0.0


def _partition(headers: Mapping[bytes, bytes]) -> str:
    raw = headers.get(KEY)
    if raw is None:
        return ""
    text = raw.decode("latin-1").strip()
    if not text or len(text) > MAX_KEY_CHARS or not text.isprintable():
        raise InvalidRequest(f"{KEY.decode()} must be 1 to {MAX_KEY_CHARS} printable characters.", param=KEY.decode())
    return text


def _ttl_s(headers: Mapping[bytes, bytes], default_s: int, max_ttl_s: int) -> int:
    raw = headers.get(TTL)
    if raw is None:
        return default_s
    text = raw.decode("latin-1").strip().lower()
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2] or ""] if match else 0
    if seconds < 1:
        raise _invalid(TTL, "must be a time such as 300, 30s, 5m, 1h or 1d", text)
    return min(seconds, max_ttl_s)


def _switch(headers: Mapping[bytes, bytes], name: bytes) -> bool:
    word = headers.get(name, b"").decode("latin-1").strip().lower()
    if word in _TRUE_WORDS:
        return True
    if word in _FALSE_WORDS:
        return False
    raise _invalid(name, "must be true or false", word)


def _invalid(name: bytes, rule: str, value: str) -> InvalidRequest:
    return InvalidRequest(f"{name.decode()} {rule}, not {value[:50]!r}.", param=name.decode())

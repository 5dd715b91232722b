"""Which requests are equal: one hash of everything that an answer depends on. Pure.

Everything in the body counts but a few fields that no answer depends on: a list of those that do count would leave out
a provider's own (and other gateways' lists did leave out tool choices and system prompts).
"""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

VERSION = b"1"
"""Of the key; a change of what is equal changes it, so that older entries are not found."""

# The resolved provider and model stand for ``model``. Streaming, storing and labelling do not change an answer.
LEFT_OUT = frozenset(
    {
        "background",
        "cache",
        "fallbacks",
        "metadata",
        "model",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "user",
    }
)
# Streams of these types are stored and replayed as they came: what they consist of depends on how they were asked for.
_AS_STREAMED = LEFT_OUT - {"stream", "stream_options"}
# Where a whole number may be written as a float; the walk that it triggers costs more than the hash. A search for its
# first two bytes spares most texts that for the expression: 5 us for half a kilobyte. From 1e16 on, beyond 53 bits, the
# serialiser writes an exponent instead, and those floats stay floats.
_POINT_ZERO = b".0"
_WHOLE_FLOAT = re.compile(rb"\.0[,\]}]")
_HASH_CHARS = 32
_NAMED_SCOPES = frozenset({"key", "team", "customer"})
_SCOPE_CHARS = 16


def scope_hash(kind: str, name: str) -> str:
    """Return the hash of a scope: whose answers these are.

    Args:
        kind: ``key``, ``team``, ``customer``, ``caller`` or ``shared``.
        name: Its name or id.
    """
    return _hash(f"{kind}:{name}".encode("utf-8", "surrogatepass"))[:_SCOPE_CHARS]


@lru_cache(maxsize=1024)  # callers come again, and hashing takes 2 us
def caller_scope(kind: str, key_id: str, team: str, customer: str, bearer: str = "") -> str:
    """Return the hash of whose answers a caller may be served.

    A key without a customer shares with its team, one without a team with nobody.

    Args:
        kind: As configured: ``key``, ``team``, ``customer`` or ``shared``.
        key_id: Of its virtual key; empty: it has none.
        team: The key's; empty: none.
        customer: The key's; empty: none.
        bearer: Hash of the bearer token of a caller without a key.
    """
    if kind == "shared":
        return scope_hash("shared", "")
    if kind == "customer" and customer:
        return scope_hash("customer", customer)
    if kind in {"customer", "team"} and team:
        return scope_hash("team", team)
    return scope_hash("key", key_id) if key_id else scope_hash("caller", bearer)


def named_scope(name: str, kind: str) -> str:
    """Return the hash of a scope as administrators name it; empty: there is no such kind.

    Args:
        name: ``key:<id>``, ``team:<name>``, ``customer:<name>``, ``shared``, or a name of the configured kind.
        kind: The configured kind.
    """
    if name == "shared":
        return scope_hash("shared", "")
    prefix, colon, rest = name.partition(":")
    if not colon:
        return "" if kind == "shared" else scope_hash(kind, name)
    return scope_hash(prefix, rest) if prefix in _NAMED_SCOPES and rest else ""


def name_hash(name: str) -> str:
    """Return the hash by which a cache key or a model is part of a purge mark."""
    return _hash(name.encode("utf-8", "surrogatepass"))[:_SCOPE_CHARS]


def request_hash(
    request_type: str, target: str, partition: str, fields: Mapping[str, Any], *, as_streamed: bool = False
) -> str:
    """Return what equal requests have in common, 32 hexadecimal characters.

    Args:
        request_type: ``RequestType.name``.
        target: ``provider/model``, as resolved: an alias that moves does not serve the answers of its old model.
        partition: ``CachePolicy.partition``.
        fields: The body.
        as_streamed: Whether streams and whole answers have different keys.
    """
    left_out = _AS_STREAMED if as_streamed else LEFT_OUT
    body = canonical({name: value for name, value in fields.items() if name not in left_out})
    # One call for all: a second one that adds the body takes 0.5 us.
    parts = (VERSION, request_type.encode(), target.encode(), partition.encode(), body)
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:_HASH_CHARS]


def canonical(fields: Mapping[str, Any]) -> bytes:
    """Return JSON that is equal for equal values: sorted names, one spelling of text and numbers (1.0 is 1)."""
    text = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    # `in` formats an error for bytes in Python 3.11, and takes as long as all else here.
    if text.find(_POINT_ZERO) < 0 or _WHOLE_FLOAT.search(text) is None:
        return text
    return orjson.dumps(_with_integers(fields), option=orjson.OPT_SORT_KEYS)


def _with_integers(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {name: _with_integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_integers(item) for item in value]
    # Beyond 53 bits a float is not exactly one integer.
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

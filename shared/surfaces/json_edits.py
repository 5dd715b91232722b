"""Changes single members of a JSON object in its text: every other byte stays as its author wrote it. Pure.

Providers' prompt caches look for what they have read before, and callers compare bytes: a body that is parsed and
written again has other spaces, escapes and numbers.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import orjson

from shared.surfaces.large_json import STEP_BYTES, contains, find_in_pieces, join_in_pieces

_MARK = re.compile(rb'["{}\[\]:,]')
# What follows in a string, at most some 2 MB at a time: other threads wait while a regular expression runs.
_TEXT = re.compile(rb'[^"\\]{0,1000000}+(?:\\.[^"\\]{0,1000}+){0,1000}+', re.DOTALL)
_MODEL = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.)*")')
_MODEL_KEY, _PLAIN_MODEL = b'"model"', b'"model":"'
_ESCAPED_LETTER = b"\\u006"  # the key may be written with escapes: all its letters are U+006x
_SPACE = b" \t\r\n"
_QUOTE = ord('"')
_OPENING, _CLOSING = b"{[", b"}]"


class _Member(NamedTuple):
    """Where a member stands: its key's first byte, its value's first, and the byte behind it; and the key's text."""

    start: int
    value: int
    end: int
    name: str


def with_members(body: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """Return a JSON object's text with other values of some members.

    Args:
        body: The text of a valid JSON object.
        changes: By name: the JSON of the new value, None: the member is left out. A new member is added at the end.
    """
    members, text = list(_members(body)), memoryview(body)
    pieces: list[bytes | memoryview] = [text[: members[0].start if members else body.rindex(b"}")]]
    first = len(pieces)
    for number, member in enumerate(members):
        value = changes.get(member.name, text[member.value : member.end])
        if value is not None:
            if len(pieces) > first:
                pieces.append(text[members[number - 1].end : member.start])  # the comma, and spaces around it
            pieces += (text[member.start : member.value], value)
    names = {member.name for member in members}
    for name, value in changes.items():
        if value is not None and name not in names:
            pieces += (b"," if len(pieces) > first else b"", orjson.dumps(name), b":", value)
    pieces.append(text[members[-1].end if members else body.rindex(b"}") :])
    return join_in_pieces(pieces)


def with_model(body: bytes, model: str) -> bytes:
    """Return the text of a valid JSON object that names a model with another model's name."""
    name = orjson.dumps(model)
    start, end = _plain_model(body)
    if end > 0:
        return body[:start] + name + body[end:]
    found = _only_model(body)
    if found is None:
        return with_members(body, {"model": name})
    return replaced(body, found.start(1), found.end(1), name)


def _plain_model(body: bytes) -> tuple[int, int]:
    """Return where the value of ``_only_model`` stands as most SDKs write it; (0, 0): look with the pattern.

    These searches take 0.7 us less than the pattern does.
    """
    at = body.find(_MODEL_KEY)
    if len(body) > STEP_BYTES or not body.startswith(_PLAIN_MODEL, at) or body.find(_MODEL_KEY, at + 1) >= 0:
        return 0, 0
    start = at + len(_PLAIN_MODEL) - 1
    end = body.index(b'"', start + 1) + 1
    return (start, end) if body.find(b"\\", start, end) < 0 and not contains(body, _ESCAPED_LETTER) else (0, 0)


def replaced(body: bytes, start: int, end: int, text: bytes) -> bytes:
    """Return a body with a text in place of the bytes from ``start`` to ``end``; a large one is copied in pieces."""
    if len(body) <= STEP_BYTES:
        return body[:start] + text + body[end:]
    view = memoryview(body)
    return join_in_pieces((view[:start], text, view[end:]))


def member_of(body: bytes, name: str) -> bytes:
    """Return the text of a member's value; of one that is repeated, the last."""
    found = {member.name: member for member in _members(body)}[name]
    return body[found.value : found.end]


def _only_model(body: bytes) -> re.Match[bytes] | None:
    """Return where a body names its model, if it has the key once and in plain letters, as almost every body does."""
    key = _MODEL_KEY
    if len(body) <= STEP_BYTES:
        once = body.count(key) == 1 and not contains(body, _ESCAPED_LETTER)
        return _MODEL.match(body, body.find(key)) if once else None
    at = find_in_pieces(body, key)
    if at < 0 or find_in_pieces(body, key, at + 1) >= 0 or find_in_pieces(body, _ESCAPED_LETTER) >= 0:
        return None
    return _MODEL.match(body, at)


def _members(body: bytes) -> Iterator[_Member]:
    """Find the members of the object itself, not those of objects within it."""
    depth, at = 0, 0
    start = value = -1
    name = ""
    while (found := _MARK.search(body, at)) is not None:
        mark, begin, at = found.group(), found.start(), found.end()
        if mark == b'"':
            at = _end_of_string(body, at)
            if depth == 1 and start < 0:
                start, name = begin, str(orjson.loads(body[begin:at]))
        elif mark in _OPENING:
            depth += 1
        elif depth == 1 and mark == b":" and value < 0:
            value = _first_of(body, at)
        elif depth == 1 and mark in b",}" and start >= 0:
            yield _Member(start, value, _end_of(body, begin), name)
            start = value = -1
        if mark in _CLOSING:
            depth -= 1


def _first_of(body: bytes, at: int) -> int:
    """Return where the value begins that follows."""
    while body[at] in _SPACE:
        at += 1
    return at


def _end_of(body: bytes, at: int) -> int:
    """Return where the value ends that stands before."""
    while body[at - 1] in _SPACE:
        at -= 1
    return at


def _end_of_string(body: bytes, at: int) -> int:
    """Return where the string ends, behind its quotation mark, whose content begins at ``at``."""
    while body[at] != _QUOTE:
        found = _TEXT.match(body, at)
        assert found is not None  # noqa: S101 - it matches nothing at least
        at = found.end()
    return at + 1

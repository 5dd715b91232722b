"""Parses large JSON objects in steps, so that an event loop is never held for long. Pure.

A parser in C holds the interpreter until it is done: 50 MB take 80 to 200 ms as one string and 2.5 s as small objects.
So the number of values is limited first, and longer strings are taken out and parsed one by one, in pieces of a
megabyte. What is left is small: 100,000 values with strings under 64 bytes take about 20 ms.
"""

import re
import secrets
from collections.abc import Generator, Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any

import orjson

from shared.errors import InvalidRequest
from shared.surfaces.request_body import MAX_DEPTH, not_an_object, not_json, too_deep
from shared.surfaces.unique_model import repeated_model

STEP_BYTES = 1024 * 1024
STEP_VALUES = 4000
STEP_STRINGS = 500
DUMPED_LEVELS = 6
"""Of the nesting that is written value by value: texts stand no deeper."""
MAX_SMALL = 100
LIFTED_BYTES = 64
MAX_TOKEN_BYTES = 1024

ParseSteps = Generator[None, None, dict[str, Any]]
"""Yields wherever the caller may do something else; returns the parsed object."""

_before_colon = re.compile(rb"[ \t\r\n]*+:").match
_long_token = re.compile(rb"[^ \t\r\n,:\[\]{}]{%d}" % MAX_TOKEN_BYTES).search
_SPACES = b" \t\r\n"
_CONTAINERS = (dict, list)
_LONGEST_MODEL = len(rb'"\u006d\u006f\u0064\u0065\u006c"')


def parse_large(body: bytes, max_values: int) -> ParseSteps:
    """Parse a JSON object in steps of a few milliseconds each.

    Args:
        body: The text.
        max_values: The most values that it may have, counted by its commas and brackets.

    Raises:
        InvalidRequest: It is not a JSON object, has too many values, is nested too deeply, or names its model twice.
    """
    scan = _Scan(body, max_values)
    skeleton = yield from scan.run()
    yield
    fields = _parse(skeleton)
    if type(fields) is not dict:
        raise not_an_object(fields)
    yield
    if (yield from _complete(fields, scan.lifted)) != scan.model_keys:
        raise repeated_model()
    return fields


def dump_object(fields: Mapping[str, Any], size: int) -> bytes:
    """Return the JSON of an object; a large one is written in pieces, between which other threads run.

    Args:
        fields: The object.
        size: About how many bytes its JSON has.
    """
    if size <= STEP_BYTES:
        return orjson.dumps(fields)
    return join_in_pieces(_dumped(dict(fields)))


def join_in_pieces(parts: Iterable[bytes | memoryview]) -> bytes:
    """Return the parts in one, written a megabyte at a time: joining 50 MB at once holds the interpreter for 50 ms."""
    joined = BytesIO()
    for part in parts:
        for at in range(0, len(part), STEP_BYTES):
            joined.write(part[at : at + STEP_BYTES] if len(part) > STEP_BYTES else part)
    return joined.getvalue()


def _dumped(value: Any, levels: int = DUMPED_LEVELS, before: bytes = b"") -> Iterator[bytes]:  # noqa: ANN401 - any JSON
    """Yield ``before`` and the JSON of a value in pieces: long texts by the megabyte, what holds others one by one."""
    if type(value) is str and len(value) > STEP_BYTES:
        yield before + b'"'
        for at in range(0, len(value), STEP_BYTES):
            yield orjson.dumps(value[at : at + STEP_BYTES])[1:-1]
        yield b'"'
    elif not levels or type(value) not in _CONTAINERS or _is_small(value):
        yield before + orjson.dumps(value)
    elif type(value) is dict:
        before += b"{"
        for name, each in value.items():
            yield from _dumped(each, levels - 1, before + orjson.dumps(name) + b":")
            before = b","
        yield b"}"
    else:
        before += b"["
        for each in value:
            yield from _dumped(each, levels - 1, before)
            before = b","
        yield b"]"


def _is_small(container: dict[str, Any] | list[Any]) -> bool:
    """Whether a value holds few others, none of which holds more, and no long text."""
    if len(container) > MAX_SMALL:
        return False
    longest = STEP_BYTES // MAX_SMALL
    for value in container.values() if type(container) is dict else container:
        kind = type(value)
        if kind in _CONTAINERS or (kind is str and len(value) > longest):
            return False
    return True


def contains(body: bytes, word: bytes) -> bool:
    """Whether a word stands anywhere in a body, as ``find_in_pieces`` looks for it."""
    # Not `word in body`: Python 3.11 tries the word as a number first, and formats an error for each: 0.3 us more.
    return (body.find(word) if len(body) <= STEP_BYTES else find_in_pieces(body, word)) >= 0


def find_in_pieces(body: bytes, word: bytes, at: int = 0) -> int:
    """Return where a word stands in a body, -1: nowhere; searched a megabyte at a time, as other threads wait."""
    while at < len(body):
        found = body.find(word, at, at + STEP_BYTES + len(word) - 1)
        if found >= 0:
            return found
        at += STEP_BYTES
    return -1


def _complete(fields: dict[str, Any], lifted: dict[str, str]) -> Generator[None, None, int]:
    """Put the lifted strings back; return how many objects have a model.

    Raises:
        InvalidRequest: The values are nested too deeply.
    """
    models = seen = 0
    left: list[tuple[Any, int]] = [(fields, 1)]
    while left:
        container, depth = left.pop()
        if depth > MAX_DEPTH:
            raise too_deep()
        models += type(container) is dict and "model" in container
        for key, value in container.items() if type(container) is dict else enumerate(container):
            if type(value) is str:
                container[key] = lifted.get(value, value)
            elif type(value) in _CONTAINERS:
                left.append((value, depth + 1))
            seen += 1
            if not seen % STEP_VALUES:
                yield
    return models


class _Scan:
    """Copies the body without its longer strings.

    Attributes:
        lifted: Those strings, by the placeholders that stand for them.
        model_keys: How many keys are ``model``, however they are written.
    """

    def __init__(self, body: bytes, max_values: int) -> None:
        self._body = body
        self._max_values = max_values
        self._values = 1
        self._strings = 0
        self._mark = secrets.token_hex(5)  # no caller can know it, so no string of theirs is taken for a placeholder
        self._pieces: list[bytes] = []
        self.lifted: dict[str, str] = {}
        self.model_keys = 0

    def run(self) -> Generator[None, None, bytes]:
        """Scan all of the body, and return what is left of it.

        Raises:
            InvalidRequest: It has too many values, or is not valid JSON.
        """
        body, at = self._body, 0
        while True:
            start = body.find(b'"', at, at + MAX_TOKEN_BYTES)
            if start < 0:
                start = yield from self._skip_gap(at)
                if start < 0:
                    return b"".join(self._pieces)
            else:
                self._take_gap(body[at:start])
            end = self._follow_string(start + 1, MAX_TOKEN_BYTES)
            if body[end : end + 1] != b'"':
                end = yield from self._find_end(end)
            at = end + 1
            if at - start > STEP_BYTES:
                yield from self._lift_long(start, at)
            else:
                self._take_string(start, at)
            self._strings += 1
            if not self._strings % STEP_STRINGS or at - start > STEP_BYTES // 8:
                yield

    def _skip_gap(self, at: int) -> Generator[None, None, int]:
        """Copy what stands before the next string; return where that starts, -1: nowhere."""
        while True:
            stop = min(at + STEP_BYTES, len(self._body))
            quote = self._body.find(b'"', at, stop)
            gap = self._body[at : stop if quote < 0 else quote]
            if _long_token(gap):
                raise not_json(f"a number has more than {MAX_TOKEN_BYTES} characters")
            self._take_gap(_without_spaces(gap))
            if quote >= 0 or stop == len(self._body):
                return quote
            at = stop
            yield

    def _take_gap(self, gap: bytes) -> None:
        self._values += gap.count(b",") + gap.count(b"[") + gap.count(b"{")
        if self._values > self._max_values or self._strings > 2 * self._max_values:
            raise InvalidRequest(
                f"The request body has more than {self._max_values} JSON values, the limit of this gateway "
                "(server.max_json_values)."
            )
        self._pieces.append(gap)

    def _follow_string(self, at: int, size: int) -> int:
        """Return the end of the string's content if it is within ``size`` bytes, else how far it was followed."""
        window = self._body[at : at + size]
        quote = window.find(b'"')
        if quote >= 0 and window.find(b"\\", 0, quote) < 0:
            return at + quote
        whole = _without_half_escape(window.replace(b"\\\\", b"__"))
        quote = whole.replace(b'\\"', b"__").find(b'"')
        return at + (len(whole) if quote < 0 else quote)

    def _find_end(self, at: int) -> Generator[None, None, int]:
        """Return where the string ends that was followed so far."""
        size = MAX_TOKEN_BYTES
        while self._body[at : at + 1] != b'"':
            size = min(size * 16, STEP_BYTES)
            end = self._follow_string(at, size)
            if end == at:
                raise not_json("a string does not end")
            at = end
            if size == STEP_BYTES:
                yield
        return at

    def _take_string(self, start: int, stop: int) -> None:
        """Keep a short string or a key, and put a placeholder in the place of any other."""
        text = self._body[start:stop]
        size = stop - start
        if size < LIFTED_BYTES or self._is_key(stop):
            if b"model" in text or (b"\\u006" in text and size <= _LONGEST_MODEL):
                self.model_keys += self._is_key(stop) and _parse(text) == "model"
            self._pieces.append(text)
        else:
            self._lift(_parse(text))

    def _is_key(self, stop: int) -> bool:
        return _before_colon(self._body, stop, stop + MAX_TOKEN_BYTES) is not None

    def _lift_long(self, start: int, stop: int) -> Generator[None, None, None]:
        """Parse a long string piece by piece, and put a placeholder in its place."""
        if self._is_key(stop):
            raise not_json("a key is longer than a megabyte")
        text, at, stop = "", start + 1, stop - 1
        while at < stop:
            cut = self._cut(at, stop)
            # CPython lets a local variable's text grow in place: 2 ms a piece; one join of 50 MB would take 40.
            text += _parse(b'"%b"' % self._body[at:cut])
            at = cut
            yield
        self._lift(text)

    def _lift(self, text: str) -> None:
        name = f"{self._mark}{len(self.lifted):x}"
        self.lifted[name] = text
        self._pieces.append(b'"%b"' % name.encode())

    def _cut(self, at: int, stop: int) -> int:
        """Return where the content can be cut: neither within a character nor within an escape."""
        near = at + STEP_BYTES
        if near >= stop:
            return stop
        cut = at + _whole_escapes(self._body[at:near], self._body[near : near + 6])
        for back in range(4):
            if not 0x80 <= self._body[cut - back] < 0xC0 and cut - back > at:  # the first byte of a character
                return cut - back
        return near  # malformed, as the parser will say


def _without_half_escape(text: bytes) -> bytes:
    """Leave out a backslash at the end, whose escape goes on behind it; pairs of backslashes are gone already."""
    return text[:-1] if text.endswith(b"\\") else text


def _whole_escapes(text: bytes, following: bytes) -> int:
    """Return the length of the text without an escape, or half of a surrogate pair, that goes on behind it."""
    text = text.replace(b"\\\\", b"__")
    last = text.rfind(b"\\")
    if last < 0:
        return len(text)
    escape = (text[last:] + following)[:6]
    size = 6 if escape[1:2] == b"u" else 2
    if last + size <= len(text) and not _is_high_surrogate(escape):
        return len(text)
    return last - 6 if last >= 6 and _is_high_surrogate(text[last - 6 : last]) else last


def _is_high_surrogate(escape: bytes) -> bool:
    """Whether an escape is the first half of a pair: U+D800 to U+DBFF."""
    return escape[:2] == b"\\u" and escape[2:4].lower() in {b"d8", b"d9", b"da", b"db"}


def _without_spaces(gap: bytes) -> bytes:
    """Shorten runs of white space, which may be as long as the body."""
    if len(gap) <= MAX_TOKEN_BYTES:
        return gap
    first = b" " if gap[:1] in _SPACES else b""
    last = b" " if gap[-1:] in _SPACES else b""
    return first + b" ".join(gap.split()) + last


def _parse(text: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise not_json(str(error)[:200]) from None

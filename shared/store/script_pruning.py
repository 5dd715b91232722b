"""Leaves out of a Lua script what it includes and never uses, and writes constants where they are used.

A script defines everything anew each time it runs. Each function costs a closure, and each outer name in it a walk
through all names that were defined since: the whole prelude of the job engine took 67 us of every script, and what is
left of it in a submit takes 9.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

_FUNCTION = re.compile(r"local function (\w+)")
# Without effects: literals, tables, and names without a value.
_VALUE = re.compile(r"local (\w+(?:, \w+)*)(?: = (?=['\"\d{-]|string\.rep\().*)?$")
_CONSTANT = re.compile(r"local ([A-Z][A-Z\d_]+) = ('[^']*'|\d+)$")
_STRING_OR_WORD = re.compile(r"'(?:[^'\\\n]|\\.)*'|\b[A-Z][A-Z\d_]+\b")
_COMMENT = re.compile(r"(?:^|\s+)--.*")
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class _Piece:
    """Lines of a script that stay or go together.

    Attributes:
        lines: The lines.
        names: What they define; empty: they always stay.
        words: The names in them.
        constant: The literal that its one name stands for; empty: it is no constant.
    """

    lines: tuple[str, ...]
    names: tuple[str, ...]
    words: frozenset[str]
    constant: str


def prune(fragments: Iterable[str]) -> str:
    """Return a script without the functions and values of its outermost block that it never uses.

    Constants, in capitals, are replaced by what they stand for.

    A line of what is left keeps its number: what goes, comments too, leaves empty lines.

    Args:
        fragments: The script's own lines and those that it includes, in order. No definition spans two.
    """
    pieces = [piece for fragment in fragments for piece in _pieces(fragment)]
    used = _used(pieces)
    constants = {piece.names[0]: piece.constant for piece in pieces if piece.constant}
    lines: list[str] = []
    for piece in pieces:
        stays = not piece.names or (not piece.constant and used.intersection(piece.names))
        lines += piece.lines if stays else [""] * len(piece.lines)
    return _STRING_OR_WORD.sub(lambda found: constants.get(found[0], found[0]), "\n".join(lines))


@cache  # forty scripts include the same files
def _pieces(fragment: str) -> tuple[_Piece, ...]:
    lines = [_COMMENT.sub("", line) for line in fragment.split("\n")]
    pieces: list[_Piece] = []
    at = 0
    while at < len(lines):
        code = lines[at]
        function, value = _FUNCTION.match(code), _VALUE.match(code)
        names: tuple[str, ...] = ()
        end = at + 1
        if function is not None:
            names = (function[1],)
            end = end if code.endswith(" end") else _end_of(lines, end, "end")
        elif value is not None:
            names = tuple(value[1].split(", "))
            end = end if code.count("{") == code.count("}") else _end_of(lines, end, "")
        block = tuple(lines[at:end])
        words = frozenset(_WORD.findall("\n".join(block)))
        constant = _CONSTANT.match(code)
        pieces.append(_Piece(block, names, words, constant[2] if constant else ""))
        at = end
    return tuple(pieces)


def _end_of(lines: list[str], start: int, closing: str) -> int:
    """Return the line after the first one that is not indented (``end``), or after a table's last line."""
    for at, code in enumerate(lines[start:], start):
        if code == closing if closing else code.endswith("}") and not code.endswith("{}"):
            return at + 1
    raise ValueError(f"the Lua definition before line {start + 1} has no end")


def _used(pieces: Sequence[_Piece]) -> set[str]:
    """Return the names that what always stays uses, and what that uses, and so on."""
    defined: dict[str, list[_Piece]] = defaultdict(list)
    for piece in pieces:
        for name in piece.names:
            defined[name].append(piece)
    used: set[str] = set()
    found = set().union(*(piece.words for piece in pieces if not piece.names)) & defined.keys()
    while found:
        used |= found
        found = set().union(*(piece.words for name in found for piece in defined[name])) & defined.keys() - used
    return used

"""Identifiers of product code use the words of ``docs/glossary.md``, never the private ones of its early days."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("api", "cli", "shared", "simulator", "worker")
# Each with what to write instead.
PRIVATE = {
    "said": "what the value is: raw, body, header, params, settings, reply",
    "saying": "decoder",
    "sayings": "decoders",
    "told": "error, payload, notification",
    "shown": "description, or to_dict()",
    "spoken": "description",
    "speakers": "pending_events",
    "fellows": "watchers",
    "door": "limit guard",
    "standing": "status",
    "standings": "limit_status",
    "outlook": "forecast",
    "tallies": "counters",
}
# Identifiers that have such a word as part of an accepted name.
ALLOWED: frozenset[str] = frozenset()
# Words of clients and of stored records, which keep their old names: the line's file and what it holds.
KEPT = {
    ("shared/providers/health/changes.py", "told"),  # a field of the stored state of a provider
    ("shared/surfaces/webhook.py", "told"),  # part of what an alert's event id is computed from
    ("shared/checks/findings.py", "said"),  # a field of `finops doctor --json`
}
_PRIVATE_TEXT = re.compile(r"\b(said|told|shown|saying|fellows|door)\b")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def parts(identifier: str) -> set[str]:
    """The words of a name in snake case or camel case, in lower case."""
    return {part.lower() for part in _PART.findall(identifier)}


def identifiers(source: str) -> Iterator[tuple[int, str]]:
    """The names in a module, with their lines; names inside f-strings included, strings and comments not."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string
        elif token.type == tokenize.STRING and "f" in token.string[:3].lower().partition(token.string[-1])[0]:
            for field in re.findall(r"(?<!\{)\{([^{}:!]+)", token.string):  # one token until Python 3.11
                yield from ((token.start[0], name) for name in re.findall(r"[^\W\d]\w*", field))


def private_words(path: Path) -> list[str]:
    """What a module has to rename, as ``file:line name: what to write``."""
    return [
        f"{path.relative_to(ROOT)}:{line} {name}: {PRIVATE[word]}"
        for line, name in identifiers(path.read_text(encoding="utf-8"))
        if name not in ALLOWED
        for word in sorted(parts(name) & PRIVATE.keys())
    ]


@pytest.mark.parametrize("package", PRODUCT)
def test_identifiers_use_the_words_of_the_glossary(package: str) -> None:
    modules = sorted(path for path in (ROOT / package).rglob("*.py") if "__pycache__" not in path.parts)
    assert modules
    assert [finding for path in modules for finding in private_words(path)] == []


@pytest.mark.parametrize("package", PRODUCT)
def test_strings_and_docstrings_use_them_too(package: str) -> None:
    found = {
        (str(path.relative_to(ROOT)), word)
        for path in (ROOT / package).rglob("*.py")
        for word in _PRIVATE_TEXT.findall(path.read_text(encoding="utf-8"))
    }
    assert found == {kept for kept in KEPT if kept[0].startswith(f"{package}/")}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("said = 1", ["said"]),
        ("class LimitDoor: ...", ["class", "LimitDoor"]),
        ('text = f"{told!r} {{shown}}"', ["text", "told"]),
        ('text = "said"  # told', ["text"]),
    ],
)
def test_only_names_are_looked_at(source: str, found: list[str]) -> None:
    assert [name for _, name in identifiers(source)] == found


def test_a_name_is_split_into_its_words() -> None:
    assert parts("_limit_door") == {"limit", "door"}
    assert parts("HTTPDoor") == {"http", "door"}
    assert parts("indoors") == {"indoors"}

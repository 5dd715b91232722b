"""Byte strings like those of an attacker: a stored corpus, and what becomes of it by cutting, repeating and mixing."""

from functools import cache
from itertools import pairwise
from pathlib import Path

from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"


@cache
def corpus(kind: str) -> dict[str, bytes]:
    """The stored messages of a kind, ``requests`` or ``answers``, by name."""
    return {path.stem: path.read_bytes() for path in sorted((CORPUS / kind).iterdir())}


@st.composite
def mutated(draw: st.DrawFn, kind: str, tokens: list[bytes]) -> bytes:
    """One or two messages of the corpus with some lines dropped, doubled or replaced, and some bytes changed."""
    messages = list(corpus(kind).values())
    data = b"".join(draw(st.lists(st.sampled_from(messages), min_size=1, max_size=2)))
    lines = data.splitlines(keepends=True)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(lines)))
        line = draw(st.sampled_from([*tokens, *lines]) | st.binary(max_size=6))
        lines[at : at + draw(st.integers(0, 1))] = [line]
    data = b"".join(lines)
    if data and draw(st.booleans()):
        at = draw(st.integers(0, len(data) - 1))
        data = data[:at] + draw(st.binary(max_size=2)) + data[at + draw(st.integers(0, 2)) :]
    return data


CUTS = st.lists(st.integers(0, 400), max_size=12)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """The data in pieces that end at these positions."""
    edges = sorted({0, len(data), *(position for position in at if position < len(data))})
    return [data[start:end] for start, end in pairwise(edges)]

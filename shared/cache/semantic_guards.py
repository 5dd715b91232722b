"""When one answer may be right for two questions whose meanings are close (embeddings). Pure.

Similar vectors decide nothing by themselves: of the 300 traps of fow-cache, 70 have a cosine of 0.90 or more. Numbers,
dates, names, codes, negations and opposites must agree; strictly, also what the questions ask for, and of what.
"""

import re
import unicodedata
from collections import Counter
from typing import NamedTuple

from shared.cache.near_text import NearText, read_text
from shared.cache.near_words import DIRECTED, ENGLISH
from shared.cache.semantic_words import DATES, GENERIC, NEGATING_PREFIXES, NEGATIONS, OPPOSITES, QUESTION_WORDS

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_QUOTED = re.compile(r"[\"\u201c]([^\"\u201d]{1,200})[\"\u201d]|`([^`]{1,200})`")
_CODE = re.compile(r"\S*[\w][_/\\@#.:][\w]\S*")
_SUFFIXES = ("ations", "ation", "ments", "ment", "ings", "ing", "ies", "ed", "es", "s", "ly", "e", "y")


class Meaning(NamedTuple):
    """What of a question must agree with another one.

    Attributes:
        near: Its words, normalised.
        exact: Numbers, dates, codes and quotations, each as often as it occurs.
        negations: How many there are.
        words: All of its words.
        content: Stems of the words that carry meaning.
        names: Words with capitals inside a sentence, stemmed.
    """

    near: NearText
    exact: Counter[str]
    negations: int
    words: frozenset[str]
    content: frozenset[str]
    names: frozenset[str]


def read_meaning(text: str) -> Meaning | None:
    """Read a question; None: it is not compared, as it is too short, too long, has code in it or is not English.

    Args:
        text: As its user wrote it.
    """
    near = read_text(text)
    if near is None or not near.english:
        return None
    plain = unicodedata.normalize("NFKC", text)
    exact = Counter(match.replace(",", "") for match in _NUMBER.findall(plain))
    exact.update(word for word in near.words if word in DATES or (word.isdigit() and word not in exact))
    exact.update((one or two).casefold() for one, two in _QUOTED.findall(plain))
    exact.update(word.strip(".,;:!?()").casefold() for word in _CODE.findall(plain))
    return Meaning(
        near=near,
        exact=exact,
        negations=sum(word in NEGATIONS for word in near.words),
        words=frozenset(near.words),
        content=frozenset(
            _stem(word)
            for word in near.words
            if word not in ENGLISH and word not in GENERIC and word not in QUESTION_WORDS and word not in NEGATIONS
        ),
        names=frozenset(_stem(word) for word in near.names if word not in ENGLISH),
    )


def may_share(asked: Meaning, stored: Meaning, *, strict: bool) -> bool:
    """Whether one answer may be right for both questions, if their vectors are close too.

    Args:
        asked: The question.
        stored: The question of a stored answer.
        strict: Whether to refuse also a word that is added, or replaced by another one.
    """
    if asked.near.words == stored.near.words:
        return True
    if asked.exact != stored.exact or asked.negations != stored.negations or asked.names != stored.names:
        return False
    if _are_opposed(asked.words, stored.words):
        return False
    return not strict or _ask_for_the_same(asked, stored)


def _are_opposed(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether a word of one is the opposite of a word of the other, and not in both."""
    left, right = one - other, other - one
    for word in left:
        if not OPPOSITES.get(word, frozenset()).isdisjoint(right):
            return True
    stems = {_stem(word) for word in right}
    return any(_is_negated(_stem(word), stems) for word in left) or any(
        _is_negated(stem, {_stem(word) for word in left}) for stem in stems
    )


def _is_negated(stem: str, others: set[str]) -> bool:
    return any(stem.startswith(prefix) and stem[len(prefix) :].lstrip("-") in others for prefix in NEGATING_PREFIXES)


def _ask_for_the_same(asked: Meaning, stored: Meaning) -> bool:
    questions = asked.words & QUESTION_WORDS, stored.words & QUESTION_WORDS
    if questions[0] and questions[1] and questions[0] != questions[1]:
        return False
    left, right = asked.content - stored.content, stored.content - asked.content
    left, right = _without_typos(left, right)
    if not left and not right:
        return _same_order(asked, stored)
    # A word that is added narrows a question; a word in the place of another asks for another thing.
    return len(left) > 1 and len(right) > 1 and bool(asked.content & stored.content)


def _without_typos(left: frozenset[str], right: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    same = {(one, other) for one in left for other in right if one[:5] == other[:5] and len(one) > 4 < len(other)}
    return left - {one for one, _ in same}, right - {other for _, other in same}


def _same_order(asked: Meaning, stored: Meaning) -> bool:
    """Whether the same words stand in the same order, where a word such as from or than makes it matter."""
    if DIRECTED.isdisjoint(asked.words | stored.words):
        return True
    return _ordered(asked) == _ordered(stored)


def _ordered(meaning: Meaning) -> list[str]:
    return [stem for stem in map(_stem, meaning.near.words) if stem in meaning.content]


def _stem(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)]
    return word

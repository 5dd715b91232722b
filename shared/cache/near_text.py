"""When two questions differ in case, punctuation, courtesy, typos and the order of phrases alone. Pure.

Similarity alone decides nothing: every word must be there on both sides; numbers, names and negations letter by letter.
Synonyms and paraphrases are not known. On the 600 pairs of fow-cache: 80 of 100 near repeats, 0 of 300 traps.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

from shared.cache.near_words import (
    CONFUSABLE,
    CONTRACTIONS,
    DIRECTED,
    ENGLISH,
    FILLERS,
    GREETINGS,
    HESITATIONS,
    NUMBERS,
    THANKS,
)

MAX_BYTES = 2048
MIN_WORDS = 2
MAX_WORDS = 400

# Words, signs such as currencies, and the marks inside numbers.
_WORD = re.compile(
    r"[^\W_]+(?:['\u2019][^\W_]+)*|[^\w\s.,;:!?'\"\u2018\u2019\u201c\u201d()\u2026-]|(?<=\d)[.,:](?=\d)|-(?=\d)"
)
_NOT = re.compile(r"(do|does|did|is|are|was|were|has|have|had|should|would|could|must|need)n'?t")
_HOW = re.compile(r"\bhow (?:do |can |could |would |should )?(i|we|you|one)\b")
_GREETING = re.compile(f"(?:{'|'.join(GREETINGS)}) ")
_THANKS = tuple(f" {phrase}" for phrase in THANKS)
_ENGLISH_SHARE = 0.2
# Moving a phrase is tried at every word: 60 x 60 comparisons take 1 ms.
_MOVED_WORDS = 60


# Words come again; a third of a look-up's time was spent on them. Each is shorter than ``MAX_BYTES``: 8 MB at most.
_remember = lru_cache(maxsize=4096)


class NearText(NamedTuple):
    """A question, ready to be compared.

    Attributes:
        words: Of the normalised text, courtesy and fillers left out.
        names: Which of them are names, codes or numbers, compared letter by letter.
        english: Whether it is English enough for its fillers and typos to be known.
    """

    words: tuple[str, ...]
    names: frozenset[str]
    english: bool

    @property
    def text(self) -> str:
        """The words in one line."""
        return " ".join(self.words)

    @property
    def signature(self) -> str:
        """What texts that may be near have in common: consonants of their words, whatever their order."""
        return " ".join(sorted(map(_skeleton, self.words)))


def read_text(text: str) -> NearText | None:
    """Read a question; None: it is too short, too long or has code in it.

    Args:
        text: As its user wrote it.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES or "```" in text:
        return None
    raw = _WORD.findall(unicodedata.normalize("NFKC", text).replace("\u2019", "'"))
    if not MIN_WORDS <= len(raw) <= MAX_WORDS:
        return None
    names = _names(raw, text)
    plain = " ".join(_expanded(word.casefold()) for word in raw)
    english = _is_english(plain.split())
    if english:
        fluent = " ".join(word for word in plain.split() if word not in HESITATIONS)
        plain = _HOW.sub(r"how do \1", _without_courtesy(fluent))
    words = tuple(
        NUMBERS.get(word, word) if english else word for word in plain.split() if not (english and word in FILLERS)
    )
    return NearText(words, names, english) if len(words) >= MIN_WORDS else None


@_remember
def _has_digit(word: str) -> bool:
    return any(character.isdigit() for character in word)


@_remember
def _expanded(word: str) -> str:
    if (found := CONTRACTIONS.get(word)) is not None:
        return found
    negated = _NOT.fullmatch(word)
    return f"{negated[1]} not" if negated else word.replace("'", "")


def _names(raw: Sequence[str], text: str) -> frozenset[str]:
    """Return the words that a typo makes another thing: capitals inside a sentence, and digits."""
    found = {word.casefold() for word in raw if _has_digit(word)}
    letters = [word for word in raw if word[0].isalpha()]
    capital = [word for word in letters if word[0].isupper()]
    if len(capital) * 2 <= len(letters):  # else the caller shouts, or writes a title
        starts = {match[1] for match in re.finditer(r"(?:^|[.!?:,]\s+)([^\W\d_]+)", text.strip())}
        found |= {word.casefold() for word in capital if word not in starts or (word.isupper() and len(word) > 1)}
    return frozenset(found)


def _is_english(words: Sequence[str]) -> bool:
    return sum(word in ENGLISH for word in words) >= _ENGLISH_SHARE * len(words)


def _without_courtesy(text: str) -> str:
    """Leave out greetings and thanks, unless nothing else is left."""
    rest = text
    while found := _GREETING.match(rest):
        rest = rest[found.end() :]
    while rest.endswith(_THANKS):
        rest = rest[: -max(len(phrase) for phrase in _THANKS if rest.endswith(phrase))]
    return rest if rest not in GREETINGS and rest not in THANKS else text


@_remember
def _skeleton(word: str) -> str:
    """Return what a word and its misspellings have in common: its consonants, each once; else the word."""
    if _has_digit(word):
        return word
    consonants = sorted(set(_singular(word)) - set("aeiou"))
    return "".join(consonants) or word


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def is_near(asked: NearText, stored: NearText) -> bool:
    """Whether one answer is right for both questions (strict guards)."""
    if asked.words == stored.words:
        return True
    if not (asked.english and stored.english) or len(asked.words) != len(stored.words):
        return False
    names = asked.names | stored.names
    if _are_same(asked.words, stored.words, names):
        return True
    if len(asked.words) > _MOVED_WORDS or not DIRECTED.isdisjoint((*asked.words, *stored.words)):
        return False
    moved = ((*stored.words[at:], *stored.words[:at]) for at in range(1, len(stored.words)))
    return any(_are_same(asked.words, words, names) for words in moved)


def _are_same(asked: Sequence[str], stored: Sequence[str], names: frozenset[str]) -> bool:
    return all(_is_same(one, other, names) for one, other in zip(asked, stored, strict=True))


def _is_same(one: str, other: str, names: frozenset[str]) -> bool:
    if one == other:
        return True
    if one in names or other in names or one in ENGLISH or other in ENGLISH:
        return False
    if not (one.isalpha() and other.isalpha()):
        return False
    if _singular(one) == _singular(other):
        return True
    return _is_typo(one, other)


def _is_typo(one: str, other: str) -> bool:
    """Whether two words are one slip apart (a letter left out, added or replaced, or two swapped)."""
    short, long = sorted((one, other), key=len)
    if len(short) < 5 or one[0] != other[0] or frozenset((one, other)) in CONFUSABLE:
        return False
    return _distance_is_one(short, long)


def _distance_is_one(short: str, long: str) -> bool:
    if len(long) - len(short) > 1:
        return False
    at = next((at for at, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(long) > len(short):
        return short[at:] == long[at + 1 :]
    if short[at + 1 :] == long[at + 1 :]:
        return True
    return short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]


def similarity(one: str, other: str) -> float:
    """Return the cosine of two texts' character 2- to 4-grams, 0 to 1."""
    if one == other:
        return 1.0
    left, right = _grams(one), _grams(other)
    shared = sum(count * right[gram] for gram, count in left.items())
    size = sqrt(sum(count * count for count in left.values()) * sum(count * count for count in right.values()))
    return shared / size if size else 0.0


def _grams(text: str) -> Counter[str]:
    padded = f" {text} "
    return Counter(padded[at : at + size] for size in (2, 3, 4) for at in range(len(padded) - size + 1))

"""Whether two answers say the same, as far as their texts tell. Pure."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson

from shared.cache.near_text import similarity
from shared.cache.semantic_words import NEGATIONS

ALIKE = 0.8
MOST_CHARS = 8_000
"""Comparing two texts of this length takes 20 ms; longer answers are not compared."""
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


def answer_text(body: bytes) -> str | None:
    """Return the text of a chat's answer; None if it has another form: several choices, tool calls, no text, too long.

    Args:
        body: A whole chat completion.
    """
    try:
        choices: Any = orjson.loads(body)["choices"]
        message: Mapping[str, Any] = choices[0]["message"]
        text = message.get("content")
        if len(choices) != 1 or message.get("tool_calls") or message.get("function_call"):
            return None
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError):
        return None
    return text if isinstance(text, str) and 0 < len(text) <= MOST_CHARS else None


def are_alike(one: str, other: str) -> bool:
    """Whether two answers are equal but for case and spaces, or very similar with the same numbers and negations."""
    left, right = " ".join(one.casefold().split()), " ".join(other.casefold().split())
    if left == right:
        return True
    if _figures(left) != _figures(right) or _negations(left) != _negations(right):
        return False
    return similarity(left, right) >= ALIKE


def _figures(text: str) -> Counter[str]:
    return Counter(_NUMBER.findall(text))


def _negations(text: str) -> int:
    return sum(word in NEGATIONS or word.endswith(("n't", "n\u2019t")) for word in _WORD.findall(text))

"""Differences between generations of Gemini models, read from their names.

Sources: https://ai.google.dev/gemini-api/docs/thinking, https://ai.google.dev/gemini-api/docs/thought-signatures
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal


@dataclass(frozen=True, slots=True)
class Traits:
    """The parameters that one model takes.

    Attributes:
        thinking: Whether thinking is set by a ``level``, by a ``budget`` of tokens, or not at all.
        levels: Those it knows, the lowest first.
        least_budget: The smallest budget above zero (tokens).
        most_budget: The largest one (tokens).
        stoppable: Whether it can be kept from thinking.
        signed: Whether it refuses function calls of its own that come back without their thought signature.
        media_results: Whether results of functions may hold images and documents.
    """

    thinking: Literal["level", "budget", "none"]
    levels: tuple[str, ...] = ()
    least_budget: int = 1
    most_budget: int = 24_576
    stoppable: bool = True
    signed: bool = False
    media_results: bool = False


def _by_level(*levels: str, signed: bool = True) -> Traits:
    return Traits("level", levels, stoppable=False, signed=signed, media_results=signed)


_UNTHINKING = Traits("none")
_PRO_2_5 = Traits("budget", least_budget=128, most_budget=32_768, stoppable=False)
_FLASH_2_5 = Traits("budget")
_LITE_2_5 = Traits("budget", least_budget=512)
_NEWEST = _by_level("low", "medium", "high")
_ALL_LEVELS = _by_level("minimal", "low", "medium", "high")
_ENDS = _by_level("minimal", "high")

# gemini-2.5-flash-lite, gemini-3-pro-preview, models/gemini-3.1-flash-image, gemma-4-31b-it
_NAME = re.compile(r"(gemini|gemma)-(\d{1,2})(?:\.(\d{1,2}))?(?!\d)(?:-(\w+))?(.*)")


@lru_cache(maxsize=1024)
def traits_of(model: str) -> Traits:
    """Return what the model takes, by its name; names that show no version are taken for new models."""
    found = _NAME.search(model.lower())
    if found is None:
        return _NEWEST
    version = (int(found[2]), int(found[3] or 0))
    kind, rest = found[4] or "", found[5]
    if found[1] == "gemma":
        return _by_level("minimal", "high", signed=False) if version >= (4, 0) else _UNTHINKING
    if version < (3, 0):
        return _before_3(version, kind, rest)
    if "-image" in rest:
        return _ENDS
    if kind == "pro":
        return _by_level("low", "high") if version == (3, 0) else _NEWEST
    # From 3.7 on, Flash models know no minimal level; Flash-Lite models do.
    return _ALL_LEVELS if kind == "flash" and (version < (3, 7) or "-lite" in rest) else _NEWEST


def _before_3(version: tuple[int, int], kind: str, rest: str) -> Traits:
    if version < (2, 5) or "-image" in rest or "-tts" in rest:
        return _UNTHINKING
    if kind == "pro":
        return _PRO_2_5
    return _LITE_2_5 if "-lite" in rest else _FLASH_2_5

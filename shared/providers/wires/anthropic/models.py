"""Differences between the models that speak the Messages format.

Sources: https://platform.claude.com/docs/en/about-claude/models/overview,
https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking and .../structured-outputs
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal


@dataclass(frozen=True, slots=True)
class Traits:
    """The parameters that one model takes.

    Attributes:
        thinking: ``adaptive`` (the model decides, by an effort), ``budget`` (so many tokens) or ``none``.
        efforts: Values of ``output_config.effort`` beyond low, medium and high.
        sampling: ``both`` of temperature and top_p, ``one`` of them, or ``none``; the rest is refused.
        structured: Whether ``output_config.format`` and strict tools exist.
        default_max_tokens: For requests without a limit; the format demands one. Never above the model's own.
    """

    thinking: Literal["adaptive", "budget", "none"]
    sampling: Literal["both", "one", "none"]
    structured: bool
    default_max_tokens: int
    efforts: frozenset[str] = frozenset()


_CLAUDE_3 = Traits("none", "both", structured=False, default_max_tokens=4096)
_CLAUDE_3_5 = Traits("none", "both", structured=False, default_max_tokens=8192)
_CLAUDE_4 = Traits("budget", "both", structured=False, default_max_tokens=32_000)
_CLAUDE_4_1 = Traits("budget", "one", structured=True, default_max_tokens=32_000)
_CLAUDE_4_6 = Traits("adaptive", "one", structured=True, default_max_tokens=32_000, efforts=frozenset({"max"}))
_NEWEST = Traits("adaptive", "none", structured=True, default_max_tokens=32_000, efforts=frozenset({"xhigh", "max"}))
# Other vendors' endpoints that speak this format: the oldest common ground.
_OTHER = Traits("budget", "both", structured=False, default_max_tokens=8192)

# From this version on; the last row that is not above a model's version counts.
_SINCE: tuple[tuple[tuple[int, int], Traits], ...] = (
    ((0, 0), _CLAUDE_3),
    ((3, 5), _CLAUDE_3_5),
    ((3, 7), _CLAUDE_4),
    ((4, 1), _CLAUDE_4_1),
    ((4, 6), _CLAUDE_4_6),
    ((4, 7), _NEWEST),
)

# claude-3-5-haiku-20241022 and claude-4-opus-20250514; claude-sonnet-4-20250514, claude-sonnet-4-5@20250929
_OLD_ORDER = re.compile(r"claude-(\d)(?:[-.](\d))?-(?:haiku|sonnet|opus)")
_NEW_ORDER = re.compile(r"claude-[a-z]+-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")


@lru_cache(maxsize=1024)
def traits_of(model: str) -> Traits:
    """Return what the model takes, by its name; names of Claude that show no version are taken for new ones."""
    name = model.lower()
    if "claude" not in name:
        return _OTHER
    version = _OLD_ORDER.search(name) or _NEW_ORDER.search(name)
    if version is None:
        return _CLAUDE_3 if "claude-2" in name or "instant" in name else _NEWEST
    number = (int(version[1]), int(version[2] or 0))
    return next(traits for since, traits in reversed(_SINCE) if number >= since)

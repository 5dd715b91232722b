"""Reasoning effort as Gemini's thinking level or budget.

Source: https://ai.google.dev/gemini-api/docs/thinking; the budgets are those of Google's own endpoint in OpenAI's
format, https://ai.google.dev/gemini-api/docs/openai
"""

from collections.abc import Mapping
from typing import Any

from shared.providers.wires.gemini.models import Traits
from shared.surfaces.fields import unsupported

_EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 32_768, "max": 32_768}


def read_thinking(fields: Mapping[str, Any], traits: Traits) -> dict[str, Any]:
    """``thinkingConfig`` for a reasoning effort; empty: as the model likes.

    Raises:
        UnsupportedParameter: The effort is unknown, or the model does not think, or cannot be kept from it.
    """
    effort = fields.get("reasoning_effort")
    if effort is None:
        return {}
    if not isinstance(effort, str) or effort not in {"none", *_EFFORTS}:
        raise unsupported("reasoning_effort", f"{effort!r} is none of none, {', '.join(_EFFORTS)}.")
    if effort == "none":
        return _without_thinking(traits)
    if traits.thinking == "none":
        raise unsupported("reasoning_effort", "this model does not reason.")
    if traits.thinking == "level":
        return {"thinkingLevel": _level(effort, traits.levels).upper(), "includeThoughts": True}
    budget = max(traits.least_budget, min(_BUDGETS[effort], traits.most_budget))
    return {"thinkingBudget": budget, "includeThoughts": True}


def _without_thinking(traits: Traits) -> dict[str, Any]:
    if traits.thinking == "none":
        return {}
    if not traits.stoppable:
        least = traits.levels[0] if traits.levels else "minimal"
        raise unsupported("reasoning_effort", f"this model always reasons; the least it can do is {least!r}.")
    return {"thinkingBudget": 0}


def _level(effort: str, levels: tuple[str, ...]) -> str:
    """The level of that name, else the next higher one, else the highest."""
    wanted = _EFFORTS.index(effort)
    return next((level for level in levels if _EFFORTS.index(level) >= wanted), levels[-1])

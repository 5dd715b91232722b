"""Reasoning effort as Anthropic's thinking budget or effort.

Sources: https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking, .../extended-thinking and
.../effort
"""

from collections.abc import Mapping
from typing import Any

from shared.providers.wires.anthropic.models import Traits
from shared.surfaces.fields import need_object, unsupported

MIN_BUDGET_TOKENS = 1024
# The budgets are ours; the surface for Anthropic's callers reads budgets with the same bounds.
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768, "max": 32_768}


def read_thinking(fields: Mapping[str, Any], traits: Traits, max_tokens: int) -> dict[str, Any]:
    """``thinking`` and ``output_config.effort`` for a reasoning effort; an explicit ``thinking`` comes first.

    Raises:
        UnsupportedParameter: The model does not think, the effort is unknown, or the limit leaves no room.
    """
    effort = fields.get("reasoning_effort")
    if effort is not None and (not isinstance(effort, str) or (effort != "none" and effort not in _BUDGETS)):
        raise unsupported("reasoning_effort", f"{effort!r} is none of none, {', '.join(_BUDGETS)}.")
    native = fields.get("thinking")
    if native is not None:
        thinking = dict(need_object(native, "thinking"))
        with_effort = effort not in {None, "none"} and thinking.get("type") == "adaptive"
        return {"thinking": thinking} | (_effort(str(effort), traits) if with_effort else {})
    if effort is None:
        return {}
    if traits.thinking == "none":
        if effort == "none":
            return {}
        raise unsupported("reasoning_effort", "this model does not reason.")
    if effort == "none":
        return {"thinking": {"type": "disabled"}}
    if traits.thinking == "adaptive":
        # Summaries have to be asked for: newer models leave the thoughts out otherwise.
        return {"thinking": {"type": "adaptive", "display": "summarized"}} | _effort(effort, traits)
    return {"thinking": {"type": "enabled", "budget_tokens": _budget(effort, max_tokens)}}


def _effort(effort: str, traits: Traits) -> dict[str, Any]:
    """The nearest effort that the model knows, never below the asked one as far as there is a higher."""
    if effort == "minimal":
        effort = "low"
    elif effort in {"xhigh", "max"} and effort not in traits.efforts:
        effort = "max" if "max" in traits.efforts else "high"
    return {"output_config": {"effort": effort}}


def _budget(effort: str, max_tokens: int) -> int:
    """At most half of the answer's limit, which counts the thoughts too."""
    if max_tokens <= MIN_BUDGET_TOKENS:
        raise unsupported(
            "reasoning_effort",
            f"this model thinks only with more than {MIN_BUDGET_TOKENS} max_completion_tokens.",
        )
    return max(MIN_BUDGET_TOKENS, min(_BUDGETS[effort], max_tokens // 2))

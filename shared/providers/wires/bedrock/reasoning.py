"""Reasoning effort, in the form that each family of models takes.

Sources: https://docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-extended-thinking.html,
https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-openai.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.providers.wires.anthropic.models import Traits
from shared.providers.wires.anthropic.thinking import read_thinking
from shared.providers.wires.bedrock.models import Family, claude_traits, family_of
from shared.surfaces.fields import unsupported

_LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a reasoning effort comes to.

    Attributes:
        limit: The most tokens of the answer, thoughts included; None: the model's own.
        fields: For ``additionalModelRequestFields``.
        effort: For ``outputConfig``; empty: none.
        thinking: Whether the model refuses sampling because of it.
    """

    limit: int | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    effort: str = ""
    thinking: bool = False


def read_reasoning(fields: Mapping[str, Any], model: str, limit: int | None) -> Reasoning:
    """What the request's ``reasoning_effort`` or ``thinking`` means for the model.

    Raises:
        UnsupportedParameter: The model does not reason, or not that way.
    """
    traits = claude_traits(model)
    if traits is not None:
        return _claude(fields, traits, limit)
    if "thinking" in fields:
        raise unsupported("thinking", "only models of Claude take it; reasoning_effort is for all.")
    effort = fields.get("reasoning_effort")
    if effort is None:
        return Reasoning(limit)
    return Reasoning(limit, _other(effort, family_of(model)))


def _claude(fields: Mapping[str, Any], traits: Traits, limit: int | None) -> Reasoning:
    settings = read_thinking(fields, traits, traits.default_max_tokens if limit is None else limit)
    thinking = settings.get("thinking")
    if thinking is None:
        return Reasoning(limit)
    budget = thinking.get("type") == "enabled"
    return Reasoning(
        # A budget must stay below the limit, so there has to be one.
        traits.default_max_tokens if budget and limit is None else limit,
        {"thinking": thinking},
        str(settings.get("output_config", {}).get("effort", "")),
        thinking=thinking.get("type") in ("enabled", "adaptive"),
    )


def _other(effort: object, family: Family) -> dict[str, Any]:
    if effort == "none" and family != "gpt-oss":
        return {"reasoningConfig": {"type": "disabled"}} if family == "nova-2" else {}
    if family == "other":
        raise unsupported("reasoning_effort", "this model takes none, or takes it in additionalModelRequestFields.")
    level = _LEVELS.get(effort) if isinstance(effort, str) else None
    if level is None:
        raise unsupported("reasoning_effort", f"{effort!r} is none of {', '.join(_LEVELS)}.")
    if family == "gpt-oss":
        return {"reasoning_effort": level}
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": level}}

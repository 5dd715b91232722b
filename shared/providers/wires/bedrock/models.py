"""Differences between the models behind Converse.

Sources: https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-supported-models-features.html,
https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html
"""

import re
from typing import Literal

from shared.providers.wires.anthropic.models import Traits, traits_of

Family = Literal["claude", "nova-2", "gpt-oss", "other"]

# Those that had no structured outputs when they came out; newer open-weight models have them.
_UNSTRUCTURED = re.compile(
    r"amazon\.|meta\.llama|cohere\.|ai21\.|writer\.|deepseek\.r1|mistral\.(mistral-7b|mixtral|mistral-large-24|mistral-small-24)"
)


def family_of(model: str) -> Family:
    """Which fields beyond the common ones a model takes; by its name, wherever in an ARN or profile that stands."""
    name = model.lower()
    if "claude" in name:
        return "claude"
    if "nova-2" in name:
        return "nova-2"
    return "gpt-oss" if "gpt-oss" in name else "other"


def claude_traits(model: str) -> Traits | None:
    """Return what a Claude model takes; None for every other model."""
    return traits_of(model) if family_of(model) == "claude" else None


def is_structured(model: str) -> bool:
    """Whether the model's answer can be held to a JSON schema; where not, a forced tool's arguments are the answer.

    Claude has it here from 4.5 on. Names that say nothing (profiles of one's own) are taken for new models.
    """
    name = model.lower()
    traits = claude_traits(model)
    if traits is not None:
        return traits.structured and not re.search(r"4[-.]1(?!\d)", name)
    return _UNSTRUCTURED.search(name) is None

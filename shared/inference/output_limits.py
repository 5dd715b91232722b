"""A limit on the answer of a call that sets none: what its budget still pays for."""

from dataclasses import replace
from typing import Final, NamedTuple

from shared.background import beside_loop
from shared.governance.pricing.usage import continues_stored, limits_output
from shared.inference.call import Call, Target
from shared.surfaces.json_edits import with_members
from shared.surfaces.native_body import limited
from shared.surfaces.request_types import CHAT, COMPLETIONS, RESPONSES

LEAST_OUTPUT: Final = 16
"""Tokens; OpenAI refuses smaller limits of a response."""
_LIMITED = {CHAT.name: "max_completion_tokens", COMPLETIONS.name: "max_tokens", RESPONSES.name: "max_output_tokens"}


def can_limit_output(call: Call) -> bool:
    """Whether a call's answer can be limited in its stead: it sets no limit, and the cost of its prompt is known."""
    known_prompt = call.stored_tokens is not None or not continues_stored(call.fields)
    return call.request_type.name in _LIMITED and known_prompt and not limits_output(call.fields)


async def limit_output(call: Call, target: Target, most: int) -> Call:
    """Return ``with_output_limit``; of a large body without holding the event loop."""
    return await beside_loop(call.body, with_output_limit, call, target, most)


def with_output_limit(call: Call, target: Target, most: int) -> Call:
    """Return the call with a limit on its answer; its body stays as it is but for the field at its end.

    Args:
        call: The call; ``can_limit_output``.
        target: Where it goes: servers that only resemble OpenAI know the older name of the field.
        most: Output tokens of each choice.
    """
    name = _LIMITED[call.request_type.name]
    if call.request_type is CHAT and target.provider.wire == "openai" and not target.provider.strict:
        name = "max_tokens"
    if name in call.fields:  # null
        body = with_members(call.body, {name: b"%d" % most})
    else:
        body = call.body.rstrip()[:-1] + f',"{name}":{most}}}'.encode()
    native = None if call.native is None else limited(call.native, most)
    return replace(call, fields={**call.fields, name: most}, body=body, native=native)


class CostBounds(NamedTuple):
    """What a call may cost at most, and what it costs with a shorter answer.

    Attributes:
        cost: Micro-USD, at most.
        tokens: To be held under limits of tokens.
        prompt: Cost without any answer; None: the answer cannot be limited.
        output: Most output tokens, of all choices together.
        choices: Number of choices.
    """

    cost: int
    tokens: int
    prompt: int | None = None
    output: int = 0
    choices: int = 1

    @property
    def least(self) -> int | None:
        """The least cost that the call can be limited to; None: it cannot be limited."""
        if self.prompt is None or self.cost <= self.prompt:
            return None
        output = min(LEAST_OUTPUT * self.choices, self.output)
        return min(self.cost, self.prompt + -(-(self.cost - self.prompt) * output // self.output))

    def output_for(self, cost: int) -> int:
        """Return the most output tokens of each choice with which the call costs no more than that."""
        prompt = self.prompt or 0
        return max(LEAST_OUTPUT, self.output * (cost - prompt) // (self.cost - prompt) // self.choices)

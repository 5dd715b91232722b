"""Refusals of what has no known price under a budget."""

from collections.abc import Sequence

from shared.errors import PriceUnknown
from shared.governance.limits.model import Limit
from shared.surfaces.request_types import UsageRule

# What prices the calls of an endpoint, as [prices] writes it.
_LINES: dict[UsageRule, str] = {
    "tokens": "input = 1.0, output = 4.0",
    "prompt": "input = 0.1",
    "images": "image = 0.04",
    "characters": "million_characters = 15.0",
    "audio": "second = 0.0001",
}
_TOOL_LINES = {
    "web_searches": "web_search = 0.01",
    "file_searches": "file_search = 0.0025",
    "code_sessions": "code_session = 0.03",
}


def unknown_price(budget: Limit, name: str, rule: UsageRule, missing: Sequence[str] = ()) -> PriceUnknown:
    """Return the refusal of a call whose price is not known; its message says how to set one.

    Args:
        budget: The budget that binds it.
        name: ``provider/model``.
        rule: How the endpoint's use is estimated.
        missing: The units without a price, where the model has others.
    """
    tools = [_TOOL_LINES[unit] for unit in missing if unit in _TOOL_LINES]
    lines = ", ".join(tools or [_LINES[rule]])
    return refuse_unpriced(budget, name, lines)


def refuse_unpriced(budget: Limit, name: str, lines: str) -> PriceUnknown:
    """Return the refusal that names the budget, what has no price, and the lines that would set one."""
    example = "\n".join(lines.split(", "))
    return PriceUnknown(
        f"The price of {name[:200]!r} is not known, so {budget.description} cannot pay for it. Set it in finops.toml, "
        f'in USD (0 where it is free; numbers here are examples):\n[prices."{name[:200]}"]\n{example}\n'
        'or let budgets ignore such calls with [ledger] unpriced = "allow".',
        param="model",
        should_retry=False,
    )

"""The limits that bind a call: whose, of what, per which window, how much."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from shared.governance.limits.windows import parse_window
from shared.settings.model import BudgetSettings, Limited, RateLimitSettings

Kind = Literal["requests", "tokens", "cost"]
MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    Attributes:
        kind: ``requests``, ``tokens`` or ``cost``.
        scope: Whose meter: ``key:<id>``, ``team:<name>``, ``customer:<name>``, ``provider:<name>``, ``model:<name>``.
        window: A window's name.
        amount: Calls, tokens, or micro-USD.
    """

    kind: Kind
    scope: str
    window: str
    amount: int

    @property
    def description(self) -> str:
        """As callers and operators are told: ``the budget of key:team-a for this day (UTC)``."""
        what = "budget" if self.kind == "cost" else f"limit of {self.kind}"
        return f"the {what} of {self.scope} for {parse_window(self.window).description}"


def limits_of(scope: str, said: Limited | None) -> tuple[Limit, ...]:
    """The limits that a part of the configuration sets for a scope."""
    if said is None:
        return ()
    return (*_budgets(scope, said.all_budgets), *_rates(scope, said.all_rate_limits))


def _budgets(scope: str, said: Iterable[BudgetSettings]) -> Iterable[Limit]:
    for budget in said:
        yield Limit("cost", scope, budget.window, round(budget.limit_usd * MICRO))


def _rates(scope: str, said: Iterable[RateLimitSettings]) -> Iterable[Limit]:
    for rate in said:
        if rate.requests is not None:
            yield Limit("requests", scope, rate.window, rate.requests)
        if rate.tokens is not None:
            yield Limit("tokens", scope, rate.window, rate.tokens)

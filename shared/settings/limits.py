"""Sections of budgets and rate limits: of keys, teams, customers, models, providers, and of each value by itself."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from shared.settings.section import Section, Usd

OnExhausted = Literal["reject", "park"]
"""What becomes of a job that meets a spent window: refused, or stored until the next one."""
_EACH = re.compile(r"user|dimension:[a-z0-9][a-z0-9_\-]{0,39}")
_WINDOW = re.compile(r"1[mhdwM]|rolling:[1-9][0-9]{0,2}[mhdwM]")


def _known_window(value: object) -> object:
    if not isinstance(value, str) or not _WINDOW.fullmatch(value):
        raise ValueError("must be 1m, 1h, 1d, 1w or 1M by the calendar (UTC), or rolling:<number><unit>")
    return value


WindowName = Annotated[str, BeforeValidator(_known_window)]


def _known_each(value: object) -> object:
    if not isinstance(value, str) or not _EACH.fullmatch(value):
        raise ValueError("must be user or dimension:<name>")
    return value


EachName = Annotated[str, BeforeValidator(_known_each)]


class BudgetSettings(Section):
    """Money per window."""

    limit_usd: Usd
    window: WindowName = "1d"
    on_exhausted: OnExhausted = "reject"


class RateLimitSettings(Section):
    """Calls and tokens per window."""

    requests: Annotated[int, Field(gt=0, le=10**12)] | None = None
    tokens: Annotated[int, Field(gt=0, le=10**15)] | None = None
    window: WindowName = "1m"
    on_exhausted: OnExhausted = "reject"


class Limited(Section):
    """Base of sections with budgets and rate limits: one of each in the short form, or lists for several windows."""

    budget: BudgetSettings | None = None
    budgets: Annotated[tuple[BudgetSettings, ...], Field(max_length=16)] = ()
    rate_limit: RateLimitSettings | None = None
    rate_limits: Annotated[tuple[RateLimitSettings, ...], Field(max_length=16)] = ()

    @property
    def all_budgets(self) -> tuple[BudgetSettings, ...]:
        """Both forms together."""
        return (*((self.budget,) if self.budget else ()), *self.budgets)

    @property
    def all_rate_limits(self) -> tuple[RateLimitSettings, ...]:
        """Both forms together."""
        return (*((self.rate_limit,) if self.rate_limit else ()), *self.rate_limits)


class EachSettings(Section):
    """Limits that every value of a dimension, or every end user, has for itself."""

    each: Limited

"""Limits: scope, kind, window and amount, and the table of kinds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from shared.errors import BudgetExceeded, RequestLimited, RunBudgetExceeded, TokenLimited
from shared.governance.limits.windows import parse_window
from shared.settings.limits import BudgetSettings, Limited, RateLimitSettings

MICRO = 1_000_000
NO_AMOUNT = -1
"""The amount of a run without a cap: its use is counted, and nothing refused."""
RUN_WINDOW = "run"
"""The window of a run's budget: the run's whole life."""
Meter = Literal["requests", "tokens", "cost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitKind:
    """A kind of limit; adding one is adding a row to ``LIMIT_KINDS``.

    Attributes:
        name: Part of the meters' names in the store.
        public: As the administration API calls it.
        label: In messages: ``the <label> of key:team-a``.
        meter: What it counts. ``requests`` are counted exactly when a call is admitted; ``tokens`` and ``cost``
            are reserved as estimates and settled to what was used.
        section: The part of the configuration that sets it: a budget or a rate limit.
        field: The section's field with the amount.
        scale: Stored units per configured unit: money is stored in micro-USD.
        unit: Suffix of amounts in the administration API, ``_usd``; empty: none.
        header: Name in OpenAI's rate limit headers; empty: it has none.
        error: What a caller gets when it is reached.
    """

    name: str
    public: str
    label: str
    meter: Meter
    section: Literal["budget", "rate_limit"]
    field: str
    error: type[BudgetExceeded | RequestLimited | TokenLimited]
    scale: int = 1
    unit: str = ""
    header: str = ""


LIMIT_KINDS: dict[str, LimitKind] = {
    kind.name: kind
    for kind in (
        LimitKind(name="cost", public="budget", label="budget", meter="cost", section="budget", field="limit_usd",
                  scale=MICRO, unit="_usd", error=BudgetExceeded),
        LimitKind(name="requests", public="requests", label="limit of requests", meter="requests",
                  section="rate_limit", field="requests", header="requests", error=RequestLimited),
        LimitKind(name="tokens", public="tokens", label="limit of tokens", meter="tokens",
                  section="rate_limit", field="tokens", header="tokens", error=TokenLimited),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    Attributes:
        kind: Name of a ``LimitKind``.
        scope: Whose meter: ``key:<id>``, ``team:<name>``, ``customer:<name>``, ``provider:<name>``, ``model:<name>``,
            ``run:<owner>:<id>``, ``dimension:<name>:<value>``, ``user:<value>``.
        window: A window's name, or ``RUN_WINDOW``.
        amount: In the kind's stored unit: calls, tokens, or micro-USD.
        parks: Whether a job that meets it spent waits for its next window.
        counts: What its kind counts.
        estimated: Whether calls reserve an estimate under it, rather than being counted when they are admitted.
        is_budget: Whether it limits money.
        words: The limit as the scripts read it: kind, what it counts, scope, window, amount.
    """

    kind: str
    scope: str
    window: str
    amount: int
    parks: bool = False
    # Worked out once: calls read them several times for each of their limits.
    counts: Meter = field(init=False, repr=False, compare=False)
    estimated: bool = field(init=False, repr=False, compare=False)
    is_budget: bool = field(init=False, repr=False, compare=False)
    words: tuple[str, str, str, str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out what follows from the kind."""
        counts = LIMIT_KINDS[self.kind].meter
        set_field = object.__setattr__  # frozen
        set_field(self, "counts", counts)
        set_field(self, "estimated", counts != "requests")
        set_field(self, "is_budget", counts == "cost")
        set_field(self, "words", (self.kind, counts, self.scope, self.window, self.amount))

    @property
    def id(self) -> str:
        """The limit in the administration API: ``budget:key:team-a:1d``."""
        return f"{LIMIT_KINDS[self.kind].public}:{self.scope}:{self.window}"

    @property
    def is_run(self) -> bool:
        """Whether it is the budget of a run."""
        return self.window == RUN_WINDOW

    @property
    def error(self) -> type[BudgetExceeded | RequestLimited | TokenLimited]:
        """What a caller gets when it is reached."""
        return RunBudgetExceeded if self.is_run else LIMIT_KINDS[self.kind].error

    @property
    def description(self) -> str:
        """The limit in messages: ``the budget of key:team-a for this day (UTC)``, ``the budget of run agent-7``."""
        if self.is_run:
            return f"the budget of run {self.scope.partition(':')[2].partition(':')[2]}"
        return f"the {LIMIT_KINDS[self.kind].label} of {self.scope} for {parse_window(self.window).description}"


def limits_of(scope: str, settings: Limited | None) -> tuple[Limit, ...]:
    """The limits that a part of the configuration sets for a scope."""
    if settings is None:
        return ()
    sections: Mapping[str, Sequence[BudgetSettings | RateLimitSettings]] = {
        "budget": settings.all_budgets,
        "rate_limit": settings.all_rate_limits,
    }
    return tuple(limit for name, tables in sections.items() for each in tables for limit in _limits(scope, name, each))


def _limits(scope: str, section: str, settings: BudgetSettings | RateLimitSettings) -> Iterable[Limit]:
    for kind in LIMIT_KINDS.values():
        amount = getattr(settings, kind.field, None) if kind.section == section else None
        if amount is not None:
            yield Limit(kind.name, scope, settings.window, round(amount * kind.scale), settings.on_exhausted == "park")

"""The shape of ``[alerts.<name>]``: what a rule watches, when it fires, and who is notified."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from shared.settings.section import Section

AlertMetric = Literal["queue_age", "on_time_share", "error_rate", "spend", "circuit_open"]
AlertName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_\-]{0,63}$")]

MAX_RULES: Final = 100
ON_TIME_BOUNDS_S: Final = (0.002, 0.005, 0.01, 0.05, 0.25, 1, 5, 15, 60, 300, 1800, 7200)
"""Waits are counted in the buckets of ``finops_job_wait_seconds``: a share is known at their bounds only."""

# Which fields a metric uses beside `above` or `below`, `for_s` and `webhooks`.
_FIELDS: Mapping[str, frozenset[str]] = {
    "queue_age": frozenset({"priority"}),
    "on_time_share": frozenset({"priority", "on_time_s", "window_s", "min_count"}),
    "error_rate": frozenset({"provider", "window_s", "min_count"}),
    "spend": frozenset({"scope", "window"}),
    "circuit_open": frozenset({"provider"}),
}
_OPTIONAL: Final = ("priority", "on_time_s", "window_s", "min_count", "provider", "scope", "window")


class AlertSettings(Section):
    """One alert rule.

    Attributes:
        metric: The figure that is watched.
        above: The rule holds while the figure is greater.
        below: The rule holds while the figure is smaller.
        for_s: Seconds that it must hold before the alert fires.
        priority: Only jobs of this priority; None: all.
        on_time_s: A job is on time if it waits no longer, in seconds.
        window_s: Length of the period that shares and rates are taken over, in seconds.
        min_count: Jobs or calls that a share or rate needs; with fewer the rule does not hold.
        provider: Only this provider; None: all.
        scope: Whose spend: ``key:<id>``, ``team:<name>``, ``customer:<name>``, ``provider:<name>`` or ``model:<name>``.
        window: The calendar hour or day (UTC) that spend is summed over.
        webhooks: Names of the webhooks that are notified; empty: those subscribed to the event.
    """

    metric: AlertMetric
    above: Annotated[float, Field(ge=0, le=1e12)] | None = None
    below: Annotated[float, Field(ge=0, le=1e12)] | None = None
    for_s: Annotated[float, Field(ge=0, le=86_400)] = 0
    priority: Literal["high", "normal", "low"] | None = None
    on_time_s: float = 5
    window_s: Annotated[int, Field(ge=60, le=3600)] = 300
    min_count: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    provider: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    scope: (
        Annotated[str, Field(max_length=200, pattern=r"^(key|team|customer|provider|model):[^\x00-\x1f\x7f]+$")] | None
    ) = None
    window: Literal["1h", "1d"] = "1d"
    webhooks: Annotated[tuple[str, ...], Field(max_length=20)] = ()

    @model_validator(mode="after")
    def _complete(self) -> "AlertSettings":
        if self.metric == "circuit_open":
            if self.below is not None:
                raise ValueError("below is not used by circuit_open; the alert fires while any circuit is open")
        elif (self.above is None) == (self.below is None):
            raise ValueError("set either above or below")
        for name in _OPTIONAL:
            if name in self.model_fields_set and name not in _FIELDS[self.metric]:
                raise ValueError(f"{name} is not used by {self.metric}")
        if self.on_time_s not in ON_TIME_BOUNDS_S:
            raise ValueError(f"on_time_s must be one of {', '.join(f'{bound:g}' for bound in ON_TIME_BOUNDS_S)}")
        if self.metric in {"on_time_share", "error_rate"} and self.threshold > 1:
            raise ValueError(f"{self.metric} is a share: its threshold must be between 0 and 1")
        return self

    @property
    def threshold(self) -> float:
        """The bound that the figure is compared with; of circuits 0 unless set."""
        return self.below if self.below is not None else self.above or 0.0

    def holds(self, value: float | None) -> bool:
        """Whether a figure is beyond the bound; an unknown one is not."""
        if value is None:
            return False
        return value < self.below if self.below is not None else value > self.threshold

    @property
    def condition(self) -> str:
        """The rule as a person reads it: ``queue_age above 60 for 120 s (high)``."""
        sign = "below" if self.below is not None else "above"
        lasting = f" for {self.for_s:g} s" if self.for_s else ""
        only = [str(value) for value in (self.priority, self.provider, self.scope) if value]
        if self.metric == "on_time_share":
            only.append(f"within {self.on_time_s:g} s")
        if self.metric == "spend":
            only.append(f"USD per {'hour' if self.window == '1h' else 'day'}")
        suffix = f" ({', '.join(only)})" if only else ""
        return f"{self.metric} {sign} {self.threshold:g}{lasting}{suffix}"

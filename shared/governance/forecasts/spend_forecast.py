"""Spend forecasts of keys, teams and customers: rate, end of budgets, deviation from the baseline."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.clock import rfc3339
from shared.governance.forecasts.rates import (
    BASELINE_DAYS,
    RATE_WINDOW,
    Baseline,
    Forecast,
    baseline,
    forecast,
    hourly_rate,
)
from shared.governance.ledger.reports import Reports, UsageQuery
from shared.governance.limits.guard import LimitGuard, LimitStatus
from shared.governance.limits.model import MICRO, Limit
from shared.governance.limits.windows import UNIT_MS, parse_window

Subject = Literal["key", "team", "customer"]
_STATUSES_AT_ONCE = 300


@dataclass(frozen=True, slots=True)
class Spender:
    """A key, team or customer; of its ``limits`` only budgets count."""

    id: str
    name: str
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class BudgetForecast:
    """Forecast of one budget until its window ends."""

    limit_status: LimitStatus
    forecast: Forecast
    rolling: bool

    def to_dict(self, now: datetime) -> dict[str, Any]:
        """The public form; money in USD."""
        limit, projection = self.limit_status.limit, self.forecast
        in_s = projection.exhausted_in_s
        ends = now + timedelta(milliseconds=self.limit_status.reset_ms)
        state = "spent" if in_s == 0 else "at_risk" if in_s is not None else "ok"
        return {
            "window": limit.window,
            "limit_usd": limit.amount / MICRO,
            "used_usd": self.limit_status.used / MICRO,
            "reserved_usd": self.limit_status.held / MICRO,
            "window_ends_at": None if self.rolling else rfc3339(ends),
            "projected_usd": projection.projected_micro_usd / MICRO,
            "exhausted_at": None if in_s is None else rfc3339(now + timedelta(seconds=in_s)),
            "state": state,
        }


@dataclass(frozen=True, slots=True)
class SpendForecast:
    """Forecast of one spender."""

    spender: Spender
    rate_micro_usd_per_hour: float
    baseline: Baseline
    month_micro_usd: int
    projected_month_micro_usd: int
    budgets: tuple[BudgetForecast, ...]

    def to_dict(self, now: datetime) -> dict[str, Any]:
        """The public form; money in USD."""
        return {
            "id": self.spender.id,
            "name": self.spender.name,
            "rate_usd_per_hour": round(self.rate_micro_usd_per_hour / MICRO, 6),
            "today_usd": self.baseline.today_micro_usd / MICRO,
            "usual_day_usd": round(self.baseline.usual_micro_usd / MICRO, 6),
            "anomalous": self.baseline.anomalous,
            "month_usd": self.month_micro_usd / MICRO,
            "projected_month_usd": self.projected_month_micro_usd / MICRO,
            "budgets": [budget.to_dict(now) for budget in self.budgets],
        }


async def spend_forecasts(
    reports: Reports, guard: LimitGuard, spenders: Sequence[Spender], by: Subject, now: datetime
) -> list[SpendForecast]:
    """Return the forecast of each spender, in their order.

    Args:
        reports: Read the spend.
        guard: Reads the budgets.
        spenders: An empty id stands for calls without a key, team or customer.
        by: What the spenders are.
        now: UTC.

    Raises:
        StoreUnavailable: No answer.
    """
    hours = await _spent(reports, by, now - RATE_WINDOW, now, "hour")
    first_day = min(now - timedelta(days=BASELINE_DAYS), now.replace(day=1))
    days = await _spent(reports, by, first_day, now, "day")
    limit_statuses = await _limit_statuses(guard, [limit for spender in spenders for limit in _budgets(spender)])
    return [
        _spend_forecast(spender, hours.get(spender.id, {}), days.get(spender.id, {}), limit_statuses, now)
        for spender in spenders
    ]


async def names_in_use(reports: Reports, by: Subject, now: datetime) -> list[str]:
    """Teams or customers with recent spend; the empty name stands for calls without one.

    Raises:
        StoreUnavailable: No answer.
    """
    return sorted(await _spent(reports, by, now - timedelta(days=BASELINE_DAYS), now, "day"))


async def _spent(
    reports: Reports, by: Subject, start: datetime, end: datetime, per: Literal["hour", "day"]
) -> dict[str, dict[str, int]]:
    """Micro-USD by spender and period."""
    query = UsageQuery(start=start, end=end + timedelta(seconds=1), group_by=(by,), per=per)
    found: dict[str, dict[str, int]] = {}
    for row in await reports.usage(query):
        found.setdefault(row.group[by], {})[row.period] = row.sums["cost"]
    return found


async def _limit_statuses(guard: LimitGuard, limits: Sequence[Limit]) -> dict[Limit, LimitStatus]:
    found: dict[Limit, LimitStatus] = {}
    for start in range(0, len(limits), _STATUSES_AT_ONCE):
        for limit_status in await guard.peek(limits[start : start + _STATUSES_AT_ONCE]):
            found[limit_status.limit] = limit_status
    return found


def _budgets(spender: Spender) -> list[Limit]:
    return [limit for limit in spender.limits if limit.is_budget]


def _spend_forecast(
    spender: Spender,
    hours: Mapping[str, int],
    days: Mapping[str, int],
    limit_statuses: Mapping[Limit, LimitStatus],
    now: datetime,
) -> SpendForecast:
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    rate = hourly_rate(hours, now)
    month = sum(micro for day, micro in days.items() if day[:7] == f"{now:%Y-%m}")
    next_month = (this_hour.replace(day=1, hour=0) + timedelta(days=32)).replace(day=1)
    left_hours = (next_month - now).total_seconds() / 3600
    return SpendForecast(
        spender=spender,
        rate_micro_usd_per_hour=rate,
        baseline=baseline(_days_before(days, now), days.get(f"{now:%Y-%m-%d}", 0)),
        month_micro_usd=month,
        projected_month_micro_usd=month + math.ceil(rate * left_hours),
        budgets=tuple(_budget(limit_statuses[limit], rate) for limit in _budgets(spender)),
    )


def _days_before(days: Mapping[str, int], now: datetime) -> list[int]:
    """Spend per day from the first day on; earlier days would lower the baseline."""
    names = [f"{now - timedelta(days=back):%Y-%m-%d}" for back in range(BASELINE_DAYS, 0, -1)]
    known = [number for number, name in enumerate(names) if name in days]
    return [days.get(name, 0) for name in names[known[0] :]] if known else []


def _budget(limit_status: LimitStatus, rate: float) -> BudgetForecast:
    window = parse_window(limit_status.limit.window)
    taken = limit_status.used + limit_status.held
    if not window.rolling:
        projection = forecast(taken, limit_status.limit.amount, left_s=limit_status.reset_ms / 1000, rate=rate)
        return BudgetForecast(limit_status, projection, rolling=False)
    # What a rolling window counts leaves it again: in the long run it holds a window's worth of the rate.
    hours = UNIT_MS[window.unit] * window.rolling / 3_600_000
    steady = math.ceil(rate * hours)
    left_s = hours * 3600 if steady >= limit_status.limit.amount else 0.0
    projection = forecast(taken, limit_status.limit.amount, left_s=left_s, rate=rate)
    return BudgetForecast(limit_status, Forecast(rate, steady, projection.exhausted_in_s), rolling=True)

"""Where keys, teams and customers stand and are heading: their rates, their budgets' ends, days unlike their habit."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from shared.governance.forecasts.rates import HABIT_DAYS, Forecast, Habit, forecast, habit, spend_rate
from shared.governance.ledger.reports import Reports, UsageQuery
from shared.governance.limits.guard import Door, Standing
from shared.governance.limits.model import MICRO, Limit
from shared.governance.limits.windows import UNIT_MS, parse_window

Subject = Literal["key", "team", "customer"]
RATE_HOURS = 24
_PEEKED_AT_ONCE = 300


@dataclass(frozen=True, slots=True)
class Spender:
    """Whose outlook is asked for; ``limits`` are its own, of which the budgets count."""

    id: str
    name: str
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class BudgetOutlook:
    """What becomes of one budget until its window ends."""

    standing: Standing
    forecast: Forecast
    rolling: bool

    def shown(self, now: datetime) -> dict[str, Any]:
        """As the API and the command line show it; money in USD."""
        limit, told = self.standing.limit, self.forecast
        in_s = told.exhausted_in_s
        state = "spent" if in_s == 0 else "at_risk" if in_s is not None else "ok"
        return {
            "window": limit.window,
            "limit_usd": limit.amount / MICRO,
            "used_usd": self.standing.used / MICRO,
            "reserved_usd": self.standing.held / MICRO,
            "window_ends_at": None if self.rolling else _said(now + timedelta(milliseconds=self.standing.reset_ms)),
            "projected_usd": told.projected_micro_usd / MICRO,
            "exhausted_at": None if in_s is None else _said(now + timedelta(seconds=in_s)),
            "state": state,
        }


@dataclass(frozen=True, slots=True)
class Outlook:
    """One spender's."""

    spender: Spender
    rate_micro_usd_per_hour: float
    habit: Habit
    month_micro_usd: int
    projected_month_micro_usd: int
    budgets: tuple[BudgetOutlook, ...]

    def shown(self, now: datetime) -> dict[str, Any]:
        """As the API and the command line show it; money in USD."""
        return {
            "id": self.spender.id,
            "name": self.spender.name,
            "rate_usd_per_hour": round(self.rate_micro_usd_per_hour / MICRO, 6),
            "today_usd": self.habit.today_micro_usd / MICRO,
            "usual_day_usd": round(self.habit.usual_micro_usd / MICRO, 6),
            "anomalous": self.habit.anomalous,
            "month_usd": self.month_micro_usd / MICRO,
            "projected_month_usd": self.projected_month_micro_usd / MICRO,
            "budgets": [budget.shown(now) for budget in self.budgets],
        }


async def outlooks(
    reports: Reports, door: Door, spenders: Sequence[Spender], by: Subject, now: datetime
) -> list[Outlook]:
    """The outlook of each, in their order.

    Args:
        reports: What was spent.
        door: How budgets stand.
        spenders: Whose; those whose id is empty stand for calls without a key, team or customer.
        by: What they are.
        now: UTC.

    Raises:
        StoreUnavailable: No answer.
    """
    hours = await _spent(reports, by, now - timedelta(hours=RATE_HOURS), now, "hour")
    first_day = min(now - timedelta(days=HABIT_DAYS), now.replace(day=1))
    days = await _spent(reports, by, first_day, now, "day")
    standings = await _standings(door, [limit for spender in spenders for limit in _budgets(spender)])
    return [
        _outlook(spender, hours.get(spender.id, {}), days.get(spender.id, {}), standings, now) for spender in spenders
    ]


async def names_in_use(reports: Reports, by: Subject, now: datetime) -> list[str]:
    """Teams or customers that spent something of late; an empty name: calls that have none.

    Raises:
        StoreUnavailable: No answer.
    """
    return sorted(await _spent(reports, by, now - timedelta(days=HABIT_DAYS), now, "day"))


async def _spent(
    reports: Reports, by: Subject, start: datetime, end: datetime, per: Literal["hour", "day"]
) -> dict[str, dict[str, int]]:
    """Micro-USD by spender and period."""
    query = UsageQuery(start=start, end=end + timedelta(seconds=1), group_by=(by,), per=per)
    found: dict[str, dict[str, int]] = {}
    for row in await reports.usage(query):
        found.setdefault(row.group[by], {})[row.period] = row.sums["cost"]
    return found


async def _standings(door: Door, limits: Sequence[Limit]) -> dict[Limit, Standing]:
    found: dict[Limit, Standing] = {}
    for start in range(0, len(limits), _PEEKED_AT_ONCE):
        for standing in await door.peek(limits[start : start + _PEEKED_AT_ONCE]):
            found[standing.limit] = standing
    return found


def _budgets(spender: Spender) -> list[Limit]:
    return [limit for limit in spender.limits if limit.kind == "cost"]


def _outlook(
    spender: Spender,
    hours: Mapping[str, int],
    days: Mapping[str, int],
    standings: Mapping[Limit, Standing],
    now: datetime,
) -> Outlook:
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    back = [this_hour - timedelta(hours=number) for number in range(RATE_HOURS, -1, -1)]
    spent = [hours.get(hour.strftime("%Y-%m-%dT%H:00:00Z"), 0) for hour in back]
    rate = spend_rate(spent, (now - this_hour).total_seconds() / 3600)
    month = sum(micro for day, micro in days.items() if day[:7] == f"{now:%Y-%m}")
    next_month = (this_hour.replace(day=1, hour=0) + timedelta(days=32)).replace(day=1)
    left_hours = (next_month - now).total_seconds() / 3600
    return Outlook(
        spender=spender,
        rate_micro_usd_per_hour=rate,
        habit=habit(_days_before(days, now), days.get(f"{now:%Y-%m-%d}", 0)),
        month_micro_usd=month,
        projected_month_micro_usd=month + math.ceil(rate * left_hours),
        budgets=tuple(_budget(standings[limit], rate) for limit in _budgets(spender)),
    )


def _days_before(days: Mapping[str, int], now: datetime) -> list[int]:
    """What was spent a day, from the first day on: before that there was no habit to spend nothing."""
    names = [f"{now - timedelta(days=back):%Y-%m-%d}" for back in range(HABIT_DAYS, 0, -1)]
    known = [number for number, name in enumerate(names) if name in days]
    return [days.get(name, 0) for name in names[known[0] :]] if known else []


def _budget(standing: Standing, rate: float) -> BudgetOutlook:
    window = parse_window(standing.limit.window)
    taken = standing.used + standing.held
    if not window.rolling:
        told = forecast(taken, standing.limit.amount, left_s=standing.reset_ms / 1000, rate=rate)
        return BudgetOutlook(standing, told, rolling=False)
    # What a rolling window counts leaves it again: in the long run it holds a window's worth of the rate.
    hours = UNIT_MS[window.unit] * window.rolling / 3_600_000
    steady = math.ceil(rate * hours)
    left_s = hours * 3600 if steady >= standing.limit.amount else 0.0
    told = forecast(taken, standing.limit.amount, left_s=left_s, rate=rate)
    return BudgetOutlook(standing, Forecast(rate, steady, told.exhausted_in_s), rolling=True)


def _said(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

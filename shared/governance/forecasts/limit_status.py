"""How the limits of one key stand: used, reserved, left, and where its budgets are heading."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.clock import rfc3339
from shared.governance.forecasts.rates import forecast, spend_rate
from shared.governance.ledger.reports import Reports, UsageQuery
from shared.governance.limits.guard import LimitGuard, LimitStatus
from shared.governance.limits.model import MICRO, Limit
from shared.governance.limits.windows import parse_window

RATE_HOURS = 24


async def limit_status_of(
    door: LimitGuard, reports: Reports, limits: Sequence[Limit], now: datetime
) -> list[dict[str, Any]]:
    """Each limit as the administration API and the command line show it; money in USD.

    A budget of the calendar has a forecast: where it ends up at the rate of the last day, and when it is spent.

    Args:
        door: Knows the meters.
        reports: Know what was spent by hour.
        limits: A caller's own, its team's and its customer's.
        now: UTC.

    Raises:
        StoreUnavailable: No answer.
    """
    if not limits:
        return []
    rates: dict[str, float] = {}
    for limit in limits:
        if _foreseen(limit) and limit.scope not in rates:
            rates[limit.scope] = await _rate(reports, limit.scope, now)
    return [_to_dict(limit_status, rates, now) for limit_status in await door.peek(limits)]


def _foreseen(limit: Limit) -> bool:
    """What a rolling window counts leaves it again: it has no end that a sum could be foretold for."""
    return limit.kind == "cost" and not parse_window(limit.window).rolling


async def _rate(reports: Reports, scope: str, now: datetime) -> float:
    """Micro-USD per hour of late, of a key, a team or a customer."""
    kind, _, name = scope.partition(":")
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    start = this_hour - timedelta(hours=RATE_HOURS)
    rows = await reports.usage(UsageQuery(start=start, end=now + timedelta(seconds=1), per="hour", only={kind: name}))
    spent = {row.period: row.sums["cost"] for row in rows}
    hours = [this_hour - timedelta(hours=back) for back in range(RATE_HOURS, -1, -1)]
    return spend_rate([spent.get(f"{hour:%Y-%m-%dT%H}:00:00Z", 0) for hour in hours], (now - this_hour).seconds / 3600)


def _to_dict(limit_status: LimitStatus, rates: Mapping[str, float], now: datetime) -> dict[str, Any]:
    limit = limit_status.limit
    kind, _, name = limit.scope.partition(":")
    money = limit.kind == "cost"
    unit = MICRO if money else 1
    figures = {
        "limit": limit.amount,
        "used": limit_status.used,
        "reserved": limit_status.held,
        "left": max(0, limit.amount - limit_status.used - limit_status.held),
    }
    said: dict[str, Any] = {
        "kind": "budget" if money else limit.kind,
        "of": kind,
        "of_name": name,
        "window": limit.window,
        **{f"{key}_usd" if money else key: value / unit if money else value for key, value in figures.items()},
        "resets_at": rfc3339(now + timedelta(milliseconds=limit_status.reset_ms)),
    }
    if _foreseen(limit):
        said["forecast"] = _foretold(limit_status, rates[limit.scope], now)
    return said


def _foretold(limit_status: LimitStatus, rate: float, now: datetime) -> dict[str, Any]:
    taken = limit_status.used + limit_status.held
    told = forecast(taken, limit_status.limit.amount, left_s=limit_status.reset_ms / 1000, rate=rate)
    in_s = told.exhausted_in_s
    return {
        "rate_usd_per_hour": round(told.rate_micro_usd_per_hour / MICRO, 6),
        "projected_usd": told.projected_micro_usd / MICRO,
        "exhausted_at": None if in_s is None else rfc3339(now + timedelta(seconds=in_s)),
    }

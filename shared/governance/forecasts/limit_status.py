"""Status of a key's limits: used, reserved, left, and the forecast of its budgets."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.clock import rfc3339
from shared.governance.forecasts.rates import RATE_WINDOW, forecast, hourly_rate
from shared.governance.ledger.reports import Reports, UsageQuery
from shared.governance.limits.guard import LimitGuard, LimitStatus
from shared.governance.limits.model import LIMIT_KINDS, MICRO, Limit
from shared.governance.limits.raises import Raise, Raises
from shared.governance.limits.windows import parse_window


async def limit_status_of(
    guard: LimitGuard, reports: Reports, raises: Raises, limits: Sequence[Limit], now: datetime
) -> list[dict[str, Any]]:
    """Return the public form of each limit; money in USD.

    A budget with a calendar window has a forecast: its total at the rate of the last day, and when it is exhausted.

    Args:
        guard: Reads the meters.
        reports: Read the spend per hour.
        raises: Read what is raised for a time.
        limits: A caller's own, its team's and its customer's.
        now: UTC.

    Raises:
        StoreUnavailable: No answer.
    """
    if not limits:
        return []
    rates: dict[str, float] = {}
    for limit in limits:
        if _has_forecast(limit) and limit.scope not in rates:
            rates[limit.scope] = await _rate(reports, limit.scope, now)
    found = zip(await guard.peek(limits), await raises.of(limits, now.timestamp() * 1000), strict=True)
    return [{**_to_dict(limit_status, rates, now), **_raised(more)} for limit_status, more in found]


def _raised(more: Raise | None) -> dict[str, Any]:
    return {} if more is None else {"raise": more.to_dict()}


def _has_forecast(limit: Limit) -> bool:
    """Whether it is a budget with a calendar window; a rolling one has no end to forecast a sum for."""
    return limit.is_budget and not parse_window(limit.window).rolling


async def _rate(reports: Reports, scope: str, now: datetime) -> float:
    """Recent micro-USD per hour of a key, a team or a customer."""
    kind, _, name = scope.partition(":")
    query = UsageQuery(start=now - RATE_WINDOW, end=now + timedelta(seconds=1), per="hour", only={kind: name})
    return hourly_rate({row.period: row.sums["cost"] for row in await reports.usage(query)}, now)


def _to_dict(limit_status: LimitStatus, rates: Mapping[str, float], now: datetime) -> dict[str, Any]:
    limit = limit_status.limit
    kind, _, owner = limit.scope.partition(":")
    row = LIMIT_KINDS[limit.kind]
    amounts = {
        "limit": limit.amount,
        "used": limit_status.used,
        "reserved": limit_status.held,
        "left": max(0, limit.amount - limit_status.used - limit_status.held),
    }
    document: dict[str, Any] = {
        "id": limit.id,
        "kind": row.public,
        "of": kind,
        "of_name": owner,
        "window": limit.window,
        **{f"{name}{row.unit}": value / row.scale if row.unit else value for name, value in amounts.items()},
        "resets_at": rfc3339(now + timedelta(milliseconds=limit_status.reset_ms)),
    }
    if _has_forecast(limit):
        document["forecast"] = _forecast_of(limit_status, rates[limit.scope], now)
    return document


def _forecast_of(limit_status: LimitStatus, rate: float, now: datetime) -> dict[str, Any]:
    taken = limit_status.used + limit_status.held
    projection = forecast(taken, limit_status.limit.amount, left_s=limit_status.reset_ms / 1000, rate=rate)
    in_s = projection.exhausted_in_s
    return {
        "rate_usd_per_hour": round(projection.rate_micro_usd_per_hour / MICRO, 6),
        "projected_usd": projection.projected_micro_usd / MICRO,
        "exhausted_at": None if in_s is None else rfc3339(now + timedelta(seconds=in_s)),
    }

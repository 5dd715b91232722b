"""Status of a key's limits: used, reserved, left, and the forecast of its budgets."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from shared.clock import rfc3339
from shared.governance.forecasts.rates import RATE_WINDOW, forecast, hourly_rate
from shared.governance.ledger.reports import Reports, UsageQuery
from shared.governance.limits.guard import LimitGuard, LimitStatus
from shared.governance.limits.model import LIMIT_KINDS, MICRO, Limit
from shared.governance.limits.raises import Raise, Raises
from shared.governance.limits.windows import parse_window

RATE_HOURS: Final = RATE_WINDOW // timedelta(hours=1)


async def limit_status_of(
    guard: LimitGuard,
    reports: Reports,
    raises: Raises,
    limits: Sequence[Limit],
    now: datetime,
    *,
    rates: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Return the public form of each limit; money in USD.

    A budget with a calendar window has a forecast: its total at the rate of the last day, and when it is exhausted.

    Args:
        guard: Reads the meters.
        reports: Read the spend per hour.
        raises: Read what is raised for a time.
        limits: A caller's own, its team's and its customer's.
        now: UTC.
        rates: What ``read_rates`` returned for these limits; None: they are read now.

    Raises:
        StoreUnavailable: No answer.
    """
    if not limits:
        return []
    if rates is None:
        rates = await read_rates(reports, limits, now)
    found = zip(await guard.peek(limits), await raises.of(limits, now.timestamp() * 1000), strict=True)
    return [{**_to_dict(limit_status, rates, now), **_raised(more)} for limit_status, more in found]


def _raised(more: Raise | None) -> dict[str, Any]:
    return {} if more is None else {"raise": more.to_dict()}


def _has_forecast(limit: Limit) -> bool:
    """Whether it is a budget with a calendar window; a rolling one has no end to forecast a sum for."""
    return limit.is_budget and not parse_window(limit.window).rolling


async def read_rates(reports: Reports, limits: Sequence[Limit], now: datetime) -> dict[str, float]:
    """Return the recent micro-USD per hour of each key, team and customer that a forecast needs, by scope.

    Args:
        reports: Read the spend per hour.
        limits: Those with a forecast are looked at.
        now: UTC.

    Raises:
        StoreUnavailable: No answer.
    """
    scopes = {limit.scope for limit in limits if _has_forecast(limit)}
    kinds = tuple(sorted({scope.partition(":")[0] for scope in scopes}))
    costs: dict[str, dict[str, int]] = {scope: {} for scope in scopes}
    # Hour by hour, as all keys of a day may be more groups than one answer holds.
    for hour in range(RATE_HOURS + 1) if scopes else ():
        start = now - RATE_WINDOW + timedelta(hours=hour)
        query = UsageQuery(start=start, end=start + timedelta(microseconds=1), per="hour", group_by=kinds)
        for row in await reports.usage(query):
            for kind in kinds:
                spent = costs.get(f"{kind}:{row.group[kind]}")
                if spent is not None:
                    spent[row.period] = spent.get(row.period, 0) + row.sums["cost"]
    return {scope: hourly_rate(spent, now) for scope, spent in costs.items()}


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

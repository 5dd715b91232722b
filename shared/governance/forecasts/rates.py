"""Spend rates, budget forecasts and baselines; pure functions."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

RATE_WINDOW = timedelta(hours=24)
BASELINE_DAYS = 28
ENOUGH_DAYS = 5
FAR_ABOVE = 4.0
# A key that spent next to nothing so far may just begin to be used: below this amount there is no alert.
NOTEWORTHY_MICRO_USD = 1_000_000


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecast of a budget.

    Attributes:
        rate_micro_usd_per_hour: Recent rate.
        projected_micro_usd: Spend at the end of the window at that rate.
        exhausted_in_s: Seconds until the budget is exhausted; None: not within its window.
    """

    rate_micro_usd_per_hour: float
    projected_micro_usd: int
    exhausted_in_s: float | None


def spend_rate(hours: Sequence[int], part_of_last: float = 1.0) -> float:
    """Recent micro-USD per hour: recent hours count more, halving every six hours back.

    Args:
        hours: Spend per hour, oldest first, the last one in progress.
        part_of_last: How much of the last hour is over, above 0 up to 1.
    """
    if not hours:
        return 0.0
    total = weight = 0.0
    for back, spent in enumerate(reversed(hours)):
        share = 0.5 ** (back / 6)
        length = max(part_of_last, 1 / 60) if back == 0 else 1.0
        total += share * spent
        weight += share * length
    return total / weight


def hourly_rate(spent_by_hour: Mapping[str, int], now: datetime) -> float:
    """Recent micro-USD per hour, from the roll-ups of the last ``RATE_WINDOW`` and of the current one.

    Args:
        spent_by_hour: Micro-USD by the start of an hour, ``2026-11-22T21:00:00Z``; an hour that is missing had none.
        now: UTC.
    """
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    hours = [this_hour - timedelta(hours=back) for back in range(RATE_WINDOW // timedelta(hours=1), -1, -1)]
    spent = [spent_by_hour.get(f"{hour:%Y-%m-%dT%H}:00:00Z", 0) for hour in hours]
    return spend_rate(spent, (now - this_hour) / timedelta(hours=1))


def forecast(spent: int, limit: int, *, left_s: float, rate: float) -> Forecast:
    """Forecast a budget until its window ends.

    Args:
        spent: Micro-USD used and reserved in the window.
        limit: Micro-USD.
        left_s: Until the window ends.
        rate: Micro-USD per hour.
    """
    projected = spent + math.ceil(rate * left_s / 3600)
    if spent >= limit:
        return Forecast(rate, projected, 0.0)
    if rate <= 0:
        return Forecast(rate, projected, None)
    in_s = (limit - spent) / rate * 3600
    return Forecast(rate, projected, in_s if in_s <= left_s else None)


@dataclass(frozen=True, slots=True)
class Baseline:
    """A key's usual spend per day, and whether today is far above it."""

    usual_micro_usd: float
    spread_micro_usd: float
    today_micro_usd: int
    anomalous: bool


def baseline(days: Sequence[int], today: int) -> Baseline:
    """Compare today's spend with the key's own past days.

    Median and median deviation: one wild day in the past does not make the next one usual.

    Args:
        days: Spend of the days before, micro-USD; at most the last 28 count.
        today: Spend so far.
    """
    recent = list(days)[-BASELINE_DAYS:]
    if len(recent) < ENOUGH_DAYS:
        return Baseline(statistics.fmean(recent) if recent else 0.0, 0.0, today, anomalous=False)
    usual = statistics.median(recent)
    spread = statistics.median(abs(day - usual) for day in recent) * 1.4826  # of a normal distribution: sigma
    # Spend that hardly varies would make every cent an event: a tenth is always within the baseline.
    far = usual + FAR_ABOVE * max(spread, usual * 0.1)
    return Baseline(usual, spread, today, anomalous=today > max(far, NOTEWORTHY_MICRO_USD))

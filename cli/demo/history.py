"""Thirty-five days of use, hour by hour: busy on weekdays, quiet at night, growing slowly, with one bad hour."""

import random
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from shared.governance.ledger.past import PastUse

DAYS = 35
MODELS = (
    ("openai", "gpt-4o", 3.2),
    ("anthropic", "claude-sonnet-4-5", 4.1),
    ("vertex", "gemini-2.5-flash", 0.9),
    ("openai", "gpt-4o-mini", 0.3),
)
APPS = ("web", "ingest", "mail")
BAD_HOUR = 9
"""So many hours ago, a provider failed."""


def past_uses(keys: Mapping[str, tuple[str, str]], now: datetime) -> Iterator[PastUse]:
    """The use of every hour before the current one, the same for the same hour of a day.

    Args:
        keys: Ids and teams of the keys by name.
        now: UTC.
    """
    current = now.replace(minute=0, second=0, microsecond=0)
    for ago in range(1, DAYS * 24):
        hour = current - timedelta(hours=ago)
        draw = random.Random(ago)  # noqa: S311 - sample data
        for number, (name, (key, team)) in enumerate(keys.items()):
            for provider, model, usd in MODELS[number % 2 :]:
                scale = _share(hour) * (1 - ago / (DAYS * 24) / 2) * draw.uniform(0.6, 1.4)
                faulty = 0.4 if ago == BAD_HOUR and provider == "anthropic" else draw.uniform(0, 0.03)
                yield PastUse(
                    at=hour,
                    key=key,
                    name=name,
                    team=team,
                    provider=provider,
                    model=model,
                    dims={"app": APPS[number % len(APPS)]},
                    sums=_sums(max(1, round(90 * scale)), usd, faulty, draw.randint(700, 1600)),
                )


def _share(hour: datetime) -> float:
    """How busy an hour is: 0.1 at night to 1."""
    day = 0.35 if hour.weekday() > 4 else 1.0
    return 0.1 + 0.9 * day * max(0.0, 1 - abs(hour.hour - 13) / 8)


def _sums(calls: int, usd: float, faulty: float, latency_ms: int) -> dict[str, int]:
    cost = round(calls * usd / 900 * 1_000_000)
    hits = calls // 9
    return {
        "calls": calls,
        "errors": round(calls * faulty),
        "input": calls * 1800,
        "output": calls * 420,
        "cached": calls * 300,
        "cost": cost,
        "list": round(cost * 1.15),
        "latency_ms": calls * latency_ms,
        "attempts": calls - hits,
        "hits": hits,
        "saved": cost // 11,
    }

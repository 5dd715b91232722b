"""Figures of the console's first page: one read of the store a second, whoever and however many look at it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from api.services import Services
from shared.governance.ledger.reports import Reports, UsageQuery
from shared.governance.limits.model import MICRO
from shared.jobs.overview import MOST_STRINGS, HourSums, Overview
from shared.jobs.store import QueueStats
from shared.surfaces.envelope import envelope

HOURS: Final = 24
FAILED_JOBS: Final = 8
HISTORY_S: Final = 600.0
"""Past hours are read again so often: a call is booked late only by what the workers' clocks differ."""
CROWDED_S: Final = 10.0
"""An hour of very many groups is read so often."""
NOTHING: Final = HourSums(0, 0, 0)

History = Mapping[str, HourSums]
"""Sums by hour (``2026-11-22T21``) and by day (``2026-11-21``)."""


async def read_figures(services: Services) -> dict[str, Any]:
    """Queue, latest failures and spend, with all that changes from one script.

    The sessions of those who look are read with it.

    Raises:
        StoreUnavailable: No answer.
    """
    sessions = services.sessions.in_use()[:MOST_STRINGS]
    read = await services.overview.read(FAILED_JOBS, sessions)
    services.sessions.renew(sessions, read.strings)
    return {
        "queue": _queue(read.stats),
        "failed_jobs": [envelope(job, with_result=False) for job in read.failed],
        **await _spend(services, read),
    }


def _queue(stats: QueueStats) -> dict[str, Any]:
    queues = stats.priorities.values()
    return {
        "depth": sum(queue.depth for queue in queues),
        "oldest_age_s": max((queue.oldest_age_s or 0.0 for queue in queues), default=0.0),
        "running": stats.running,
        "deferred": stats.deferred,
        "dead": stats.dead,
    }


async def _spend(services: Services, read: Overview) -> dict[str, Any]:
    """Today's spend is that of its hours: at most 24, so that the history has them all."""
    current = datetime.strptime(read.hour, "%Y-%m-%dT%H").replace(tzinfo=UTC)
    lifetime_s = HISTORY_S if read.sums else CROWDED_S
    history: History = await services.shared_answers.get(
        "overview.history", lifetime_s, lambda: _history(services, current), version=read.hour
    )
    hours = [current - timedelta(hours=ago) for ago in reversed(range(HOURS))]
    sums = {hour: history.get(f"{hour:%Y-%m-%dT%H}", NOTHING) for hour in hours}
    sums[current] = read.sums or sums[current]
    today = [one for hour, one in sums.items() if hour.date() == current.date()]
    return {
        "today": _to_dict(HourSums(*(sum(amounts) for amounts in zip(*map(_amounts, today), strict=True)))),
        "yesterday": _to_dict(history.get(f"{current - timedelta(days=1):%Y-%m-%d}", NOTHING)),
        "hours": [{"at": int(hour.timestamp()), **_to_dict(one)} for hour, one in sums.items()],
    }


async def _history(services: Services, current: datetime) -> History:
    reports = Reports(services.commands)
    end = current + timedelta(hours=1)
    hours = await reports.usage(UsageQuery(start=end - timedelta(hours=HOURS), end=end, per="hour"))
    midnight = current.replace(hour=0)
    days = await reports.usage(UsageQuery(start=midnight - timedelta(days=1), end=midnight, per="day"))
    return {
        row.period.partition(":")[0]: HourSums(row.sums["calls"], row.sums["errors"], row.sums["cost"])
        for row in (*hours, *days)
    }


def _amounts(sums: HourSums) -> tuple[int, int, int]:
    return sums.calls, sums.errors, sums.cost


def _to_dict(sums: HourSums) -> dict[str, Any]:
    return {"calls": sums.calls, "errors": sums.errors, "cost_usd": sums.cost / MICRO}

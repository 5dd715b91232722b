"""Figures of the console's first pages, and the one-time link that opens it."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from redis.exceptions import ResponseError
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ServicesDep, as_response
from api.http.request_context import json_reply
from api.services import Services
from shared import clock
from shared.governance.ledger.reports import Reports, UsageQuery, UsageRow
from shared.jobs.filters import JobFilter
from shared.jobs.model import State
from shared.settings.load import effective
from shared.surfaces.envelope import envelope

router = admin_router("/api")

LIVE_S = 1.0
SPEND_S = 10.0  # 48 hashes of the ledger: too many for every second
HOURS = 24
FAILED_JOBS = 8
_STORE_FACTS = {
    "server": "server_name",
    "version": "redis_version",
    "valkey_version": "valkey_version",
    "role": "role",
    "memory": "used_memory_human",
    "memory_limit": "maxmemory_human",
    "eviction": "maxmemory_policy",
    "append_only_file": "aof_enabled",
    "replicas": "connected_slaves",
    "uptime_days": "uptime_in_days",
}


@router.get("/overview", summary="Get the figures of the console's first page")
async def overview(services: ServicesDep) -> Response:
    """Queue, spend, latest failures and providers. Read from the store once a second however many ask."""
    live = await services.shared_answers.get("overview.live", LIVE_S, lambda: _live(services))
    spend = await services.shared_answers.get("overview.spend", SPEND_S, lambda: _spend(services))
    return as_response(json_reply({**live, **spend, "providers": services.inference.states()}))


@router.get("/system", summary="Get version, store and configuration in force")
async def system(services: ServicesDep) -> Response:
    """The configuration has its secrets masked."""
    store = await services.shared_answers.get("system.store", LIVE_S, lambda: _store(services))
    return as_response(
        json_reply(
            {
                "version": await asyncio.to_thread(version, "finops-gateway"),  # reads a file
                "ready": True,
                "providers": len(services.inference.providers),
                "store": store,
                "configuration": effective(services.settings),
            }
        )
    )


@router.post("/console/ticket", summary="Make a one-time link into the console", status_code=201)
async def create_ticket(services: ServicesDep) -> Response:
    """The ticket signs the administrator in once, within two minutes: open `/ui#ticket=<ticket>`."""
    ticket = await services.sessions.create_ticket()
    return as_response(json_reply({"ticket": ticket, "path": f"/ui#ticket={ticket}"}, 201))


async def _live(services: Services) -> dict[str, Any]:
    # Together, so that they share a round trip to the store.
    stats, failed = await asyncio.gather(
        services.store.stats(),
        services.store.list(None, JobFilter(states=(State.FAILED,)), limit=FAILED_JOBS),
    )
    queues = stats.priorities.values()
    return {
        "queue": {
            "depth": sum(queue.depth for queue in queues),
            "oldest_age_s": max((queue.oldest_age_s or 0.0 for queue in queues), default=0.0),
            "running": stats.running,
            "deferred": stats.deferred,
            "dead": stats.dead,
        },
        "failed_jobs": [envelope(job, with_result=False) for job in failed.jobs],
    }


async def _store(services: Services) -> dict[str, str]:
    """What the store says of itself; a store that forbids INFO says nothing."""
    with suppress(ResponseError):
        info = await services.commands.execute("INFO", retry_safe=True)
        facts = dict(line.split(":", 1) for line in bytes(info).decode(errors="replace").splitlines() if ":" in line)
        return {name: facts[field] for name, field in _STORE_FACTS.items() if field in facts}
    return {}


async def _spend(services: Services) -> dict[str, Any]:
    now = clock.now()
    reports = Reports(services.commands)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    hours = await reports.summary(UsageQuery(start=now - timedelta(hours=HOURS - 1), end=now, per="hour"))
    days = await reports.summary(UsageQuery(start=midnight - timedelta(days=1), end=now, per="day"))
    by_hour = {row.period: row for row in hours.rows}
    by_day = {row.period: row for row in days.rows}
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    return {
        "today": _figures(by_day.get(midnight.date().isoformat())),
        "yesterday": _figures(by_day.get((midnight - timedelta(days=1)).date().isoformat())),
        "hours": [
            {"at": int(moment.timestamp()), **_figures(by_hour.get(clock.rfc3339(moment)))}
            for moment in (first + timedelta(hours=at) for at in range(HOURS))
        ],
    }


def _figures(row: UsageRow | None) -> dict[str, Any]:
    if row is None:
        return {"calls": 0, "errors": 0, "cost_usd": 0.0}
    sums = row.to_dict()
    return {name: sums[name] for name in ("calls", "errors", "cost_usd")}

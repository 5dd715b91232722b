"""Figures of the console's first pages, and the one-time link that opens it."""

import asyncio
from contextlib import suppress
from importlib.metadata import version

from redis.exceptions import ResponseError
from starlette.responses import Response

from api.admin.access import admin_router
from api.admin.overview import read_figures
from api.endpoints.deps import ServicesDep, as_response
from api.http.request_context import Reply, json_reply
from api.services import Services
from shared.settings.load import effective

router = admin_router("/api")

LIVE_S = 1.0
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
    return as_response(await services.shared_answers.get("overview", LIVE_S, lambda: _overview(services)))


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


async def _overview(services: Services) -> Reply:
    """The reply as it is sent: written once, however many tabs get it."""
    return json_reply({**await read_figures(services), "providers": services.inference.states()})


async def _store(services: Services) -> dict[str, str]:
    """What the store says of itself; a store that forbids INFO says nothing."""
    with suppress(ResponseError):
        info = await services.commands.execute("INFO", retry_safe=True)
        facts = dict(line.split(":", 1) for line in bytes(info).decode(errors="replace").splitlines() if ":" in line)
        return {name: facts[field] for name, field in _STORE_FACTS.items() if field in facts}
    return {}

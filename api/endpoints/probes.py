"""Liveness, readiness and metrics: what machines ask for every few seconds, from the moment that a process serves."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import chain
from typing import Any

from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints.administrators import authorise
from api.endpoints.replies import as_response
from api.http.request_context import App, Receive, Reply, Scope, Send, json_reply
from api.services import Services, services_of
from shared.background import PART_FAILURES
from shared.errors import GatewayError
from shared.governance.keys.roles import Permission
from shared.governance.limits.guard import LimitGuard
from shared.governance.limits.headroom import configured_limits, read_headroom, read_open
from shared.store.errors import REFUSALS, StoreConnectionError, StoreRefused
from shared.store.probe import check_writable

STORE_ANSWER_S = 2.0
STORE_FAULTS = (GatewayError, StoreConnectionError, RedisError, TimeoutError)

Probe = Callable[[Request], Awaitable[Response]]


async def live(request: Request) -> Response:  # noqa: ARG001 - as the others
    """Answer 200."""
    return as_response(json_reply({"status": "ok"}))


async def ready(request: Request) -> Response:
    """Answer 200, or 503 with what is missing."""
    services = services_of(request.scope)
    verbose = await _details(services, request) if "verbose" in request.query_params else {}
    try:
        async with asyncio.timeout(STORE_ANSWER_S):
            await check_writable(services.commands)
    except STORE_FAULTS as error:
        reason = REFUSALS[error.code] if isinstance(error, StoreRefused) else "The job store does not answer."
        missing = {"redis": f"{reason} Submits and polls are refused until that changes."}
        return as_response(
            json_reply({"status": "unavailable", "missing": missing, **verbose}, 503, ((b"retry-after", b"1"),))
        )
    return as_response(json_reply({"status": "ok", "missing": {}, **verbose}))


async def metrics(request: Request) -> Response:
    """Answer with the metrics of the process, and with those of the store if it answers."""
    services = services_of(request.scope)
    if services.settings.server.guards_metrics:
        await authorise(request, Permission.MONITOR)
    await _observe_store(services)
    accept = request.headers.get("accept", "")
    body, content_type = await asyncio.to_thread(services.metrics.exposition, accept)  # it reads /proc
    return as_response(Reply(200, body, ((b"content-type", content_type.encode()),)))


PROBES: Mapping[str, Probe] = {"/health": ready, "/health/ready": ready, "/health/live": live, "/metrics": metrics}


def as_app(probe: Probe) -> App:
    """Return the ASGI application of a probe."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await probe(Request(scope, receive))
        await response(scope, receive, send)

    return app


async def _details(services: Services, request: Request) -> dict[str, Any]:
    if services.settings.server.guards_metrics:
        await authorise(request, Permission.READ)
    return {"providers": services.inference.states(), "failing_parts": PART_FAILURES.recent()}


async def _observe_store(services: Services) -> None:
    try:
        async with asyncio.timeout(STORE_ANSWER_S):
            services.metrics.observe_queue(await services.store.stats())
            services.metrics.observe_parked(await services.store.parked.count())
            states = await services.alert_rules.list()
            services.metrics.observe_rules({state.name: state.status == "firing" for state in states})
            limits = chain(configured_limits(services.settings), services.governance.known_limits())
            services.metrics.observe_limits(await read_headroom(LimitGuard(services.commands), limits))
            services.metrics.observe_open(await read_open(services.commands))
            services.metrics.observe_open({"bookings": await services.engine.waiting_bookings()})
    except STORE_FAULTS:
        return

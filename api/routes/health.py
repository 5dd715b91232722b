"""Liveness, readiness and metrics."""

import asyncio
from itertools import chain
from typing import Any

from fastapi import APIRouter
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import Response

from api.admin.access import authorise
from api.endpoints.deps import ServicesDep, as_response
from api.http.request_context import Reply, json_reply
from api.services import Services
from shared.background import PART_FAILURES
from shared.errors import GatewayError
from shared.governance.keys.roles import Permission
from shared.governance.limits.guard import LimitGuard
from shared.governance.limits.headroom import configured_limits, read_headroom, read_open
from shared.store.errors import REFUSALS, StoreConnectionError, StoreRefused
from shared.store.probe import check_writable

router = APIRouter(tags=["operations"])

STORE_ANSWER_S = 2.0
STORE_FAULTS = (GatewayError, StoreConnectionError, RedisError, TimeoutError)


@router.get("/health/live", summary="Whether the process lives")
async def live() -> Response:
    """200 as long as it answers at all."""
    return as_response(json_reply({"status": "ok"}))


@router.get("/health", summary="As `/health/ready`", responses={503: {"description": "Not now"}})
@router.get("/health/ready", summary="Whether it can serve everything", responses={503: {"description": "Not now"}})
async def ready(services: ServicesDep, request: Request) -> Response:
    """200, or 503 with what is missing; synchronous calls are served without the store, jobs are not.

    With ``?verbose`` it includes the providers' state (circuits, keys in cooldown, concurrent calls) and how often each
    background part of the process has failed in the last ten minutes. That requires the admin key where
    `server.metrics_auth` says so; by default where other machines reach the address.
    """
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


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(services: ServicesDep, request: Request) -> Response:
    """The process's metrics, those of queue, alert rules and limits if the store answers.

    They are guarded as `/health?verbose` is.
    """
    if services.settings.server.guards_metrics:
        await authorise(request, Permission.MONITOR)
    await _observe_store(services)
    accept = request.headers.get("accept", "")
    body, content_type = await asyncio.to_thread(services.metrics.exposition, accept)  # it reads /proc
    return as_response(Reply(200, body, ((b"content-type", content_type.encode()),)))


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
    except STORE_FAULTS:
        return

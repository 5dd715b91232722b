"""Liveness, readiness and metrics, as the framework describes them; `api.endpoints.probes` answers."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints import probes

router = APIRouter(tags=["operations"])


@router.get("/health/live", summary="Whether the process lives")
async def live(request: Request) -> Response:
    """200 as long as it answers at all."""
    return await probes.live(request)


@router.get("/health", summary="As `/health/ready`", responses={503: {"description": "Not now"}})
@router.get("/health/ready", summary="Whether it can serve everything", responses={503: {"description": "Not now"}})
async def ready(request: Request) -> Response:
    """200, or 503 with what is missing; synchronous calls are served without the store, jobs are not.

    With ``?verbose`` it includes the providers' state (circuits, keys in cooldown, concurrent calls) and how often each
    background part of the process has failed in the last ten minutes. That requires the admin key where
    `server.metrics_auth` says so; by default where other machines reach the address.
    """
    return await probes.ready(request)


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(request: Request) -> Response:
    """The process's metrics, those of queue, alert rules and limits if the store answers.

    They are guarded as `/health?verbose` is.
    """
    return await probes.metrics(request)

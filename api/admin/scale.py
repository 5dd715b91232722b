"""``GET /api/queue/scale``: how many workers the queue needs, for autoscalers."""

import math
from typing import Annotated, Any, Final

from fastapi import Query, Request
from starlette.responses import Response

from api.admin.access import MonitoringRoute, admin_router
from api.endpoints.deps import ServicesDep, as_response
from api.http.query import refuse_unknown
from api.http.request_context import json_reply
from shared.errors import InvalidRequest

router = admin_router("/api/queue/scale", MonitoringRoute)

# Several autoscalers and dashboards may poll; one read of the statistics costs the store 0.1 to 1 ms.
LIFETIME_S: Final = 1.0
# Part of a worker's concurrency that it is planned to use; the rest absorbs a peak while another worker starts.
PLANNED_USE: Final = 0.8
MAX_WORKERS: Final = 1_000_000
_PARAMETERS: Final = ("jobs_per_worker", "min", "max")
_EXAMPLE: Final[dict[str, object]] = {
    "desired_workers": 3, "load": 410, "claimable": 250, "running": 160, "oldest_age_s": 2.5, "jobs_per_worker": 160.0,
}  # fmt: skip
_DESCRIBED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The number of workers and what it was computed from.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": list(_EXAMPLE),
                    "properties": {
                        name: {"type": "number" if isinstance(value, float) else "integer"}
                        for name, value in _EXAMPLE.items()
                    },
                },
                "example": _EXAMPLE,
            }
        },
    }
}

JobsPerWorker = Annotated[
    float | None,
    Query(
        ge=0.01,
        le=100_000,
        allow_inf_nan=False,
        description="Jobs that one worker is planned to run at once; default: 0.8 x `jobs.concurrency`.",
    ),
]
Workers = Annotated[int, Query(ge=0, le=MAX_WORKERS)]


@router.get("", summary="Get the number of workers that the queue needs", responses=_DESCRIBED)
async def get_scale(
    request: Request,
    services: ServicesDep,
    jobs_per_worker: JobsPerWorker = None,
    least: Annotated[Workers, Query(alias="min", description="Fewest workers to ask for.")] = 0,
    most: Annotated[Workers, Query(alias="max", description="Most workers to ask for.")] = MAX_WORKERS,
) -> Response:
    """`desired_workers` is `load` / `jobs_per_worker`, rounded up and kept within `min` and `max`.

    `load` counts the waiting jobs that are due and the running ones, so that it does not fall while workers are busy.
    The statistics are at most one second old.
    """
    refuse_unknown(request.query_params, _PARAMETERS)
    if least > most:
        raise InvalidRequest("min must not be greater than max.", param="min")
    stats = await services.shared_answers.get("queue.scale", LIFETIME_S, services.store.stats)
    queues = stats.priorities.values()
    claimable = sum(queue.depth for queue in queues)
    load = claimable + stats.running
    each = jobs_per_worker or services.settings.jobs.concurrency * PLANNED_USE
    return as_response(
        json_reply(
            {
                "desired_workers": desired_workers(load, each, least=least, most=most),
                "load": load,
                "claimable": claimable,
                "running": stats.running,
                "oldest_age_s": max((queue.oldest_age_s or 0.0 for queue in queues), default=0.0),
                "jobs_per_worker": each,
            }
        )
    )


def desired_workers(load: int, jobs_per_worker: float, *, least: int, most: int) -> int:
    """Return how many workers a load needs, within bounds."""
    # Rounded first: 12 / 2.4 must not become 6 workers because 2.4 has no exact binary form.
    return min(max(math.ceil(round(load / jobs_per_worker, 9)), least), most)

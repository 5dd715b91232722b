"""``GET /api/queue/scale``: how many workers the queue needs, for autoscalers."""

import math
from typing import Annotated, Any, Final

from fastapi import Query, Request
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ServicesDep, as_response
from api.http.query import refuse_unknown
from api.http.request_context import json_reply
from api.services import Services
from shared.errors import InvalidRequest
from shared.jobs.capacity import Capacity, read_capacity
from shared.jobs.store import QueueStats

router = admin_router("/api/queue/scale")

# Several autoscalers and dashboards may poll; one read of the statistics costs the store 0.1 to 1 ms.
LIFETIME_S: Final = 1.0
# Part of the workers' slots that they are planned to use; the rest absorbs a peak while another worker starts.
PLANNED_USE: Final = 0.8
TARGET_WAIT_S: Final = 5.0
MAX_WORKERS: Final = 1_000_000
_PARAMETERS: Final = ("jobs_per_worker", "target_wait_s", "min", "max")
_EXAMPLE: Final[dict[str, object]] = {
    "desired_workers": 2, "load": 410, "claimable": 250, "running": 160, "oldest_age_s": 2.5, "job_s": 0.8,
    "workers": 1, "jobs_per_worker": 160.0, "target_wait_s": 5.0,
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
                    }
                    | {
                        "job_s": {"type": ["number", "null"], "description": "Mean duration of the last minute's runs."}
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
        description="Jobs that one worker is planned to run at once; default: 0.8 x the mean concurrency of the "
        "running workers, without any: 0.8 x `jobs.concurrency`.",
    ),
]
TargetWait = Annotated[
    float,
    Query(ge=0, le=86_400, allow_inf_nan=False, description="Seconds within which every waiting job is to start."),
]
Workers = Annotated[int, Query(ge=0, le=MAX_WORKERS)]


@router.get("", summary="Get the number of workers that the queue needs", responses=_DESCRIBED)
async def get_scale(
    request: Request,
    services: ServicesDep,
    *,
    jobs_per_worker: JobsPerWorker = None,
    target_wait_s: TargetWait = TARGET_WAIT_S,
    least: Annotated[Workers, Query(alias="min", description="Fewest workers to ask for.")] = 0,
    most: Annotated[Workers, Query(alias="max", description="Most workers to ask for.")] = MAX_WORKERS,
) -> Response:
    """`desired_workers` is computed from depth and age of the queue and from the measured duration of jobs.

    A running job needs a slot. So does a waiting one, or a part of one if several can use it in turn before the oldest
    has waited for `target_wait_s`: `slots = running + claimable * min(1, job_s / (target_wait_s - oldest_age_s))`. If
    the oldest has waited for so long, or no job ended in the last minute (`job_s` is null), it is a slot each. The
    number of workers is `slots / jobs_per_worker`, rounded up and kept within `min` and `max`. `load` is the waiting
    and the running jobs together. The figures are at most one second old.
    """
    refuse_unknown(request.query_params, _PARAMETERS)
    if least > most:
        raise InvalidRequest("min must not be greater than max.", param="min")
    stats, capacity = await services.shared_answers.get("queue.scale", LIFETIME_S, lambda: _measure(services))
    queues = stats.priorities.values()
    claimable = sum(queue.depth for queue in queues)
    age_s = max((queue.oldest_age_s for queue in queues), default=0.0)
    slots = slots_needed(claimable, stats.running, age_s, capacity.job_s, target_wait_s)
    each = jobs_per_worker or PLANNED_USE * _concurrency(services, capacity)
    return as_response(
        json_reply(
            {
                "desired_workers": desired_workers(slots, each, least=least, most=most),
                "load": claimable + stats.running,
                "claimable": claimable,
                "running": stats.running,
                "oldest_age_s": age_s,
                "job_s": capacity.job_s,
                "workers": capacity.workers,
                "jobs_per_worker": each,
                "target_wait_s": target_wait_s,
            }
        )
    )


async def _measure(services: Services) -> tuple[QueueStats, Capacity]:
    return await services.store.stats(), await read_capacity(services.commands)


def _concurrency(services: Services, capacity: Capacity) -> float:
    return capacity.slots / capacity.workers if capacity.workers else services.settings.jobs.concurrency


def slots_needed(claimable: int, running: int, age_s: float, job_s: float | None, target_s: float) -> float:
    """Return how many jobs have to run at once for the waiting ones to start in time.

    Args:
        claimable: Waiting jobs that are due.
        running: Running jobs.
        age_s: How long the oldest waiting job has waited.
        job_s: Mean duration of a job; None: unknown.
        target_s: How long a job may wait.
    """
    left_s = target_s - age_s
    part = 1.0 if job_s is None or job_s >= left_s else job_s / left_s
    return running + claimable * part


def desired_workers(slots: float, jobs_per_worker: float, *, least: int, most: int) -> int:
    """Return how many workers have so many slots, within bounds; at least one if any are needed."""
    # Rounded first: 12 / 2.4 must not become 6 workers because 2.4 has no exact binary form.
    wanted = max(math.ceil(round(slots / jobs_per_worker, 9)), 1 if slots else 0)
    return min(max(wanted, least), most)

"""``/api/lanes``: how long the lanes of jobs that can wait took."""

import math

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ServicesDep, as_response
from api.http.request_context import json_reply
from shared.patience.times import LATE, LaneRow

router: APIRouter = admin_router("/api/lanes")


class LaneTime(BaseModel):
    """The times of one lane at one model, of today and yesterday."""

    lane: str = Field(description="`now`, `flex` or `batch`.")
    model: str = Field(description="As `provider/model`.")
    answers: int = Field(description="Measured ones, those that came too late included.")
    late: int = Field(description="What was not answered before its job had to run now.")
    p50_s: float | None = Field(description="Half of the answers took at most so long; null: they came too late.")
    p95_s: float | None
    p99_s: float | None


class LanesAnswer(BaseModel):
    """The measured times."""

    object: str = "list"
    data: list[LaneTime]


@router.get("", summary="List how long lanes took", response_model=LanesAnswer)
async def list_lanes(services: ServicesDep) -> Response:
    """By lane and model, of today and yesterday; at most 1,000 a day are measured."""
    rows = await services.lanes.times.rows()
    return as_response(json_reply({"object": "list", "data": [_to_dict(row) for row in rows]}))


def _to_dict(row: LaneRow) -> dict[str, object]:
    histogram = row.histogram
    return {
        "lane": row.lane,
        "model": row.model,
        "answers": histogram.total,
        "late": histogram.counts.get(LATE, 0),
        "p50_s": _finite(histogram.quantile(0.5)),
        "p95_s": _finite(histogram.quantile(0.95)),
        "p99_s": _finite(histogram.quantile(0.99)),
    }


def _finite(seconds: float) -> float | None:
    return round(seconds, 3) if math.isfinite(seconds) else None

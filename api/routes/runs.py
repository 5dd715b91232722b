"""``/v1/runs``: what the runs of a caller have spent, reserved and made."""

from fastapi import APIRouter
from starlette.responses import Response

from api.endpoints.deps import CallerDep, ServicesDep, as_response
from api.http.request_context import json_reply
from api.usage.models import RunAnswer
from shared.errors import RunNotFound
from shared.governance.limits.runs import Runs

router = APIRouter(prefix="/v1/runs", tags=["usage"])


@router.get("/{run_id}", summary="Get a run: what it has spent and reserved", response_model=RunAnswer)
async def get_run(run_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """A run of the calling key's team, else of the key itself."""
    found = await Runs(services.commands).get(caller.run_owner, run_id)
    if found is None:
        raise RunNotFound(run_id)
    return as_response(json_reply(found.to_dict()))

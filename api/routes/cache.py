"""``/v1/cache``: callers purge the stored answers that they may be served."""

from fastapi import APIRouter
from starlette.responses import Response

from api.endpoints.cache_purges import purge
from api.endpoints.deps import CallerDep, ServicesDep
from api.http.cache_models import OwnPurge, PurgeAnswer
from shared.cache.identity import caller_scope
from shared.errors import Forbidden

router = APIRouter(prefix="/v1/cache", tags=["cache"])


@router.post("/purge", summary="Purge your stored answers", response_model=PurgeAnswer)
async def purge_own(services: ServicesDep, caller: CallerDep, body: OwnPurge | None = None) -> Response:
    """No process serves them after the answer, and their texts are gone.

    A cache that all keys share is an administrator's to purge: `POST /api/cache/purge`.
    """
    if services.settings.cache.scope == "shared":
        raise Forbidden("All keys share one cache; an administrator may purge it: POST /api/cache/purge.")
    scope = caller_scope(
        services.settings.cache.scope,
        key_id=caller.key_id,
        team=caller.team,
        customer=caller.customer,
        bearer=caller.scope,
    )
    return await purge(services, body or OwnPurge(), scope)

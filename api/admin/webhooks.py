"""What administrators need to know of webhooks."""

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.deps import ServicesDep, as_response, require_admin
from api.exchange import json_reply
from shared.jobs.callback_secret import callback_secret

router = APIRouter(prefix="/api/webhooks", tags=["administration"], dependencies=[Depends(require_admin)])


@router.get("/secret", summary="The secret that signs callbacks to unnamed URLs")
async def secret(services: ServicesDep) -> Response:
    """For the receivers of ``x-bf-async-webhook: <URL>``; a configured webhook has a secret of its own."""
    return as_response(json_reply({"secret": await callback_secret(services.commands)}))

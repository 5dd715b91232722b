"""``/v1/usage``: the usage of the calling virtual key."""

from fastapi import APIRouter
from starlette.responses import Response

from api.endpoints.deps import CallerDep, ServicesDep, as_response
from api.usage.answers import UsageParam, usage_reply, usage_request
from api.usage.models import UsageAnswer
from shared.errors import InvalidRequest, VirtualKeyRequired

router = APIRouter(prefix="/v1/usage", tags=["usage"])


@router.get("", summary="Get the calling virtual key's usage", response_model=UsageAnswer)
async def own_usage(services: ServicesDep, caller: CallerDep, params: UsageParam) -> Response:
    """As `/api/usage`, of the own calls alone."""
    if not caller.key_id:
        raise VirtualKeyRequired("This endpoint shows a virtual key its own usage. With the admin key, use /api/usage.")
    if params.get("key") not in {None, "", caller.key_id}:
        raise InvalidRequest("This endpoint shows only the calling key's usage: leave out key.", param="key")
    return as_response(await usage_reply(services, usage_request(services, params, own_key=caller.key_id)))

"""The models that a caller may use, of all providers."""

from fastapi import APIRouter
from starlette.responses import Response

from api.endpoints.deps import CallerDep, ContextDep, ServicesDep, as_response
from api.http.request_context import json_reply
from shared.providers.registry import DEFAULT_PROVIDER

router = APIRouter(tags=["models"])


@router.get("/models", summary="List models")
async def list_models(services: ServicesDep, context: ContextDep, caller: CallerDep) -> Response:
    """OpenAI's list object; ids carry the provider's prefix."""
    context.surface, context.request_type = "openai", "models"
    return as_response(json_reply({"object": "list", "data": await services.inference.catalogue.models(caller)}))


@router.get("/models/{model:path}", summary="One model")
async def get_model(model: str, services: ServicesDep, context: ContextDep, caller: CallerDep) -> Response:
    """A model by its id; without a prefix it is the default provider's, which is asked for what its list lacks."""
    context.surface, context.request_type = "openai", "models"
    wanted = {model, f"{DEFAULT_PROVIDER}/{model}"}
    for known in await services.inference.catalogue.models(caller):
        if known["id"] in wanted:
            return as_response(json_reply(known))
    return as_response(json_reply(await services.inference.catalogue.model(model, caller)))

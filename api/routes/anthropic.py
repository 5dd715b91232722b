"""Anthropic's list of models, for every provider's; `api.endpoints.messages` has its Messages API.

Source: https://platform.claude.com/docs/en/api/models
"""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.endpoints.deps import CallerDep, ContextDep, ServicesDep
from api.endpoints.messages import PROVIDER, SURFACE
from api.endpoints.replies import as_response
from api.endpoints.translated import full_name
from api.http.request_context import json_reply
from shared.errors import ModelNotFound
from shared.surfaces.anthropic import model_of, models_page

router = APIRouter(tags=["anthropic"])


@router.get("/models", summary="List models, in Anthropic's format")
async def list_models(
    services: ServicesDep,
    context: ContextDep,
    caller: CallerDep,
    *,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    after_id: str | None = None,
    before_id: str | None = None,
) -> Response:
    """A page of the models that the caller may use; ids carry the provider's prefix."""
    context.surface, context.request_type = SURFACE, "models"
    models = await services.inference.catalogue.models(caller)
    return as_response(json_reply(models_page(models, limit=limit, after_id=after_id, before_id=before_id)))


@router.get("/models/{model:path}", summary="Get a model, in Anthropic's format")
async def get_model(model: str, services: ServicesDep, context: ContextDep, caller: CallerDep) -> Response:
    """A model by its id."""
    context.surface, context.request_type = SURFACE, "models"
    wanted = full_name(model, PROVIDER, services)
    for known in await services.inference.catalogue.models(caller):
        if known["id"] == wanted:
            return as_response(json_reply(model_of(known)))
    raise ModelNotFound(f"No configured provider lists the model {model[:256]!r}; GET /anthropic/v1/models lists them.")

"""``/api/prices``: the price of each model, and its source."""

import asyncio
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ServicesDep, as_response
from api.http.query import list_reply, read_limit, refuse_unknown, unknown_cursor
from shared.inference.price_catalogue import PriceCatalogue

router = admin_router("/api/prices")

Text = Annotated[str | None, Query()]
_PARAMETERS = ("provider", "model", "after", "limit")


class PriceTier(BaseModel):
    """Prices in place of the others for longer prompts."""

    above: int = Field(description="For prompts of more tokens than that.")
    prices: dict[str, float]


class PriceAnswer(BaseModel):
    """The price of a model, or of all models that a pattern fits."""

    object: Literal["price"]
    id: str
    provider: str
    model: str = Field(description="A name, or a pattern of `[prices]`; `*`: every model of the provider.")
    source: str = Field(description="`configuration`, `published`, `free`, or the first with one of the others.")
    version: str | None = Field(description="The published prices' data and its version; null: none is used.")
    date: str | None = Field(description="Since when a published price is in force, where that is known.")
    prices: dict[str, float] = Field(description="USD by unit, named as in `[prices]`; tokens per million.")
    tiers: list[PriceTier]
    discount: float = Field(description="Part that the configuration takes off (0.1: ten percent).")
    context: int | None = Field(description="The model's context window in tokens.")
    max_output: int | None = Field(description="The most output tokens, where configured.")


class PricePage(BaseModel):
    """A page of prices, by provider; configured ones come first."""

    object: Literal["list"]
    data: list[PriceAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool


@router.get("", summary="List the price of each model, with its source and date", response_model=PricePage)
async def list_prices(
    request: Request,
    services: ServicesDep,
    *,
    provider: Text = None,
    model: Text = None,
    after: Text = None,
    limit: Text = None,
) -> Response:
    """A page of the configured providers' prices; `model` is a part of the name. Pass `last_id` as `after`."""
    refuse_unknown(request.query_params, _PARAMETERS)
    size = read_limit(limit)

    def page() -> list[dict[str, Any]] | None:
        catalogue = PriceCatalogue(services.settings, services.inference.providers, services.prices.published)
        ids = catalogue.ids(provider=provider or "", model=model or "")
        if after and after not in ids:
            return None
        rest = ids[ids.index(after) + 1 :] if after else ids
        return list(islice(catalogue.entries(rest), size + 1))

    found = await asyncio.to_thread(page)
    if found is None:
        raise unknown_cursor()
    return as_response(list_reply(found[:size], more=len(found) > size))

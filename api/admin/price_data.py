"""``/api/prices/data``: newer published prices, given by an administrator."""

import asyncio
from typing import Annotated, Any, Final, Literal

from fastapi import Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from api.admin.access import AdminRoute, admin_router
from api.endpoints.deps import ContextDep, ServicesDep, as_response
from api.http.request_context import AuditEvent, json_reply
from shared.errors import InvalidRequest
from shared.governance.pricing.published import BUNDLED, read_published
from shared.governance.pricing.stored import PriceData, PriceRefresh
from shared.inference.assembly import price_sources
from shared.inference.price_changes import PriceChanges, price_changes
from shared.providers.registry import Providers
from shared.settings.model import Settings

MAX_DATA_BYTES: Final = 32 * 1024 * 1024
_BODY: Final[dict[str, Any]] = {
    "required": True,
    "description": "An array of providers in the format of the package `genai-prices`.",
    "content": {
        "application/json": {
            "schema": {"type": "array", "items": {"type": "object"}},
            "example": [
                {
                    "id": "openai",
                    "name": "OpenAI",
                    "api_pattern": "https://api\\.openai\\.com",
                    "models": [
                        {
                            "id": "gpt-4o",
                            "match": {"equals": "gpt-4o"},
                            "prices": {"input_mtok": 2.5, "output_mtok": 10},
                        }
                    ],
                }
            ],
        }
    },
}


class _PriceDataRoute(AdminRoute):
    """A route that takes a file of prices."""

    max_body_bytes = MAX_DATA_BYTES


router = admin_router("/api/prices/data", _PriceDataRoute)


class PriceDataAnswer(BaseModel):
    """The published prices in use."""

    object: Literal["price_data"]
    version: str = Field(description="The package and its version, or a digest of stored data.")
    source: str = Field(description="`bundled`, or where the stored data came from.")
    stored_at: str | None


class ChangedPrice(BaseModel):
    """A model whose price changes; USD by unit, named as in `[prices]`; tokens per million."""

    id: str
    before: dict[str, Any]
    after: dict[str, Any]


class PriceUpdateAnswer(PriceDataAnswer):
    """What newer data changes for the configured providers."""

    dry_run: bool
    models: int = Field(description="Models with a price in the newer data.")
    added: list[str]
    removed: list[str]
    changed: list[ChangedPrice]


@router.get("", summary="Get the version of the published prices in use", response_model=PriceDataAnswer)
async def get_price_data(services: ServicesDep) -> Response:
    """The data of the installed package, or newer data that was stored with `PUT`."""
    stored = await services.prices.store.read(data=False)
    return as_response(json_reply(await asyncio.to_thread(_data_to_dict, stored)))


@router.put(
    "",
    summary="Replace the published prices",
    response_model=PriceUpdateAnswer,
    openapi_extra={"requestBody": _BODY},
)
async def put_price_data(
    request: Request,
    services: ServicesDep,
    context: ContextDep,
    *,
    dry_run: Annotated[bool, Query(description="`true`: answer what would change, and change nothing.")] = False,
    source: Annotated[str, Query(max_length=500, description="Where the data came from, for the record.")] = "",
) -> Response:
    """Validates the data, and stores it for every process, which uses it within five seconds.

    Prices of `[prices]` in the configuration still come first. Data without any price of a provider that is configured
    and has prices today is a 400.
    """
    data = PriceData.of(await request.body(), source)
    changes = await asyncio.to_thread(_compare, data, services.prices, services.settings, services.inference.providers)
    context.audit_event = AuditEvent(
        data.version, {"dry_run": dry_run, "source": source[:100], "changed": len(changes.changed)}
    )
    if not dry_run:
        await services.prices.store.write(data)
        await services.prices.refresh()
    return as_response(json_reply({**_data_to_dict(data), "dry_run": dry_run, **changes.to_dict()}))


@router.delete("", summary="Go back to the published prices of the package", response_model=PriceDataAnswer)
async def delete_price_data(services: ServicesDep) -> Response:
    """Every process uses the data of its installed package again within five seconds."""
    await services.prices.store.clear()
    await services.prices.refresh()
    return as_response(json_reply(await asyncio.to_thread(_data_to_dict, None)))


def _compare(data: PriceData, prices: PriceRefresh, settings: Settings, providers: Providers) -> PriceChanges:
    """Read data and compare it with the prices in use.

    Raises:
        InvalidRequest: It cannot be used.
    """
    sources = price_sources(settings)
    try:
        newer = read_published(data.data, data.version)
        return price_changes(prices.published, newer, (sources.get(name, "") for name in providers))
    except ValueError as error:
        raise InvalidRequest(str(error), param="body") from None


def _data_to_dict(stored: PriceData | None) -> dict[str, Any]:
    """Return the answer about price data; the package's version is read from its files."""
    if stored is None:
        return {"object": "price_data", "version": BUNDLED.version, "source": "bundled", "stored_at": None}
    return {
        "object": "price_data",
        "version": stored.version,
        "source": stored.source or "unknown",
        "stored_at": stored.stored_at,
    }

"""Answers about usage, for administrators and for keys that ask for their own."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, Query, Request

from api.http.request_context import Reply, json_reply
from api.services import Services
from api.usage.query import UsageRequest, read_usage
from shared import clock
from shared.governance.ledger.reports import Reports, UsageRow

_GROUPS = "`key`, `team`, `customer`, `provider`, `model`, `request_type`, `lane`, `dimension:<name>`"


async def _params(request: Request) -> dict[str, str]:
    params = dict(request.query_params)
    if "group_by" in params:
        params["group_by"] = ",".join(request.query_params.getlist("group_by"))
    return params


async def _span_params(
    request: Request,
    _from: Annotated[str | None, Query(alias="from", description="A day or an RFC 3339 time, UTC.")] = None,
    _to: Annotated[str | None, Query(alias="to", description="As `from`; a day is included. Default: now.")] = None,
    _key: Annotated[str | None, Query(alias="key", description="Id of a virtual key.")] = None,
    _team: Annotated[str | None, Query(alias="team")] = None,
    _customer: Annotated[str | None, Query(alias="customer")] = None,
    _provider: Annotated[str | None, Query(alias="provider")] = None,
    _model: Annotated[
        str | None, Query(alias="model", description="As the provider calls it, or `provider/model`.")
    ] = None,
    _request_type: Annotated[
        str | None, Query(alias="request_type", description="`chat.completions`, …; `dimension:<name>` filters too.")
    ] = None,
) -> dict[str, str]:
    return await _params(request)


async def _usage_params(
    params: Annotated[dict[str, str], Depends(_span_params)],
    _per: Annotated[str | None, Query(alias="per", description="`hour`, `day` (default), `month`, `total`.")] = None,
    _group_by: Annotated[
        list[str] | None, Query(alias="group_by", description=f"Of {_GROUPS}; several with commas or repeated.")
    ] = None,
) -> dict[str, str]:
    return params


async def _calls_params(
    params: Annotated[dict[str, str], Depends(_span_params)],
    _status: Annotated[str | None, Query(alias="status", description="`500`, or `5xx`.")] = None,
    _code: Annotated[str | None, Query(alias="code", description="Of the error.")] = None,
    _job: Annotated[str | None, Query(alias="job", description="Id of a job.")] = None,
    _request_id: Annotated[str | None, Query(alias="request_id")] = None,
    _content: Annotated[
        str | None, Query(alias="content", description="`true`: request and answer too, where they are kept.")
    ] = None,
) -> dict[str, str]:
    return params


SpanParam = Annotated[dict[str, str], Depends(_span_params)]
UsageParam = Annotated[dict[str, str], Depends(_usage_params)]
CallsParam = Annotated[dict[str, str], Depends(_calls_params)]


def usage_request(services: Services, params: Mapping[str, str], *, own_key: str = "") -> UsageRequest:
    """The question that parameters make.

    Args:
        services: For the providers' names.
        params: The parameters.
        own_key: The only key that it is about, whatever they say; empty: all.

    Raises:
        InvalidRequest: Something is not understood.
    """
    request = read_usage(params, services.inference.providers.keys(), clock.now())
    if own_key:
        query = replace(request.query, only={**request.query.only, "key": own_key})
        return UsageRequest(query, request.names)
    return request


async def usage_reply(services: Services, request: UsageRequest) -> Reply:
    """The sums, their total, and the models that they leave out.

    Raises:
        InvalidRequest: There are more groups than an answer can hold.
        StoreUnavailable: No answer.
    """
    query = request.query
    summary = await Reports(services.commands).summary(query)
    ledger, now = services.settings.ledger, clock.now()
    kept = timedelta(days=ledger.hours_days if query.per == "hour" else ledger.days_days)
    return json_reply(
        {
            "object": "usage",
            "from": clock.rfc3339(query.begin),
            "to": clock.rfc3339(query.until),
            "per": query.per,
            "group_by": list(request.names.values()),
            "kept_since": clock.rfc3339(now - kept),
            "data": [row_to_dict(row, request) for row in summary.rows],
            "total": summary.total.to_dict(),
            "unpriced": [
                {"provider": provider, "model": model, "calls": calls}
                for (provider, model), calls in summary.unpriced.items()
            ],
        }
    )


def row_to_dict(row: UsageRow, request: UsageRequest) -> dict[str, Any]:
    """A row under the names that were asked for."""
    return {request.names.get(name, name): value for name, value in row.to_dict().items()}

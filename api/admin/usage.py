"""Usage and spend, for administrators: sums, single calls, exports of both, forecasts."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ServicesDep, as_response
from api.http.query import read_limit
from api.http.request_context import json_reply
from api.services import Services
from api.usage.answers import CallsParam, UsageParam, row_to_dict, usage_reply, usage_request
from api.usage.downloads import FORMATS, ROWS_AT_ONCE, Download, Rows, pieces, renderer
from api.usage.models import ForecastAnswer, LogsAnswer, UsageAnswer
from api.usage.query import Span, UsageRequest, read_calls, read_choice
from shared import clock
from shared.governance.forecasts.spend_forecast import Spender, Subject, names_in_use, spend_forecasts
from shared.governance.keys.model import VirtualKey, caller_of_key
from shared.governance.keys.store import VirtualKeyStore
from shared.governance.ledger.call_log import CallLog
from shared.governance.ledger.exports import CALL_COLUMNS, call_to_dict
from shared.governance.ledger.reports import Reports
from shared.governance.limits.guard import LimitGuard
from shared.governance.limits.model import limits_of

router = admin_router("/api")

MAX_PAGE = 1_000
EXPORTED_DAYS = 30
SEARCHED_DAYS = 3650
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file, streamed.",
        "content": {kind.media_type.partition(";")[0]: {"schema": {"type": "string"}} for kind in FORMATS.values()},
    }
}
FormatParam = Annotated[str | None, Query(alias="format", description="`csv` (default), `jsonl` or `focus`.")]
LimitParam = Annotated[str | None, Query(alias="limit", description="1 to 1000.")]


@router.get("/usage", summary="Get usage and cost per period and group", response_model=UsageAnswer)
async def usage(services: ServicesDep, params: UsageParam) -> Response:
    """Sums over all calls; `unpriced` lists the models whose cost they leave out."""
    return as_response(await usage_reply(services, usage_request(services, params)))


@router.get("/usage/export", summary="Export usage as a file", response_class=Response, responses=_FILE)
async def export_usage(services: ServicesDep, params: UsageParam, _format: FormatParam = None) -> Response:
    """The sums as CSV or JSON lines; in FOCUS format one charge per group of calls with all columns in common."""
    kind = read_choice(params, "format", FORMATS, "csv")
    request = usage_request(services, params)
    reports = Reports(services.commands)
    if kind == "focus":
        batches: AsyncIterator[Rows] = reports.charges(request.query)
        return Download(pieces(batches, renderer(kind, ())), _name("usage", request.query.start), FORMATS[kind])
    summary = await reports.summary(request.query)
    rows = [row_to_dict(row, request) for row in summary.rows]
    columns = list(row_to_dict(summary.rows[0], request)) if rows else _columns(request, summary.total.to_dict())
    return Download(pieces(_one(rows), renderer(kind, columns)), _name("usage", request.query.start), FORMATS[kind])


@router.get("/logs", summary="List single calls, newest first", response_model=LogsAnswer)
async def logs(
    services: ServicesDep,
    params: CallsParam,
    _limit: LimitParam = None,
    _cursor: Annotated[str | None, Query(alias="cursor", description="`next_cursor` of the previous page.")] = None,
) -> Response:
    """A page. Each request searches a bounded part of the log: while there is a `next_cursor`, there may be more."""
    span = Span.read(params, SEARCHED_DAYS, clock.now()) if params.get("from") or params.get("to") else None
    found, cursor = await CallLog(services.commands).page(
        read_calls(params, services.inference.providers.keys()),
        cursor=params.get("cursor", ""),
        limit=read_limit(params.get("limit"), default=50, most=MAX_PAGE),
        start=span.start if span else None,
        end=span.end if span else None,
    )
    content = _wants_content(params)
    data = [call_to_dict(entry, content=content) for entry in found]
    return as_response(
        json_reply({"object": "list", "data": data, "has_more": bool(cursor), "next_cursor": cursor or None})
    )


@router.get(
    "/logs/export", summary="Export single calls as a file, oldest first", response_class=Response, responses=_FILE
)
async def export_logs(services: ServicesDep, params: CallsParam, _format: FormatParam = None) -> Response:
    """All calls of the time range, by default the last 30 days; the file is streamed."""
    kind = read_choice(params, "format", FORMATS, "csv")
    span = Span.read(params, EXPORTED_DAYS, clock.now())
    only = read_calls(params, services.inference.providers.keys())
    content = _wants_content(params)
    entries = CallLog(services.commands).batches(span.start, span.end, only)
    batches: AsyncIterator[Rows] = entries if kind == "focus" else _to_dict(entries, content=content)
    columns = (*CALL_COLUMNS, *(("content",) if content else ()))
    return Download(pieces(batches, renderer(kind, columns)), _name("calls", span.start), FORMATS[kind])


@router.get("/usage/forecast", summary="Forecast spending", response_model=ForecastAnswer)
async def forecast(
    services: ServicesDep,
    by: Annotated[str | None, Query(description="`key` (default), `team` or `customer`.")] = None,
    limit: Annotated[str | None, Query(description="1 to 1000, default 100.")] = None,
    after: Annotated[str | None, Query(description="`last_id` of the previous page.")] = None,
) -> Response:
    """Spending rate, projections for budgets and the month at that rate, and whether today is anomalous."""
    now = clock.now()
    subject = _subject(read_choice({"by": by or ""}, "by", ("key", "team", "customer"), "key"))
    most = read_limit(limit, default=100, most=MAX_PAGE)
    spenders, last_id, more = await _spenders(services, subject, after or "", most, now)
    found = await spend_forecasts(Reports(services.commands), LimitGuard(services.commands), spenders, subject, now)
    page = {
        "object": "list",
        "by": subject,
        "at": clock.rfc3339(now),
        "data": [forecast.to_dict(now) for forecast in found],
        "has_more": more,
        "last_id": last_id,
    }
    return as_response(json_reply(page))


async def _spenders(
    services: Services, by: Subject, after: str, most: int, now: datetime
) -> tuple[list[Spender], str | None, bool]:
    """Read the spenders of a page, its cursor and whether there are more; inactive keys are left out."""
    settings = services.settings
    if by == "key":
        keys, more = await VirtualKeyStore(services.commands, settings).list(after=after, limit=most)
        spenders = [_spender(key, services) for key in keys if key.status == "active"]
        return spenders, keys[-1].id if keys else None, more
    table = settings.teams if by == "team" else settings.customers
    names = sorted({*table, *await names_in_use(Reports(services.commands), by, now)} - {""})
    names = [name for name in names if name > after]
    page = [Spender(name, name, limits_of(f"{by}:{name}", table.get(name))) for name in names[:most]]
    return page, page[-1].id if page else None, len(names) > most


def _spender(key: VirtualKey, services: Services) -> Spender:
    limits = caller_of_key(key, services.settings).limits
    return Spender(key.id, key.name, tuple(limit for limit in limits if limit.scope == f"key:{key.id}"))


def _subject(word: str) -> Subject:
    return "team" if word == "team" else "customer" if word == "customer" else "key"


async def _to_dict(batches: AsyncIterator[list[dict[str, Any]]], *, content: bool) -> AsyncIterator[Rows]:
    async for batch in batches:
        for at in range(0, len(batch) or 1, ROWS_AT_ONCE):
            yield [call_to_dict(entry, content=content) for entry in batch[at : at + ROWS_AT_ONCE]]


async def _one(rows: Rows) -> AsyncIterator[Rows]:
    yield rows


def _columns(request: UsageRequest, sums: Mapping[str, Any]) -> list[str]:
    """The columns of a file without rows."""
    period = [] if request.query.per == "total" else ["period"]
    named = ["key_name"] if "key" in request.names else []
    return [*period, *request.names.values(), *named, *sums]


def _name(what: str, start: datetime) -> str:
    return f"finops-{what}-{start:%Y-%m-%d}"


def _wants_content(params: Mapping[str, str]) -> bool:
    return read_choice(params, "content", ("true", "false"), "false") == "true"

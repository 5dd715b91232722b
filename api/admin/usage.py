"""Where money went and where it is going, for administrators: sums, single calls, files of both, forecasts."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from api.admin.access import admin_router
from api.http.deps import ServicesDep, as_response
from api.http.request_context import json_reply
from api.services import Services
from api.usage.answers import CallsParam, UsageParam, asked_of, row_to_dict, usage_reply
from api.usage.downloads import FORMATS, ROWS_AT_ONCE, Download, Rows, pieces, renderer
from api.usage.models import ForecastAnswer, LogsAnswer, UsageAnswer
from api.usage.query import Asked, Span, read_calls, read_choice, read_limit
from shared import clock
from shared.governance.forecasts.spend_forecast import Spender, Subject, names_in_use, outlooks
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
        "description": "The file, as it is made.",
        "content": {kind.media_type.partition(";")[0]: {"schema": {"type": "string"}} for kind in FORMATS.values()},
    }
}
FormatParam = Annotated[str | None, Query(alias="format", description="`csv` (default), `jsonl` or `focus`.")]
LimitParam = Annotated[str | None, Query(alias="limit", description="1 to 1000.")]


@router.get("/usage", summary="What was used and what it cost, per period and group", response_model=UsageAnswer)
async def usage(services: ServicesDep, said: UsageParam) -> Response:
    """Sums of everybody's calls; `unpriced` names the models that they leave out."""
    return as_response(await usage_reply(services, asked_of(services, said)))


@router.get("/usage/export", summary="The same as a file", response_class=Response, responses=_FILE)
async def export_usage(services: ServicesDep, said: UsageParam, _format: FormatParam = None) -> Response:
    """CSV or JSON lines of the sums; as FOCUS, a charge for every group of calls that have all in common."""
    kind = read_choice(said, "format", FORMATS, "csv")
    asked = asked_of(services, said)
    reports = Reports(services.commands)
    if kind == "focus":
        batches: AsyncIterator[Rows] = reports.charges(asked.query)
        return Download(pieces(batches, renderer(kind, ())), _name("usage", asked.query.start), FORMATS[kind])
    summary = await reports.summary(asked.query)
    rows = [row_to_dict(row, asked) for row in summary.rows]
    columns = list(row_to_dict(summary.rows[0], asked)) if rows else _columns(asked, summary.total.to_dict())
    return Download(pieces(_one(rows), renderer(kind, columns)), _name("usage", asked.query.start), FORMATS[kind])


@router.get("/logs", summary="Single calls, newest first", response_model=LogsAnswer)
async def logs(
    services: ServicesDep,
    said: CallsParam,
    _limit: LimitParam = None,
    _cursor: Annotated[str | None, Query(alias="cursor", description="`next_cursor` of the page before.")] = None,
) -> Response:
    """A page. Only so much is looked through at once: as long as there is a `next_cursor`, there may be more."""
    span = Span.read(said, SEARCHED_DAYS, clock.now()) if said.get("from") or said.get("to") else None
    found, cursor = await CallLog(services.commands).page(
        read_calls(said, services.inference.providers.keys()),
        cursor=said.get("cursor", ""),
        limit=read_limit(said, 50, MAX_PAGE),
        start=span.start if span else None,
        end=span.end if span else None,
    )
    content = _wants_content(said)
    data = [call_to_dict(entry, content=content) for entry in found]
    return as_response(
        json_reply({"object": "list", "data": data, "has_more": bool(cursor), "next_cursor": cursor or None})
    )


@router.get("/logs/export", summary="Single calls as a file, oldest first", response_class=Response, responses=_FILE)
async def export_logs(services: ServicesDep, said: CallsParam, _format: FormatParam = None) -> Response:
    """Every call of the time, of the last 30 days by default; made while it is sent."""
    kind = read_choice(said, "format", FORMATS, "csv")
    span = Span.read(said, EXPORTED_DAYS, clock.now())
    only = read_calls(said, services.inference.providers.keys())
    content = _wants_content(said)
    entries = CallLog(services.commands).batches(span.start, span.end, only)
    batches: AsyncIterator[Rows] = entries if kind == "focus" else _to_dict(entries, content=content)
    columns = (*CALL_COLUMNS, *(("content",) if content else ()))
    return Download(pieces(batches, renderer(kind, columns)), _name("calls", span.start), FORMATS[kind])


@router.get("/usage/forecast", summary="Where spending is heading", response_model=ForecastAnswer)
async def forecast(
    services: ServicesDep,
    by: Annotated[str | None, Query(description="`key` (default), `team` or `customer`.")] = None,
    limit: Annotated[str | None, Query(description="1 to 1000, default 100.")] = None,
    after: Annotated[str | None, Query(description="`last_id` of the page before.")] = None,
) -> Response:
    """Rate, budgets' ends and months' ends if that goes on, and whether today is unlike the habit."""
    now = clock.now()
    subject = _subject(read_choice({"by": by or ""}, "by", ("key", "team", "customer"), "key"))
    most = read_limit({"limit": limit or ""}, 100, MAX_PAGE)
    spenders, last_id, more = await _spenders(services, subject, after or "", most, now)
    found = await outlooks(Reports(services.commands), LimitGuard(services.commands), spenders, subject, now)
    page = {
        "object": "list",
        "by": subject,
        "at": clock.rfc3339(now),
        "data": [outlook.to_dict(now) for outlook in found],
        "has_more": more,
        "last_id": last_id,
    }
    return as_response(json_reply(page))


async def _spenders(
    services: Services, by: Subject, after: str, most: int, now: datetime
) -> tuple[list[Spender], str | None, bool]:
    """Whose outlooks a page holds, the page's end, and whether there are more; ended keys are left out."""
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


def _columns(asked: Asked, sums: Mapping[str, Any]) -> list[str]:
    """Of a file without rows."""
    period = [] if asked.query.per == "total" else ["period"]
    named = ["key_name"] if "key" in asked.names else []
    return [*period, *asked.names.values(), *named, *sums]


def _name(what: str, start: datetime) -> str:
    return f"finops-{what}-{start:%Y-%m-%d}"


def _wants_content(said: Mapping[str, str]) -> bool:
    return read_choice(said, "content", ("true", "false"), "false") == "true"

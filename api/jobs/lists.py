"""Lists of jobs: query parameters and pages of envelopes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from starlette.datastructures import QueryParams

from api.http.ownership import Everyone, ListOwner, Nobody
from api.http.query import MAX_LIMIT, list_reply, read_limit
from api.http.request_context import Reply
from shared.errors import InvalidRequest, JobNotFound
from shared.jobs.filters import ADMIN_PARAMETERS, PARAMETERS, STATUSES, JobFilter, read_filter, unknown_parameter
from shared.jobs.model import Job, Priority
from shared.jobs.store import JobPage, JobStore
from shared.surfaces.envelope import envelope
from shared.surfaces.request_types import BY_NAME

_PAGE = ("order", "after", "limit")
# An empty one means any, as ever.
_OPTIONAL = frozenset({"status", "model"})


@dataclass(frozen=True, slots=True)
class JobListQuery:
    """The requested part of a list."""

    wanted: JobFilter
    order: Literal["asc", "desc"]
    after: str
    limit: int


def read_job_list_query(query: QueryParams, *, admin: bool = False) -> JobListQuery:
    """Parse the query parameters of a list of jobs.

    Args:
        query: The query.
        admin: Whether the list holds all callers' jobs, so that it can be filtered by them.

    Raises:
        InvalidRequest: A parameter is unknown or invalid; ``param`` names it.
    """
    params: dict[str, list[str]] = {}
    for name, value in query.multi_items():
        if value or name not in _OPTIONAL:
            params.setdefault(name, []).append(value)
    page = {name: params.pop(name, [""])[-1] for name in _PAGE}
    known = (*PARAMETERS, *(ADMIN_PARAMETERS if admin else ()), *_PAGE)
    for name in params:
        if name not in known:
            raise unknown_parameter(name, known)
    order = page["order"] or "desc"
    if order not in ("asc", "desc"):
        raise InvalidRequest("order must be asc or desc.", param="order")
    wanted = read_filter(params, types=tuple(BY_NAME), admin=admin)
    return JobListQuery(wanted, "asc" if order == "asc" else "desc", page["after"], read_limit(page["limit"]))


async def list_jobs(store: JobStore, owner: ListOwner, query: JobListQuery) -> JobPage:
    """Read a page of an owner's jobs.

    Raises:
        InvalidRequest: The cursor is not, or no longer, a job in the list.
    """
    if isinstance(owner, Nobody):
        return JobPage((), has_more=False)
    key_id = None if isinstance(owner, Everyone) else owner.key_id
    try:
        return await store.list(key_id, query.wanted, order=query.order, after=query.after, limit=query.limit)
    except JobNotFound:
        raise InvalidRequest(
            "after must be the id of a job in this list. The job may have expired: start again without after.",
            param="after",
        ) from None


def page_reply(page: JobPage, visible: tuple[Job, ...] | None = None) -> Reply:
    """Render a page of envelopes without results.

    Args:
        page: As the store returned it; its last job is the cursor of the next one.
        visible: The jobs of the page that the caller may see; default: all.
    """
    jobs = page.jobs if visible is None else visible
    envelopes = [envelope(job, with_result=False) for job in jobs]
    return list_reply(envelopes, more=page.has_more, last_id=page.jobs[-1].id if page.jobs else None)


def list_parameters(*, admin: bool = False) -> dict[str, Any]:
    """Describe the query parameters of a list of jobs for OpenAPI; ``openapi_extra`` of its route."""
    words = {"status": tuple(STATUSES), "type": tuple(BY_NAME), "priority": tuple(map(str, Priority))}
    described = {**_DESCRIPTIONS, **(_ADMIN_DESCRIPTIONS if admin else {})}
    lists = [_list_parameter(name, *text, words.get(name)) for name, text in described.items()]
    return {"parameters": [*lists, *_PAGE_PARAMETERS]}


def _list_parameter(name: str, description: str, example: str, words: Sequence[str] | None) -> dict[str, Any]:
    items: Mapping[str, Any] = {"type": "string", "enum": list(words)} if words else {"type": "string"}
    single = name.startswith(("created_", "min_", "max_"))
    schema = dict(items) if single else {"type": "array", "items": items}
    value = example if single else [example]
    return {"name": name, "in": "query", "description": description, "schema": schema, "example": value}


_DESCRIPTIONS = {
    "status": ("Status of the envelope. Repeat it, and most other parameters, for alternatives.", "failed"),
    "type": ("Request type of the envelope.", "chat.completions"),
    "model": ("Model as requested.", "openai/gpt-4o"),
    "provider": ("Provider that answered, was tried last, or will be asked.", "openai"),
    "code": ("Error code of the outcome.", "deadline_exceeded"),
    "priority": ("Priority.", "high"),
    "label": ("A label as `<name>:<value>`: a dimension, or a pair of `metadata`. Every one must match.", "app:search"),
    "created_after": ("Created after this time: RFC 3339 or Unix seconds.", "2026-11-28T09:00:00Z"),
    "created_before": ("Created before this time: RFC 3339 or Unix seconds.", "1764320400"),
    "min_cost_usd": ("Cost of at least this many USD.", "0.01"),
    "max_cost_usd": ("Cost of at most this many USD.", "1.5"),
}
_ADMIN_DESCRIPTIONS = {
    "key": ("Id of the virtual key that submitted it.", "team-a"),
    "team": ("Team of that key.", "search"),
    "customer": ("Customer of that key.", "acme"),
}
_PAGE_PARAMETERS = (
    {
        "name": "order",
        "in": "query",
        "description": "By creation: newest first (`desc`) or oldest first.",
        "schema": {"type": "string", "enum": ["desc", "asc"], "default": "desc"},
    },
    {
        "name": "after",
        "in": "query",
        "description": "`last_id` of the previous page.",
        "schema": {"type": "string"},
    },
    {
        "name": "limit",
        "in": "query",
        "description": "Jobs per page.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 20},
    },
)

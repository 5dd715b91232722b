"""Lists of jobs: their query parameters, and pages of envelopes."""

from dataclasses import dataclass

from api.http.request_context import Reply, json_reply
from shared.errors import InvalidRequest, JobNotFound
from shared.jobs.model import Job, State
from shared.jobs.store import JobPage, JobStore
from shared.surfaces.envelope import envelope, states_of

DEFAULT_LIMIT = 20
MAX_LIMIT = 100


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which part of a list is wanted; ``states`` empty: any."""

    states: tuple[State, ...]
    model: str
    after: str
    limit: int


def read_query(status: str | None, model: str | None, after: str | None, limit: str | None) -> ListQuery:
    """Check a list's query parameters.

    Raises:
        InvalidRequest: One of them is not understood; ``param`` names it.
    """
    states: tuple[State, ...] = ()
    if status:
        states = tuple(State(name) for name in states_of(status))
        if not states:
            raise InvalidRequest(
                "status must be one of pending, processing, completed, failed, cancelled.", param="status"
            )
    if model is not None and len(model) > 256:
        raise InvalidRequest("model is longer than 256 characters.", param="model")
    return ListQuery(states, model or "", after or "", read_limit(limit))


def read_limit(text: str | None) -> int:
    """How many entries a page may have; absent: 20.

    Raises:
        InvalidRequest: It is no number from 1 to 100.
    """
    if not text:
        return DEFAULT_LIMIT
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_LIMIT:
        return int(text)
    raise InvalidRequest(f"limit must be a whole number from 1 to {MAX_LIMIT}.", param="limit")


async def list_jobs(store: JobStore, owner: str | None, query: ListQuery) -> JobPage:
    """A page of an owner's jobs, newest first.

    Raises:
        InvalidRequest: The cursor names no job of the list (any more).
    """
    try:
        pages = [
            await store.list(owner, state=state, model=query.model, after=query.after, limit=query.limit)
            for state in query.states or (None,)
        ]
    except JobNotFound:
        raise InvalidRequest(
            "after must be the id of a job in this list; it may have expired, so begin again without it.", param="after"
        ) from None
    if len(pages) == 1:
        return pages[0]
    jobs = sorted((job for page in pages for job in page.jobs), key=lambda job: -job.created_ms)
    more = any(page.has_more for page in pages) or len(jobs) > query.limit
    return JobPage(tuple(jobs[: query.limit]), has_more=more)


def page_reply(page: JobPage, document: tuple[Job, ...] | None = None) -> Reply:
    """OpenAI's list object, of envelopes without results.

    Args:
        page: As it came; its last job is the cursor of the next one.
        shown: Those of its jobs that the caller may see; default: all.
    """
    jobs = page.jobs if document is None else document
    return json_reply(
        {
            "object": "list",
            "data": [envelope(job, with_result=False) for job in jobs],
            "first_id": jobs[0].id if jobs else None,
            "last_id": page.jobs[-1].id if page.jobs else None,
            "has_more": page.has_more,
        }
    )

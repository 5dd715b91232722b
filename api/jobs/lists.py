"""Lists of jobs: query parameters and pages of envelopes."""

from dataclasses import dataclass

from api.http.ownership import Everyone, ListOwner, Nobody
from api.http.query import list_reply, read_limit
from api.http.request_context import Reply
from shared.errors import InvalidRequest, JobNotFound
from shared.jobs.model import Job, State
from shared.jobs.store import JobPage, JobStore
from shared.surfaces.envelope import envelope, states_of


@dataclass(frozen=True, slots=True)
class JobListQuery:
    """The requested part of a list; ``states`` empty: any."""

    states: tuple[State, ...]
    model: str
    after: str
    limit: int


def read_job_list_query(status: str | None, model: str | None, after: str | None, limit: str | None) -> JobListQuery:
    """Parse the query parameters of a list of jobs.

    Raises:
        InvalidRequest: One of them is invalid; ``param`` names it.
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
    return JobListQuery(states, model or "", after or "", read_limit(limit))


async def list_jobs(store: JobStore, owner: ListOwner, query: JobListQuery) -> JobPage:
    """Read a page of an owner's jobs, newest first.

    Raises:
        InvalidRequest: The cursor is not, or no longer, a job in the list.
    """
    if isinstance(owner, Nobody):
        return JobPage((), has_more=False)
    key_id = None if isinstance(owner, Everyone) else owner.key_id
    try:
        pages = [
            await store.list(key_id, state=state, model=query.model, after=query.after, limit=query.limit)
            for state in query.states or (None,)
        ]
    except JobNotFound:
        raise InvalidRequest(
            "after must be the id of a job in this list. The job may have expired: start again without after.",
            param="after",
        ) from None
    if len(pages) == 1:
        return pages[0]
    jobs = sorted((job for page in pages for job in page.jobs), key=lambda job: -job.created_ms)
    more = any(page.has_more for page in pages) or len(jobs) > query.limit
    return JobPage(tuple(jobs[: query.limit]), has_more=more)


def page_reply(page: JobPage, visible: tuple[Job, ...] | None = None) -> Reply:
    """Render a page of envelopes without results.

    Args:
        page: As the store returned it; its last job is the cursor of the next one.
        visible: The jobs of the page that the caller may see; default: all.
    """
    jobs = page.jobs if visible is None else visible
    envelopes = [envelope(job, with_result=False) for job in jobs]
    return list_reply(envelopes, more=page.has_more, last_id=page.jobs[-1].id if page.jobs else None)

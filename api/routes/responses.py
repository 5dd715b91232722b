"""Responses by their id: jobs and what is kept are ours, all others belong to the provider that made them."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import orjson

from api.http.disconnect import Hangup
from api.http.request_context import (
    SCOPE_KEY,
    App,
    Receive,
    Reply,
    RequestContext,
    Scope,
    Send,
    drain,
    json_reply,
    send_reply,
)
from api.jobs.async_mode import find, find_and_wait
from api.jobs.background_stream import asked_for_stream, check_streamed, send_response_stream
from api.jobs.replies import native_reply
from api.services import Services, services_of
from shared.errors import InvalidRequest, JobNotFound
from shared.inference.conversations import Kept
from shared.jobs.model import Job, State
from shared.surfaces.request_types import RESPONSES
from shared.surfaces.response_ids import is_ours
from shared.surfaces.responses.event_log import check_resumable
from shared.surfaces.responses.items import input_items_page, stored_input

_CANNOT_CANCEL = {
    State.COMPLETED: "Cannot cancel a completed response.",
    State.FAILED: "Cannot cancel a failed response.",
}


class ResponseById:
    """``/responses/{id}`` and what is below it.

    Args:
        action: ``retrieve``, ``delete``, ``cancel`` or ``input_items``.
        elsewhere: Serves ids that are not ours.
    """

    def __init__(self, action: str, elsewhere: App) -> None:
        self._action = action
        self._elsewhere = elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises:
            JobNotFound: An id of ours that is unknown, expired or another caller's.
        """
        response_id: str = scope["path_params"]["response_id"]
        if not is_ours(response_id):
            await self._elsewhere(scope, receive, send)
            return
        context: RequestContext = scope[SCOPE_KEY]
        context.surface, context.request_type = "openai", RESPONSES.name
        services = services_of(scope)
        context.caller = await services.governance.identify(context.headers)
        await drain(receive)
        query = scope.get("query_string", b"")
        kept = await _kept(services, context, response_id)
        if kept is not None:
            await send_reply(send, await self._act_on_kept(services, context, kept, query))
            return
        if self._action == "retrieve":
            starting_after = asked_for_stream(query)
            if starting_after is not None:
                job = await find(services, context.caller, response_id, RESPONSES)
                check_streamed(job)
                with Hangup(receive):
                    await send_response_stream(send, services, job, starting_after)
                return
            job = await find_and_wait(services, context, response_id, RESPONSES, receive)
            await send_reply(send, native_reply(job))
            return
        job = await find(services, context.caller, response_id, RESPONSES)
        context.job_id = job.id
        await send_reply(send, await self._act(services, job, query))

    async def _act(self, services: Services, job: Job, query: bytes) -> Reply:
        if self._action == "cancel":
            return native_reply(await _cancel(services, job))
        if self._action == "delete":
            return await _delete(services, job)
        payload = await services.store.payload(job.id)
        if payload is None:
            raise JobNotFound(job.id)
        return _page(stored_input(orjson.loads(payload), job.id), query)

    async def _act_on_kept(self, services: Services, context: RequestContext, kept: Kept, query: bytes) -> Reply:
        """Serve a response that was answered at once."""
        conversations = services.inference.conversations
        assert conversations is not None  # noqa: S101 - it is kept there
        if self._action == "cancel":
            raise InvalidRequest("Cannot cancel a synchronous response.")
        if self._action == "delete":
            await conversations.delete(kept.response["id"])
            return _deleted(kept.response["id"])
        if self._action == "input_items":
            return _page(await conversations.input_of(kept, context.caller), query)
        if asked_for_stream(query) is not None:
            check_resumable(background=False, streamed=False)
        return json_reply(kept.response)


async def _kept(services: Services, context: RequestContext, response_id: str) -> Kept | None:
    """A response that is kept and is no job: of a job, its record tells more."""
    conversations = services.inference.conversations
    if conversations is None or await services.store.get(response_id) is not None:
        return None
    return await conversations.find(response_id, context.caller)


def _page(items: Sequence[Mapping[str, Any]], query: bytes) -> Reply:
    wanted = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
    return json_reply(input_items_page(items, wanted.get("after"), wanted.get("limit"), wanted.get("order")))


def _deleted(response_id: str) -> Reply:
    return json_reply({"id": response_id, "object": "response", "deleted": True})


async def _cancel(services: Services, job: Job) -> Job:
    if job.live:
        job = await services.store.cancel(job.id)
    if job.state is not State.CANCELLED:
        raise InvalidRequest(_CANNOT_CANCEL[job.state])
    return job


async def _delete(services: Services, job: Job) -> Reply:
    if job.live:
        raise InvalidRequest("Cannot delete an in-flight response.")
    if not await services.store.delete(job.id):
        raise JobNotFound(job.id)
    if services.inference.conversations is not None:
        await services.inference.conversations.delete(job.id)
    return _deleted(job.id)

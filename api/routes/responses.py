"""Responses by id: the gateway serves jobs and stored responses; any other id belongs to the provider that made it."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from api.endpoints.base import AsgiEndpoint
from api.http.bodies import drain
from api.http.disconnect import Hangup
from api.http.query import read_query
from api.http.request_context import Receive, Reply, RequestContext, Scope, Send, json_reply, send_reply
from api.jobs.async_mode import find, find_and_wait
from api.jobs.background_stream import asked_for_stream, check_streamed, send_response_stream
from api.jobs.replies import native_reply
from api.services import Services
from shared.errors import InvalidRequest, JobNotFound
from shared.inference.conversations import StoredResponse
from shared.jobs.model import Job, State
from shared.surfaces.request_types import RESPONSES
from shared.surfaces.response_ids import is_ours
from shared.surfaces.responses.event_log import check_resumable
from shared.surfaces.responses.items import input_items_page, stored_input

_CANNOT_CANCEL = {
    State.COMPLETED: "Cannot cancel a completed response.",
    State.FAILED: "Cannot cancel a failed response.",
}


class ResponseById(AsgiEndpoint):
    """``/responses/{id}`` and the paths below it.

    Args:
        action: ``retrieve``, ``delete``, ``cancel`` or ``input_items``.
        passthrough: Serves ids that the gateway did not make.
    """

    administrable = "always"

    def __init__(self, action: str, passthrough: AsgiEndpoint) -> None:
        super().__init__("openai", RESPONSES.name)
        self._action = action
        self._passthrough = passthrough

    async def handle(
        self, services: Services, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a request.

        Raises:
            JobNotFound: The gateway's id is unknown, expired or another caller's.
        """
        response_id: str = scope["path_params"]["response_id"]
        if not is_ours(response_id):
            await self._passthrough.take_over(services, context, scope, receive, send)
            return
        await drain(receive)
        query = scope.get("query_string", b"")
        stored = await _find_stored(services, context, response_id)
        if stored is not None:
            await send_reply(send, await self._act_on_stored(services, context, stored, query))
        elif self._action == "retrieve":
            await _retrieve(services, context, response_id, query=query, receive=receive, send=send)
        else:
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

    async def _act_on_stored(
        self, services: Services, context: RequestContext, stored: StoredResponse, query: bytes
    ) -> Reply:
        """Serve a stored response that was answered synchronously."""
        conversations = services.inference.conversations
        assert conversations is not None  # noqa: S101 - it was found there
        if self._action == "cancel":
            raise InvalidRequest("Cannot cancel a synchronous response.")
        if self._action == "delete":
            await conversations.delete(stored.response["id"], stored.owner)
            return _deleted(stored.response["id"])
        if self._action == "input_items":
            return _page(await conversations.input_of(stored, context.caller), query)
        if asked_for_stream(query) is not None:
            check_resumable(background=False, streamed=False)
        return json_reply(stored.response)


async def _retrieve(
    services: Services, context: RequestContext, response_id: str, *, query: bytes, receive: Receive, send: Send
) -> None:
    """Send a background response: as a stream where the query asks for one, else as it stands."""
    starting_after = asked_for_stream(query)
    if starting_after is None:
        job = await find_and_wait(services, context, response_id, RESPONSES, receive)
        await send_reply(send, native_reply(job))
        return
    job = await find(services, context.caller, response_id, RESPONSES)
    check_streamed(job)
    with Hangup(receive):
        await send_response_stream(send, services, job, starting_after)


async def _find_stored(services: Services, context: RequestContext, response_id: str) -> StoredResponse | None:
    """The stored response of that id, unless it is a job: a job's record holds more."""
    conversations = services.inference.conversations
    if conversations is None or await services.store.get(response_id) is not None:
        return None
    return await conversations.find(response_id, context.caller)


def _page(items: Sequence[Mapping[str, Any]], raw_query: bytes) -> Reply:
    query = read_query(raw_query)
    return json_reply(input_items_page(items, query.get("after"), query.get("limit"), query.get("order")))


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
        await services.inference.conversations.delete(job.id, job.owner)
    return _deleted(job.id)

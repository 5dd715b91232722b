"""Responses by their id: the jobs among them are ours, all others belong to the provider that made them."""

import re
from urllib.parse import parse_qs

import orjson

from api.async_mode import find, find_and_wait
from api.background_stream import asked_for_stream, check_streamed, send_response_stream
from api.disconnect import Hangup
from api.exchange import KEY, App, Facts, Receive, Reply, Scope, Send, drain, json_reply, send_reply
from api.job_replies import native_reply
from api.services import Services, services_of
from shared.errors import InvalidRequest, JobNotFound
from shared.jobs.model import Job, State
from shared.wire.request_types import RESPONSES
from shared.wire.response_ids import is_minted
from shared.wire.responses.items import input_items_page, stored_input

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CANNOT_CANCEL = {
    State.COMPLETED: "Cannot cancel a completed response.",
    State.FAILED: "Cannot cancel a failed response.",
}


def is_ours(response_id: str) -> bool:
    """Whether an id can only be one of our jobs: it is then never asked of a provider."""
    return is_minted(response_id) or _UUID.fullmatch(response_id) is not None


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
        facts: Facts = scope[KEY]
        facts.surface, facts.request_type = "openai", RESPONSES.name
        services = services_of(scope)
        facts.caller = await services.governance.identify(facts.headers)
        await drain(receive)
        if self._action == "retrieve":
            starting_after = asked_for_stream(scope.get("query_string", b""))
            if starting_after is not None:
                job = await find(services, facts.caller, response_id, RESPONSES)
                check_streamed(job)
                with Hangup(receive):
                    await send_response_stream(send, services, job, starting_after)
                return
            job = await find_and_wait(services, facts, response_id, RESPONSES, receive)
            await send_reply(send, native_reply(job))
            return
        job = await find(services, facts.caller, response_id, RESPONSES)
        facts.job_id = job.id
        await send_reply(send, await self._act(services, job, scope.get("query_string", b"")))

    async def _act(self, services: Services, job: Job, query: bytes) -> Reply:
        if self._action == "cancel":
            return native_reply(await _cancel(services, job))
        if self._action == "delete":
            return await _delete(services, job)
        payload = await services.store.payload(job.id)
        if payload is None:
            raise JobNotFound(job.id)
        wanted = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
        items = stored_input(orjson.loads(payload), job.id)
        return json_reply(input_items_page(items, wanted.get("after"), wanted.get("limit"), wanted.get("order")))


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
    return json_reply({"id": job.id, "object": "response", "deleted": True})

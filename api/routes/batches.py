"""``/batches``: those whose file is kept here are run here, all others by the provider that has the file."""

import hashlib

import orjson

from api.files.ownership import list_owner, read_limit, read_query, unknown_cursor
from api.http.dimensions import dimensions_of
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
    read_body,
    send_reply,
)
from api.jobs.async_headers import submit_options
from api.routes.files import (
    check_lifetime,
    find_file,
    has_batches,
    list_reply,
    names_provider,
    replayed,
    without_cursor,
)
from api.services import Services, services_of
from shared.batches.keys import is_our_batch, is_our_file
from shared.batches.lines import ENDPOINTS, endpoint_of
from shared.batches.model import Batch, Status
from shared.batches.store import BatchPage, NewBatch, no_such_batch
from shared.errors import Conflict, InvalidRequest
from shared.providers.registry import DEFAULT_PROVIDER
from shared.surfaces.request_body import read_object
from shared.surfaces.responses.metadata import check_metadata

MAX_LIST = 100
DEFAULT_LIST = 20


class BatchCreate:
    """``POST /batches``.

    Args:
        elsewhere: Serves batches of files that are not ours.
    """

    def __init__(self, elsewhere: App) -> None:
        self._elsewhere = elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises:
            GatewayError: The batch is not taken.
        """
        context: RequestContext = scope[SCOPE_KEY]
        services = services_of(scope)
        context.caller = await services.governance.identify(context.headers)
        body = await read_body(receive)
        if not _is_of_our_file(body):
            await self._elsewhere(scope, replayed(body, receive), send)
            return
        context.surface, context.request_type = "openai", "batches"
        new = await _new_batch(services, context, body)
        batch = await services.batches.create(new)
        await send_reply(send, json_reply(batch.as_object()))


def _is_of_our_file(body: bytes) -> bool:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    file_id = said.get("input_file_id") if isinstance(said, dict) else None
    return isinstance(file_id, str) and is_our_file(file_id)


async def _new_batch(services: Services, context: RequestContext, body: bytes) -> NewBatch:
    said = read_object(body)
    endpoint = endpoint_of(said.get("endpoint"))
    if not endpoint:
        raise InvalidRequest(f"endpoint must be one of {', '.join(ENDPOINTS)}.", param="endpoint")
    if said.get("completion_window") != "24h":
        raise InvalidRequest("completion_window must be 24h.", param="completion_window")
    check_metadata(said.get("metadata"))
    options = submit_options(context, services.settings)
    file_ttl_s = _file_ttl_s(services, said.get("output_expires_after"))
    file = await find_file(services, context, said["input_file_id"])
    if file.purpose != "batch":
        raise InvalidRequest("The file must have been uploaded with the purpose batch.", param="input_file_id")
    caller = context.caller
    return NewBatch(
        owner=caller.key_id,
        endpoint=endpoint,
        input=file.id,
        metadata=said.get("metadata"),
        webhook=options.webhook,
        scope=caller.scope or caller.key_id,
        fingerprint=hashlib.sha256(body).hexdigest(),
        idempotency_key=options.idempotency_key,
        blind_retry=options.blind_retry,
        file_ttl_s=file_ttl_s,
        dimensions=dimensions_of(context.headers),
    )


def _file_ttl_s(services: Services, said: object) -> int:
    if said is None:
        return services.settings.files.ttl_s
    if not isinstance(said, dict) or said.get("anchor") != "created_at":
        raise InvalidRequest(
            'output_expires_after must be an object with the anchor "created_at" and seconds.',
            param="output_expires_after",
        )
    return check_lifetime(said.get("seconds"), "output_expires_after.seconds")


class BatchList:
    """``GET /batches``: ours, and after the last of them the default provider's."""

    def __init__(self, elsewhere: App) -> None:
        self._elsewhere = elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises:
            InvalidRequest: A parameter is not understood.
        """
        context: RequestContext = scope[SCOPE_KEY]
        services = services_of(scope)
        context.caller = await services.governance.identify(context.headers)
        said = read_query(scope.get("query_string", b""))
        after = said.get("after", "")
        if names_provider(context, said) or (after and not is_our_batch(after)):
            await self._elsewhere(scope, receive, send)
            return
        context.surface, context.request_type = "openai", "batches"
        limit = read_limit(said.get("limit"), most=MAX_LIST, default=DEFAULT_LIST)
        owner = await list_owner(services, context.caller)
        found = BatchPage((), has_more=False)
        if owner is not None:
            page = await services.batches.page(owner, after=after, limit=limit)
            if page is None:
                raise unknown_cursor()
            found = page
        others = has_batches(services, DEFAULT_PROVIDER)
        if others and not found.batches:
            await self._elsewhere(without_cursor(scope), receive, send)
            return
        await drain(receive)
        await send_reply(
            send, list_reply([batch.as_object() for batch in found.batches], more=found.has_more or others)
        )


class BatchById:
    """``/batches/{id}`` and ``/batches/{id}/cancel``.

    Args:
        action: ``retrieve`` or ``cancel``.
        elsewhere: Serves ids that are not ours.
    """

    def __init__(self, action: str, elsewhere: App) -> None:
        self._action = action
        self._elsewhere = elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises:
            NotFound: An id of ours that is unknown, expired or another caller's.
            Conflict: A batch is to be cancelled that has ended.
        """
        batch_id: str = scope["path_params"]["batch_id"]
        if not is_our_batch(batch_id):
            await self._elsewhere(scope, receive, send)
            return
        context: RequestContext = scope[SCOPE_KEY]
        context.surface, context.request_type = "openai", "batches"
        services = services_of(scope)
        context.caller = await services.governance.identify(context.headers)
        await drain(receive)
        batch = await services.batches.get(batch_id)
        if batch is None or not context.caller.may_see(batch.owner):
            raise no_such_batch(batch_id)
        if self._action == "cancel":
            batch = await services.batches.cancel(batch_id)
        await send_reply(send, _reply(batch, cancelling=self._action == "cancel"))


def _reply(batch: Batch, *, cancelling: bool) -> Reply:
    if cancelling and batch.status not in {Status.CANCELLING, Status.CANCELLED}:
        raise Conflict(
            f"Cannot cancel a batch with status '{batch.status}'.", code="batch_not_cancellable", should_retry=False
        )
    return json_reply(batch.as_object())

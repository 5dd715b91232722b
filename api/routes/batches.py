"""``/batches``: the gateway runs batches of files that it stores; all others go to the provider that has the file."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

from api.endpoints.base import AsgiEndpoint
from api.endpoints.merged_list import MergedList, Page
from api.files.stored import check_lifetime, find_file
from api.http.bodies import drain, max_json_values, parse_object, read_body, replay
from api.http.dimensions import dimensions_of
from api.http.ownership import Nobody, Owner, list_owner
from api.http.query import read_limit, unknown_cursor
from api.http.request_context import Receive, Reply, RequestContext, Scope, Send, json_reply, send_reply
from api.http.runs import run_of
from api.jobs.async_headers import submit_options
from api.services import Services
from shared.background import LARGE_BYTES
from shared.batches.keys import is_our_batch, is_our_file
from shared.batches.lines import ENDPOINTS, endpoint_of
from shared.batches.model import Batch, Status
from shared.batches.store import NewBatch, no_such_batch
from shared.errors import Conflict, InvalidRequest
from shared.surfaces.responses.metadata import check_metadata


class BatchCreate(AsgiEndpoint):
    """``POST /batches``.

    Args:
        passthrough: Serves batches of files that the gateway does not store.
    """

    def __init__(self, passthrough: AsgiEndpoint) -> None:
        super().__init__("openai", "batches")
        self._passthrough = passthrough

    async def handle(
        self, services: Services, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a request.

        Raises:
            GatewayError: The batch is not accepted.
        """
        body = await read_body(receive)
        fields = await _fields_of_our_batch(body, max_json_values(scope))
        if fields is None:
            await self._passthrough.take_over(services, context, scope, replay(body, receive), send)
            return
        batch = await services.batches.create(await _new_batch(services, context, fields, await _digest(body)))
        await send_reply(send, json_reply(batch.as_object()))


async def _fields_of_our_batch(body: bytes, max_values: int) -> dict[str, Any] | None:
    """Return the fields of a request for a batch of a file that the gateway stores, None for any other body."""
    try:
        fields = await parse_object(body, max_values)
    except InvalidRequest:
        return None
    file_id = fields.get("input_file_id")
    return fields if isinstance(file_id, str) and is_our_file(file_id) else None


async def _digest(body: bytes) -> str:
    if len(body) <= LARGE_BYTES:
        return hashlib.sha256(body).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, body)).hexdigest()  # 50 MB take 0.1 s


async def _new_batch(services: Services, context: RequestContext, fields: dict[str, Any], digest: str) -> NewBatch:
    endpoint = endpoint_of(fields.get("endpoint"))
    if not endpoint:
        raise InvalidRequest(f"endpoint must be one of {', '.join(ENDPOINTS)}.", param="endpoint")
    if fields.get("completion_window") != "24h":
        raise InvalidRequest("completion_window must be 24h.", param="completion_window")
    check_metadata(fields.get("metadata"))
    options = submit_options(context, services.settings)
    file_ttl_s = _file_ttl_s(services, fields.get("output_expires_after"))
    caller = context.caller
    file = await find_file(services, caller, fields["input_file_id"])
    if file.purpose != "batch":
        raise InvalidRequest("The file must have been uploaded with the purpose batch.", param="input_file_id")
    return NewBatch(
        owner=caller.key_id,
        endpoint=endpoint,
        input=file.id,
        metadata=fields.get("metadata"),
        webhook=options.webhook,
        scope=caller.scope or caller.key_id,
        fingerprint=digest,
        idempotency_key=options.idempotency_key,
        blind_retry=options.blind_retry,
        file_ttl_s=file_ttl_s,
        dimensions=dimensions_of(context.headers, context.caller),
        run=run_of(context.headers, fields),
    )


def _file_ttl_s(services: Services, expiry: object) -> int:
    if expiry is None:
        return services.settings.files.ttl_s
    if not isinstance(expiry, dict) or expiry.get("anchor") != "created_at":
        raise InvalidRequest(
            'output_expires_after must be an object with the anchor "created_at" and seconds.',
            param="output_expires_after",
        )
    return check_lifetime(expiry.get("seconds"), "output_expires_after.seconds")


class BatchList(MergedList):
    """``GET /batches``: the gateway's, and after the last of them the default provider's."""

    def __init__(self, passthrough: AsgiEndpoint) -> None:
        super().__init__("batches", passthrough)

    def is_ours(self, cursor: str) -> bool:
        """Whether the gateway made this id."""
        return is_our_batch(cursor)

    async def page(self, services: Services, context: RequestContext, query: Mapping[str, str]) -> Page:
        """Read a page of the caller's batches, newest first.

        Raises:
            InvalidRequest: ``limit`` or ``after`` is invalid.
        """
        limit = read_limit(query.get("limit"))
        owner = await list_owner(services.governance, context.caller)
        if isinstance(owner, Nobody):
            return [], False
        # The store has no list of everyone's batches: an administrator's and a single tenant's are those without a key.
        key_id = owner.key_id if isinstance(owner, Owner) else ""
        page = await services.batches.page(key_id, after=query.get("after", ""), limit=limit)
        if page is None:
            raise unknown_cursor()
        return [batch.as_object() for batch in page.batches], page.has_more


class BatchById(AsgiEndpoint):
    """``/batches/{id}`` and ``/batches/{id}/cancel``.

    Args:
        action: ``retrieve`` or ``cancel``.
        passthrough: Serves ids that the gateway did not make.
    """

    administrable = "always"

    def __init__(self, action: str, passthrough: AsgiEndpoint) -> None:
        super().__init__("openai", "batches")
        self._action = action
        self._passthrough = passthrough

    async def handle(
        self, services: Services, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a request.

        Raises:
            NotFound: The gateway's id is unknown, expired or another caller's.
            Conflict: The batch to be cancelled has ended.
        """
        batch_id: str = scope["path_params"]["batch_id"]
        if not is_our_batch(batch_id):
            await self._passthrough.take_over(services, context, scope, receive, send)
            return
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

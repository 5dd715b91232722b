"""Webhooks as callers see them: the deliveries of their jobs, and the secret that signs callbacks to their URLs."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.admin.audited import AuditedRoute
from api.endpoints.deps import CallerDep, ContextDep, ServicesDep, as_response
from api.http.query import list_reply, read_limit
from api.http.request_context import NO_STORE, AuditEvent, json_reply
from api.http.webhook_models import DeliveryList, SecretAnswer
from api.jobs.async_mode import find
from shared.errors import JobNotFound, VirtualKeyRequired
from shared.governance.keys.caller import Caller
from shared.jobs.keys import is_job_id
from shared.webhooks.model import Delivery, without_secrets
from shared.webhooks.store import DeliveryFilter

router = APIRouter(tags=["jobs"], route_class=AuditedRoute)

Text = Annotated[str | None, Query(max_length=256)]


@router.get(
    "/v1/async/jobs/{job_id}/deliveries", summary="List the webhook deliveries of a job", response_model=DeliveryList
)
async def list_of_job(
    job_id: str, services: ServicesDep, caller: CallerDep, after: Text = None, limit: Text = None
) -> Response:
    """Newest first, each with its attempts: time, status, milliseconds and the beginning of the answer.

    They are kept for longer than the job itself: seven days after the last attempt, unless configured otherwise.
    """
    if not is_job_id(job_id):
        raise JobNotFound(job_id)
    found, more = await services.deliveries.find(
        DeliveryFilter(job_id=job_id), after=after or "", limit=read_limit(limit)
    )
    own = [delivery for delivery in found if caller.admin or delivery.owner == caller.key_id]
    if not own:
        await find(services, caller, job_id)  # its owner sees an empty list, everybody else that there is no such job
    return as_response(list_reply([_visible(delivery, caller) for delivery in own], more=more and bool(own)))


@router.get(
    "/v1/webhooks/secret", summary="Get the secret that signs your callbacks to URLs", response_model=SecretAnswer
)
async def own_secret(services: ServicesDep, caller: CallerDep, context: ContextDep) -> Response:
    """The calling virtual key's own. Configured webhooks have secrets of their own, known to their operators."""
    if not caller.key_id and not caller.admin:
        raise VirtualKeyRequired(
            "Each virtual key has a secret of its own. The one for calls without a key is at /api/webhooks/secret."
        )
    context.audit_event = AuditEvent("webhook secret")
    secret = await services.webhook_secrets.of_key(caller.key_id)
    return as_response(json_reply({"secret": secret}, headers=(NO_STORE,)))


def _visible(delivery: Delivery, caller: Caller) -> dict[str, object]:
    """Return a delivery as its caller may see it: a configured URL may hold the operator's credentials."""
    document = delivery.to_dict()
    return document if caller.admin or not delivery.webhook else document | {"url": without_secrets(delivery.url)}

"""``/api/webhooks``: deliveries, test events, and the secrets that sign them."""

import secrets
from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ContextDep, ServicesDep, as_response
from api.http.query import list_reply, read_limit, refuse_unknown
from api.http.request_context import NO_STORE, AuditEvent, json_reply
from api.http.webhook_models import DeliveryAnswer, DeliveryList, RotationAnswer, SecretAnswer
from api.services import Services
from shared import clock
from shared.errors import InvalidRequest, WebhookNotFound
from shared.settings.model import WebhookSettings
from shared.webhooks.events import delivery_of_test
from shared.webhooks.model import Status
from shared.webhooks.slack import as_received
from shared.webhooks.store import DeliveryFilter

router = admin_router("/api/webhooks")

Text = Annotated[str | None, Query(max_length=256)]
_PARAMETERS = ("status", "webhook", "job", "event", "after", "limit")


@router.get(
    "/secret", summary="Get the secret that signs callbacks of calls without a virtual key", response_model=SecretAnswer
)
async def secret(services: ServicesDep, context: ContextDep) -> Response:
    """For receivers of ``x-bf-async-webhook: <URL>``. Virtual keys and configured webhooks have their own secrets."""
    context.audit_event = AuditEvent("webhook secret")  # reading it is audited: whoever knows it can sign
    found = await services.webhook_secrets.of_key("")
    return as_response(json_reply({"secret": found}, headers=(NO_STORE,)))


@router.get("/deliveries", summary="List webhook deliveries, newest first", response_model=DeliveryList)
async def list_deliveries(
    *,
    request: Request,
    services: ServicesDep,
    status: Text = None,
    webhook: Text = None,
    job: Text = None,
    event: Text = None,
    after: Text = None,
    limit: Text = None,
) -> Response:
    """A page of deliveries with their attempts; pass its ``last_id`` as ``after`` for the next page.

    ``status`` is ``pending``, ``delivered`` or ``failed``; ``webhook`` the name of a configured one; ``job`` the id of
    a job or batch; ``event`` a type such as ``async_job.completed``.
    """
    refuse_unknown(request.query_params, _PARAMETERS)
    if status and status not in set(Status):
        raise InvalidRequest(f"status must be one of {', '.join(Status)}.", param="status")
    only = DeliveryFilter(status=status or "", webhook=webhook or "", job_id=job or "", event=event or "")
    found, more = await services.deliveries.find(only, after=after or "", limit=read_limit(limit))
    return as_response(list_reply([delivery.to_dict() for delivery in found], more=more))


@router.get("/deliveries/{delivery_id}", summary="Get a webhook delivery", response_model=DeliveryAnswer)
async def get_delivery(delivery_id: str, services: ServicesDep) -> Response:
    """The event, where it goes, and each attempt to send it."""
    return as_response(json_reply((await services.deliveries.get(delivery_id)).to_dict()))


@router.post(
    "/deliveries/{delivery_id}/redeliver", summary="Send an event again", response_model=DeliveryAnswer, status_code=202
)
async def redeliver(delivery_id: str, services: ServicesDep) -> Response:
    """Sends it now, whatever became of it, also to a disabled endpoint; then it is retried as a new one.

    Receivers know a repeated event by its ``webhook-id``.
    """
    return as_response(json_reply((await services.deliveries.redeliver(delivery_id)).to_dict(), 202))


@router.post("/{name}/test", summary="Send a test event to a webhook", response_model=DeliveryAnswer, status_code=202)
async def send_test(name: str, services: ServicesDep) -> Response:
    """Sends an event of type ``webhook.test``; get the delivery by its id to see what was answered.

    A disabled endpoint that accepts it is enabled again.
    """
    configured = _configured(services, name)
    new = delivery_of_test(name, configured.url, secrets.token_hex(16))
    await services.deliveries.add(as_received(new, configured))
    return as_response(json_reply((await services.deliveries.get(new.id)).to_dict(), 202))


@router.post(
    "/{name}/rotate-secret", summary="Rotate the secret that signs a webhook's events", response_model=RotationAnswer
)
async def rotate_secret(name: str, services: ServicesDep) -> Response:
    """The new secret, returned only this once. Events carry the signatures of both for a day."""
    _configured(services, name)
    rotation = await services.webhook_secrets.rotate(name)
    document = {"secret": rotation.secret, "previous_expires_at": clock.rfc3339_ms(rotation.previous_until_ms)}
    return as_response(json_reply(document, headers=(NO_STORE,)))


def _configured(services: Services, name: str) -> WebhookSettings:
    webhooks = services.settings.webhooks
    if name not in webhooks:
        raise WebhookNotFound(name, webhooks)
    return webhooks[name]

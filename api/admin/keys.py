"""``/api/keys``: virtual keys, made and ended at run time. A value is shown once, in the answer that made it."""

from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from api.admin.access import admin_router
from api.admin.key_bodies import KeyChange, KeyRotation, NewKey, said_in
from api.http.deps import ContextDep, ServicesDep, as_response
from api.http.request_context import AuditEvent, HeaderLine, Reply, json_reply
from api.jobs.lists import read_limit
from api.services import Services
from shared import clock
from shared.errors import InvalidRequest, KeyNotFound, UnknownProvider
from shared.governance.forecasts.limit_status import limit_status_of
from shared.governance.keys.model import VirtualKey, caller_of_key
from shared.governance.keys.store import KeyFilter
from shared.governance.ledger.reports import Reports
from shared.governance.limits.guard import LimitGuard
from shared.settings.model import KeyRules

router = admin_router("/api/keys")

Text = Annotated[str | None, Query()]
_STATUSES = ("active", "revoked", "expired")
_NOT_KEPT: HeaderLine = (b"cache-control", b"no-store")


@router.post("", summary="Make a virtual key", status_code=201)
async def create(body: NewKey, services: ServicesDep, context: ContextDep) -> Response:
    """The key and its value, which is told this once."""
    context.audit_event = AuditEvent("", {"name": body.name})
    _check_fallbacks(services, body)
    said = said_in(body)
    key, value = await services.keys.create(body.name, said)
    context.audit_event = AuditEvent(key.id, {"name": body.name, **said})
    return as_response(_told_once(key, value, 201))


@router.get("", summary="List virtual keys, the configured ones first, then by age")
async def list_all(
    *,
    services: ServicesDep,
    team: Text = None,
    customer: Text = None,
    status: Text = None,
    after: Text = None,
    limit: Text = None,
) -> Response:
    """A page of keys; the next one starts ``after`` the ``last_id`` of this one."""
    if status and status not in _STATUSES:
        raise InvalidRequest(f"status must be one of {', '.join(_STATUSES)}.", param="status")
    only = KeyFilter(team=team or "", customer=customer or "", status=status or "")
    try:
        keys, more = await services.keys.list(after=after or "", limit=read_limit(limit), only=only)
    except KeyNotFound:
        raise InvalidRequest("after must be the id of a key; it may be gone, so begin again.", param="after") from None
    ids = [key.id for key in keys]
    page = {
        "object": "list",
        "data": [_document(key) for key in keys],
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": more,
    }
    return as_response(json_reply(page))


@router.get("/{key_id}", summary="A virtual key")
async def show(key_id: str, services: ServicesDep) -> Response:
    """What it may use and spend; never its value."""
    return as_response(json_reply(_document(await services.keys.get(key_id))))


@router.get("/{key_id}/limits", summary="How a virtual key's limits stand")
async def limits(key_id: str, services: ServicesDep) -> Response:
    """Its own limits, its team's and its customer's: used, reserved, left; of budgets also where they are heading."""
    key = await services.keys.get(key_id)
    caller = caller_of_key(key, services.settings)
    guard, reports = LimitGuard(services.commands), Reports(services.commands)
    found = await limit_status_of(guard, reports, caller.limits, clock.now())
    return as_response(json_reply({"object": "list", "id": key.id, "data": found}))


@router.patch("/{key_id}", summary="Change a virtual key")
async def change(key_id: str, body: KeyChange, services: ServicesDep, context: ContextDep) -> Response:
    """Replaces what is said, within a second everywhere; jobs that wait have their new share and limit at once."""
    said = said_in(body)
    context.audit_event = AuditEvent(key_id, {"name": body.name, **said} if body.name else said)
    if not said and not body.name:
        raise InvalidRequest("Nothing to be changed is said.", param="body")
    _check_fallbacks(services, body)
    key = await services.keys.change(key_id, said, name=body.name)
    if {"weight", "max_concurrent_jobs"} & said.keys():
        await services.queue.reweigh(key.id, key.settings.weight, key.settings.max_concurrent_jobs or 0)
    return as_response(json_reply(_document(key)))


@router.post("/{key_id}/rotate", summary="Give a virtual key a new value")
async def rotate(key_id: str, services: ServicesDep, context: ContextDep, body: KeyRotation | None = None) -> Response:
    """The new value, told this once; the ones before it work for ``grace_s`` more seconds."""
    grace_s = body.grace_s if body else 0
    context.audit_event = AuditEvent(key_id, {"grace_s": grace_s})
    key, value = await services.keys.rotate(key_id, grace_s=grace_s)
    return as_response(_told_once(key, value))


@router.post("/{key_id}/revoke", summary="End a virtual key for good")
async def revoke(key_id: str, services: ServicesDep) -> Response:
    """Within a second nobody takes it any more, and its jobs that wait fail; its record stays."""
    return as_response(json_reply(_document(await services.keys.revoke(key_id))))


@router.delete("/{key_id}", summary="Remove a virtual key")
async def delete(key_id: str, services: ServicesDep) -> Response:
    """Ends it and forgets it; what it spent stays in the books."""
    await services.keys.delete(key_id)
    return as_response(json_reply({"id": key_id, "object": "virtual_key", "deleted": True}))


def _document(key: VirtualKey) -> dict[str, Any]:
    return {"object": "virtual_key", **key.to_dict()}


def _told_once(key: VirtualKey, value: str, status: int = 200) -> Reply:
    return json_reply({**_document(key), "value": value}, status, (_NOT_KEPT,))


def _check_fallbacks(services: Services, body: KeyRules) -> None:
    """A fallback that leads nowhere would fail every call of the key.

    Raises:
        InvalidRequest: One does.
    """
    settings = services.settings
    for name in body.fallbacks:
        if name in settings.aliases or name in settings.routes:
            continue
        try:
            services.inference.providers.resolve(name)
        except UnknownProvider as error:
            raise InvalidRequest(f"fallbacks: {error.message}", param="fallbacks") from None

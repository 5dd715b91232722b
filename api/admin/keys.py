"""``/api/keys``: create, change and revoke virtual keys at run time. A value is returned once, when it is created."""

from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from api.admin.access import admin_router
from api.admin.key_bodies import KeyChange, KeyRotation, LimitRaise, NewKey, settings_in
from api.endpoints.cache_purges import cache_store
from api.endpoints.deps import ContextDep, ServicesDep, as_response
from api.http.query import list_reply, read_limit
from api.http.request_context import NO_STORE, AuditEvent, Reply, json_reply
from api.services import Services
from api.usage.limits import limit_status
from api.usage.models import RaisedLimit
from shared.cache.identity import scope_hash
from shared.cache.purge import Purge
from shared.errors import InvalidRequest, KeyNotFound, UnknownProvider
from shared.governance.keys.model import VirtualKey, caller_of_key
from shared.governance.keys.store import KeyFilter
from shared.governance.limits.model import MICRO
from shared.governance.limits.raises import Raise, Raises
from shared.settings.model import KeyRules

router = admin_router("/api/keys")

Text = Annotated[str | None, Query()]
_STATUSES = ("active", "revoked", "expired")


@router.post("", summary="Create a virtual key", status_code=201)
async def create(body: NewKey, services: ServicesDep, context: ContextDep) -> Response:
    """The key with its value, which is returned only this once."""
    context.audit_event = AuditEvent("", {"name": body.name})
    _check_fallbacks(services, body)
    settings = settings_in(body)
    key, value = await services.keys.create(body.name, settings)
    await services.governance.keys_changed()
    context.audit_event = AuditEvent(key.id, {"name": body.name, **settings})
    return as_response(_with_value(key, value, 201))


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
    """A page of keys; pass its ``last_id`` as ``after`` for the next page."""
    if status and status not in _STATUSES:
        raise InvalidRequest(f"status must be one of {', '.join(_STATUSES)}.", param="status")
    only = KeyFilter(team=team or "", customer=customer or "", status=status or "")
    try:
        keys, more = await services.keys.list(after=after or "", limit=read_limit(limit), only=only)
    except KeyNotFound:
        raise InvalidRequest(
            "after must be the id of a key. The key may have been deleted: start again without after.", param="after"
        ) from None
    return as_response(list_reply([_document(key) for key in keys], more=more))


@router.get("/{key_id}", summary="Get a virtual key")
async def show(key_id: str, services: ServicesDep) -> Response:
    """Its permissions and limits; never its value."""
    return as_response(json_reply(_document(await services.keys.get(key_id))))


@router.get("/{key_id}/limits", summary="Get the status of a virtual key's limits")
async def limits(key_id: str, services: ServicesDep) -> Response:
    """Limits of the key, its team and its customer: used, reserved and remaining, and a forecast for budgets."""
    key = await services.keys.get(key_id)
    caller = caller_of_key(key, services.settings)
    return as_response(
        json_reply({"object": "list", "id": key.id, "data": await limit_status(services, caller.limits)})
    )


@router.post("/{key_id}/limits/raise", summary="Raise a budget for a time", response_model=RaisedLimit)
async def raise_limit(key_id: str, body: LimitRaise, services: ServicesDep, context: ContextDep) -> Response:
    """The limit's status. A second raise of a budget replaces the first; it is over by itself at `until`."""
    context.audit_event = AuditEvent(key_id, body.model_dump(mode="json"))
    limits = caller_of_key(await services.keys.get(key_id), services.settings).limits
    budgets = {limit.id: limit for limit in limits if limit.is_budget}
    limit = budgets.get(body.limit)
    if limit is None:
        named = f"its budgets: {', '.join(budgets)}" if budgets else "it has no budget"
        raise InvalidRequest(f"limit must be the id of a budget of this key; {named}.", param="limit")
    more = Raise(round(body.amount_usd * MICRO), round(body.until.timestamp() * 1000), body.reason)
    if not await Raises(services.commands).add(limit, more):
        raise InvalidRequest("until must be in the future.", param="until")
    (status,) = await limit_status(services, (limit,))
    return as_response(json_reply(status))


@router.patch("/{key_id}", summary="Change a virtual key")
async def change(key_id: str, body: KeyChange, services: ServicesDep, context: ContextDep) -> Response:
    """Replaces the given settings, everywhere within a second; queued jobs get a new weight or limit at once."""
    settings = settings_in(body)
    context.audit_event = AuditEvent(key_id, {"name": body.name, **settings} if body.name else settings)
    if not settings and not body.name:
        raise InvalidRequest("The request contains no changes.", param="body")
    _check_fallbacks(services, body)
    key = await services.keys.change(key_id, settings, name=body.name)
    if {"weight", "max_concurrent_jobs"} & settings.keys():
        await services.queue.reweigh(key.id, key.settings.weight, key.settings.max_concurrent_jobs or 0)
    return as_response(json_reply(_document(key)))


@router.post("/{key_id}/rotate", summary="Rotate a virtual key")
async def rotate(key_id: str, services: ServicesDep, context: ContextDep, body: KeyRotation | None = None) -> Response:
    """The new value, returned only this once; the previous ones keep working for ``grace_s`` seconds."""
    grace_s = body.grace_s if body else 0
    context.audit_event = AuditEvent(key_id, {"grace_s": grace_s})
    key, value = await services.keys.rotate(key_id, grace_s=grace_s)
    return as_response(_with_value(key, value))


@router.post("/{key_id}/revoke", summary="Revoke a virtual key")
async def revoke(key_id: str, services: ServicesDep) -> Response:
    """Within a second the key is refused everywhere, and its queued jobs fail; its record remains."""
    return as_response(json_reply(_document(await services.keys.revoke(key_id))))


@router.delete("/{key_id}", summary="Delete a virtual key")
async def delete(key_id: str, services: ServicesDep) -> Response:
    """Revokes the key and removes its record and its stored answers; its spending stays in the ledger."""
    await services.keys.delete(key_id)
    await cache_store(services).purge(Purge(scope=scope_hash("key", key_id)))
    await services.governance.keys_changed()
    return as_response(json_reply({"id": key_id, "object": "virtual_key", "deleted": True}))


def _document(key: VirtualKey) -> dict[str, Any]:
    return {"object": "virtual_key", **key.to_dict()}


def _with_value(key: VirtualKey, value: str, status: int = 200) -> Reply:
    return json_reply({**_document(key), "value": value}, status, (NO_STORE,))


def _check_fallbacks(services: Services, body: KeyRules) -> None:
    """Check that every fallback exists: an unknown one would fail all calls of the key.

    Raises:
        InvalidRequest: A fallback's provider is unknown.
    """
    settings = services.settings
    for name in body.fallbacks:
        if name in settings.aliases or name in settings.routes:
            continue
        try:
            services.inference.providers.resolve(name)
        except UnknownProvider as error:
            raise InvalidRequest(f"fallbacks: {error.message}", param="fallbacks") from None

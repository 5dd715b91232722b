"""Administrators: who may do what under ``/api``, by the admin key, a token or a session."""

import hmac
from collections.abc import Mapping

from starlette.requests import Request

from api.http.request_context import SCOPE_KEY, RequestContext
from api.services import Services, services_of
from shared.errors import AdminKeyRequired, RoleTooLow
from shared.governance.keys.authenticate import caller_for
from shared.governance.keys.roles import Administrator, Permission, Role, roles_with

_REFUSED = "This endpoint requires the admin key or an API token, sent as `Authorization: Bearer <admin key>`."


async def authorise(request: Request, permission: Permission) -> None:
    """Let those pass whose role has a permission: by the admin key, an API token, or as a person who signed in.

    Raises:
        AdminKeyRequired: The request has neither, or a wrong one.
        RoleTooLow: The role does not have the permission.
        TooManyAttempts: Too many wrong keys or tokens came from this address.
        StoreUnavailable: A token or session cannot be read.
    """
    context: RequestContext = request.scope[SCOPE_KEY]
    context.surface = "api"
    services = services_of(request.scope)
    administrator = await _administrator_of(services, context.headers, permission)
    if administrator is None:
        fingerprint = services.governance.fingerprint_of(context.headers)
        services.attempts.wrong(services.addresses.of(request.scope), fingerprint)
        raise AdminKeyRequired(_refusal_of(services, bool(fingerprint)))
    if not administrator.may(permission):
        raise RoleTooLow(
            f"{request.method} {request.url.path[:200]} needs the role {roles_with(permission)}; "
            f"{administrator.name or 'this token'} has the role {administrator.role.value}."
        )
    context.caller = caller_for(administrator)


async def _administrator_of(
    services: Services, headers: Mapping[bytes, bytes], permission: Permission
) -> Administrator | None:
    """Who sends a request; a session is looked up before keys and tokens."""
    if b"cookie" in headers:
        session = await services.sessions.of_request(headers)
        if session is not None and session.administrator is not None:
            return session.administrator
    if services.governance.is_admin(headers):
        return Administrator("", Role.ADMIN)
    monitoring = services.settings.auth.monitoring_token if permission is Permission.MONITOR else None
    expected = b"Bearer " + monitoring.get_secret_value().encode() if monitoring else b""
    if expected and hmac.compare_digest(headers.get(b"authorization", b""), expected):
        return Administrator("monitoring token", Role.MONITORING)
    for secret in services.governance.secrets_in(headers):
        holder = await services.tokens.holder_of(secret)
        if holder is not None:
            return holder
    return None


def _refusal_of(services: Services, has_key: bool) -> str:
    """Say what is wrong: no key exists, none was sent, or another one."""
    if not services.governance.has_admin_key:
        return f"{_REFUSED} No admin key is configured: set FINOPS_ADMIN_KEY or auth.admin_key."
    if has_key:
        return f"{_REFUSED} The key of this request is neither."
    return _REFUSED

"""Identifies the caller of a request, and counts wrong keys."""

from contextlib import suppress

from api.http.request_context import RequestContext, Scope
from api.services import Services
from shared.errors import TooManyAttempts, VirtualKeyNotFound, VirtualKeyRequired
from shared.governance.keys.authenticate import ADMINISTRATOR
from shared.governance.keys.caller import Caller


async def caller_of(services: Services, context: RequestContext, scope: Scope, *, administrable: bool) -> Caller:
    """Return the caller that the request's headers identify.

    Args:
        services: The application's.
        context: The request's.
        scope: The request's, for the client's address.
        administrable: Whether the admin key is accepted as well: only to read or end what callers made.

    Raises:
        VirtualKeyNotFound, VirtualKeyRequired, VirtualKeyBlocked, StoreUnavailable: As ``Authenticator.identify``.
        TooManyAttempts: Too many wrong keys came from the client's address.
    """
    governance = services.governance
    try:
        caller = await governance.identify(context.headers)
    except (VirtualKeyNotFound, VirtualKeyRequired):
        if administrable and governance.is_admin(context.headers):
            return ADMINISTRATOR
        services.key_attempts.wrong(services.addresses.of(scope), governance.fingerprint_of(context.headers))
        raise
    if administrable and not caller.key_id and not caller.admin and _has_admin_key(services, context, scope):
        return ADMINISTRATOR
    return caller


def _has_admin_key(services: Services, context: RequestContext, scope: Scope) -> bool:
    """Whether a request without a virtual key carries the admin key.

    Where keys are not required, any other bearer is a caller without a key and not a mistake. So it is never refused,
    but beyond the limit of guesses its key is not compared any more; ``/api`` compares it always.
    """
    governance = services.governance
    fingerprint = governance.fingerprint_of(context.headers)
    if not fingerprint:
        return False
    address = services.addresses.of(scope)
    if not services.attempts.allows(address, fingerprint):
        return False
    if governance.is_admin(context.headers):
        return True
    with suppress(TooManyAttempts):
        services.attempts.wrong(address, fingerprint)
    return False

"""What the endpoints that are plain functions ask for; the hot ones take the same from the scope."""

from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import Response

from api.http.request_context import SCOPE_KEY, Reply, RequestContext
from api.services import Services, services_of
from shared.errors import AdminKeyRequired
from shared.governance.keys.authenticate import ADMINISTRATOR
from shared.governance.keys.caller import Caller


def _services(request: Request) -> Services:
    return services_of(request.scope)


def _facts(request: Request) -> RequestContext:
    context: RequestContext = request.scope[SCOPE_KEY]
    return context


async def _identify(request: Request) -> Caller:
    context = _facts(request)
    context.caller = await _services(request).governance.identify(context.headers)
    return context.caller


async def require_admin(request: Request) -> None:
    """Let only administrators pass.

    Raises:
        AdminKeyRequired: The admin key was not shown.
        TooManyAttempts: Too many wrong ones came from this address.
    """
    context = _facts(request)
    context.surface = "api"
    services = _services(request)
    document = services.governance.fingerprint_of(context.headers)
    address = request.client.host if request.client else ""
    if not document or not services.attempts.allow(address, document):
        raise AdminKeyRequired(_REFUSED)
    if not services.governance.is_admin(context.headers):
        services.attempts.wrong(address, document)
        raise AdminKeyRequired(_REFUSED)
    context.caller = ADMINISTRATOR


_REFUSED = "This needs the admin key, as `Authorization: Bearer <admin key>`."


async def _services_now(request: Request) -> Services:
    return _services(request)


async def _facts_now(request: Request) -> RequestContext:
    return _facts(request)


# Coroutines all: plain functions would run in a thread each.
ServicesDep = Annotated[Services, Depends(_services_now)]
ContextDep = Annotated[RequestContext, Depends(_facts_now)]
CallerDep = Annotated[Caller, Depends(_identify)]


def as_response(reply: Reply) -> Response:
    """A reply as the framework wants it."""
    response = Response(reply.body, reply.status)
    response.raw_headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
    return response

"""FastAPI dependencies of the endpoints that are plain functions."""

from typing import Annotated

from fastapi import Depends, Request

from api.endpoints.callers import caller_of
from api.endpoints.replies import as_response
from api.http.request_context import SCOPE_KEY, RequestContext
from api.services import Services, services_of
from shared.governance.keys.caller import Caller

__all__ = ["CallerDep", "ContextDep", "ServicesDep", "TenantDep", "as_response"]


# All are coroutines: FastAPI runs plain functions in a thread each.
async def _services(request: Request) -> Services:
    return services_of(request.scope)


async def _context(request: Request) -> RequestContext:
    context: RequestContext = request.scope[SCOPE_KEY]
    return context


ServicesDep = Annotated[Services, Depends(_services)]
ContextDep = Annotated[RequestContext, Depends(_context)]


async def _identify(services: ServicesDep, context: ContextDep, request: Request) -> Caller:
    context.caller = await caller_of(services, context, request.scope, administrable=True)
    return context.caller


CallerDep = Annotated[Caller, Depends(_identify)]


async def _identify_tenant(services: ServicesDep, context: ContextDep, request: Request) -> Caller:
    context.caller = await caller_of(services, context, request.scope, administrable=False)
    return context.caller


TenantDep = Annotated[Caller, Depends(_identify_tenant)]
"""The caller of a request that makes something: the admin key is not accepted."""

"""Bulk operations on a caller's own jobs: ``/v1/async/jobs/bulk`` and ``/v1/async/operations``."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.admin.audited import AuditedRoute
from api.endpoints.deps import CallerDep, ContextDep, ServicesDep, as_response
from api.http.bodies import read_bounded_body
from api.http.operation_models import ACCEPTED, OperationAnswer
from api.http.ownership import list_owner
from api.http.request_context import AuditEvent, json_reply
from api.jobs.bulk import ADMIN_MAKER, MAX_BODY_BYTES, bulk, bulk_body, read_bulk
from api.services import Services
from shared.governance.keys.caller import Caller
from shared.jobs.operation import Operation
from shared.jobs.operations import no_such_operation

router = APIRouter(prefix="/v1/async", tags=["jobs"], route_class=AuditedRoute)


@router.post(
    "/jobs/bulk",
    summary="Cancel, retry, delete or reprioritize many jobs",
    responses=ACCEPTED,
    openapi_extra=bulk_body(),
)
async def bulk_own(request: Request, services: ServicesDep, context: ContextDep, caller: CallerDep) -> Response:
    """Acts on all jobs of the key that match the filter when it begins. The workers do it, each job once.

    A retry is admitted under the limits of the job's key. With `dry_run` nothing is changed.
    """
    asked = read_bulk(await read_bounded_body(request.receive, MAX_BODY_BYTES), admin=caller.admin)
    context.audit_event = AuditEvent("bulk", {"action": str(asked.action), "dry_run": asked.dry_run})
    owner = await list_owner(services.governance, caller)
    maker = ADMIN_MAKER if caller.admin else caller.key_id
    return as_response(await bulk(services, asked, owner, maker))


@router.get("/operations/{operation_id}", summary="Get a bulk operation", response_model=OperationAnswer)
async def get_operation(operation_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Its progress; it is kept for seven days after its end."""
    return as_response(json_reply((await _find(services, caller, operation_id)).to_dict()))


@router.post("/operations/{operation_id}/cancel", summary="Cancel a bulk operation", response_model=OperationAnswer)
async def cancel_operation(operation_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """What it has done stays done; the other jobs count as skipped. One that has ended stays as it is."""
    await _find(services, caller, operation_id)
    return as_response(json_reply((await services.operations.cancel(operation_id)).to_dict()))


async def _find(services: Services, caller: Caller, operation_id: str) -> Operation:
    operation = await services.operations.get(operation_id)
    if not caller.may_see(operation.maker):
        raise no_such_operation(operation_id)
    return operation

"""Bulk operations on all callers' jobs: ``/api/jobs/bulk`` and ``/api/operations``."""

from fastapi import Request
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ContextDep, ServicesDep, as_response
from api.http.operation_models import ACCEPTED, OperationAnswer
from api.http.ownership import Everyone
from api.http.request_context import AuditEvent, json_reply
from api.jobs.bulk import ADMIN_MAKER, bulk, bulk_body, read_bulk

router = admin_router("/api")


@router.post(
    "/jobs/bulk",
    summary="Cancel, retry, delete or reprioritize many callers' jobs",
    responses=ACCEPTED,
    openapi_extra=bulk_body(admin=True),
)
async def bulk_all(request: Request, services: ServicesDep, context: ContextDep) -> Response:
    """Acts on all jobs that match the filter when it begins. Retries are admitted under the limits of each job's key.

    With `dead` only jobs of the dead-letter list; `rate_per_s` bounds the speed of a redrive.
    """
    asked = read_bulk(await request.body(), admin=True)
    context.audit_event = AuditEvent("bulk", {"action": str(asked.action), "dry_run": asked.dry_run})
    return as_response(await bulk(services, asked, Everyone(), ADMIN_MAKER))


@router.get("/operations/{operation_id}", summary="Get any bulk operation", response_model=OperationAnswer)
async def get_any(operation_id: str, services: ServicesDep) -> Response:
    """Its progress; it is kept for seven days after its end."""
    return as_response(json_reply((await services.operations.get(operation_id)).to_dict()))


@router.post("/operations/{operation_id}/cancel", summary="Cancel any bulk operation", response_model=OperationAnswer)
async def cancel_any(operation_id: str, services: ServicesDep) -> Response:
    """What it has done stays done; the other jobs count as skipped. One that has ended stays as it is."""
    await services.operations.get(operation_id)
    return as_response(json_reply((await services.operations.cancel(operation_id)).to_dict()))

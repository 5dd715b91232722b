"""``/v1/async/schedules``: requests that become jobs at set times."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from api.admin.audited import AuditedRoute
from api.endpoints.deps import CallerDep, ContextDep, ServicesDep, TenantDep, as_response
from api.http.bodies import read_bounded_body
from api.http.ownership import Everyone, Nobody, list_owner
from api.http.query import list_reply, read_limit, unknown_cursor
from api.http.request_context import AuditEvent, json_reply
from api.http.schedule_models import REQUEST, DeletedSchedule, ScheduleAnswer, ScheduleList
from api.jobs.schedules import (
    MAX_BODY_BYTES,
    NewSchedule,
    ScheduleChanges,
    changed_schedule,
    new_schedule,
    next_firing,
)
from api.services import Services
from shared.governance.keys.caller import Caller
from shared.schedules.model import Schedule, Status
from shared.schedules.store import no_such_schedule

router = APIRouter(prefix="/v1/async/schedules", tags=["schedules"], route_class=AuditedRoute)

Text = Annotated[str | None, Query(max_length=256)]


def _body(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="{model}")
    content = {"schema": _inlined(schema, schema.pop("$defs", {})), "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 - any part of a JSON schema
    """Put each definition where it is referred to: a body described by hand has no place of its own for them."""
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"]], definitions)
    return {name: _inlined(value, definitions) for name, value in schema.items()}


_NEW = {
    "name": "morning report",
    "cron": "30 6 * * MON-FRI",
    "timezone": "Europe/Berlin",
    "request": REQUEST,
    "catch_up": "last",
    "max_active": 1,
}


@router.post(
    "",
    summary="Create a schedule",
    status_code=201,
    response_model=ScheduleAnswer,
    openapi_extra=_body(NewSchedule, _NEW),
)
async def create_schedule(request: Request, services: ServicesDep, context: ContextDep, caller: TenantDep) -> Response:
    """The request is checked as a submit of it. Each firing is one job of the calling key, under its limits.

    Its jobs have the label `schedule:<id>`.
    """
    body = await read_bounded_body(request.receive, MAX_BODY_BYTES)
    schedule = await new_schedule(services, context, body)
    made = await services.schedules.create(schedule, max_per_owner=services.settings.schedules.max_per_key)
    context.audit_event = AuditEvent(made.id) if caller.admin else None
    return as_response(json_reply(_shape(made, caller), 201))


@router.get("", summary="List your schedules", response_model=ScheduleList)
async def list_schedules(services: ServicesDep, caller: CallerDep, after: Text = None, limit: Text = None) -> Response:
    """Newest first; pass `last_id` as `after` for the next page."""
    owner = await list_owner(services.governance, caller)
    if isinstance(owner, Nobody):
        return as_response(list_reply([], more=False))
    key_id = None if isinstance(owner, Everyone) else owner.key_id
    page = await services.schedules.page(key_id, after=after or "", limit=read_limit(limit))
    if page is None:
        raise unknown_cursor()
    return as_response(list_reply([_shape(each, caller) for each in page.schedules], more=page.has_more))


@router.get("/{schedule_id}", summary="Get a schedule", response_model=ScheduleAnswer)
async def get_schedule(schedule_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """With its next and its last firing."""
    return as_response(json_reply(_shape(await _find(services, caller, schedule_id), caller)))


@router.patch(
    "/{schedule_id}",
    summary="Change a schedule",
    response_model=ScheduleAnswer,
    openapi_extra=_body(ScheduleChanges, {"cron": "0 7 * * *", "catch_up": "skip"}),
)
async def change_schedule(
    request: Request, schedule_id: str, services: ServicesDep, context: ContextDep, caller: CallerDep
) -> Response:
    """Absent fields stay; `name`, `timezone` and `max_active` may be null. New times count from now."""
    schedule = await _find(services, caller, schedule_id)
    body = await read_bounded_body(request.receive, MAX_BODY_BYTES)
    owner = await services.governance.owner(schedule.owner) if caller.admin else caller
    changed = await changed_schedule(services, context, schedule, owner, body)
    return as_response(json_reply(_shape(await services.schedules.redefine(changed), caller)))


@router.post("/{schedule_id}/pause", summary="Pause a schedule", response_model=ScheduleAnswer)
async def pause_schedule(schedule_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """It does not fire until it is resumed; its jobs stay. A paused one stays as it is."""
    schedule = await _find(services, caller, schedule_id)
    if schedule.status is Status.ACTIVE:
        schedule = await services.schedules.set_status(schedule, Status.PAUSED, 0)
    return as_response(json_reply(_shape(schedule, caller)))


@router.post("/{schedule_id}/resume", summary="Resume a schedule", response_model=ScheduleAnswer)
async def resume_schedule(schedule_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Firings of the time when it was paused are not made up for. An active one stays as it is."""
    schedule = await _find(services, caller, schedule_id)
    if schedule.status is Status.PAUSED:
        next_ms = await next_firing(schedule.resumed())
        schedule = await services.schedules.set_status(schedule, Status.ACTIVE, next_ms)
    return as_response(json_reply(_shape(schedule, caller)))


@router.delete("/{schedule_id}", summary="Delete a schedule", response_model=DeletedSchedule)
async def delete_schedule(schedule_id: str, services: ServicesDep, caller: CallerDep) -> Response:
    """Its jobs stay."""
    schedule = await _find(services, caller, schedule_id)
    await services.schedules.delete(schedule.id)
    return as_response(json_reply({"id": schedule.id, "object": "schedule", "deleted": True}))


async def _find(services: Services, caller: Caller, schedule_id: str) -> Schedule:
    schedule = await services.schedules.get(schedule_id)
    if not caller.may_see(schedule.owner):
        raise no_such_schedule(schedule_id)
    return schedule


def _shape(schedule: Schedule, caller: Caller) -> dict[str, Any]:
    return schedule.to_dict(with_owner=caller.admin)

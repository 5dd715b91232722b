"""``/api/queue/pauses``: keep waiting jobs from being claimed, and resume them."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, field_validator
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ContextDep, ServicesDep, as_response
from api.http.query import list_reply
from api.http.request_context import AuditEvent, json_reply
from shared import clock
from shared.jobs.pauses import Pause, check_scope
from shared.settings.section import Section

router = admin_router("/api/queue/pauses")


class NewPause(Section):
    """A pause to begin or change."""

    reason: Annotated[
        str, Field(min_length=1, max_length=500, description="Shown with the jobs that wait.", examples=["maintenance"])
    ]
    until: Annotated[AwareDatetime | None, Field(description="When it ends by itself: RFC 3339 or Unix seconds.")] = (
        None
    )

    @field_validator("until")
    @classmethod
    def _ahead(cls, value: datetime | None) -> datetime | None:
        if value is not None and value <= clock.now():
            raise ValueError("must be in the future")
        return value


@router.get("", summary="List the pauses of the queue")
async def list_pauses(services: ServicesDep) -> Response:
    """All pauses in force, by scope."""
    pauses = [_shape(pause) for pause in await services.pauses.list()]
    return as_response(list_reply(pauses, more=False))


@router.put("/{scope:path}", summary="Pause a part of the queue")
async def put_pause(scope: str, body: NewPause, services: ServicesDep, context: ContextDep) -> Response:
    """From its answer on, no worker claims a job of the scope. Running jobs finish; submits are accepted.

    The scope is `all`, `key:<id>`, `team:<name>`, `provider:<name>`, `model:<pattern>` or `priority:<name>`,
    percent-encoded. Deadlines of waiting jobs go on.
    """
    pause = Pause(
        scope=check_scope(scope),
        reason=body.reason,
        until_ms=None if body.until is None else round(body.until.timestamp() * 1000),
        created_ms=round(clock.now().timestamp() * 1000),
    )
    context.audit_event = AuditEvent(scope, {"reason": body.reason})
    await services.pauses.put(pause)
    return as_response(json_reply(_shape(pause)))


@router.delete("/{scope:path}", summary="Resume a part of the queue")
async def delete_pause(scope: str, services: ServicesDep) -> Response:
    """Its jobs are claimed again, in their old order; a caller's share does not grow by the time that it waited."""
    await services.pauses.delete(check_scope(scope))
    return as_response(json_reply({"id": scope, "object": "pause", "scope": scope, "deleted": True}))


def _shape(pause: Pause) -> dict[str, Any]:
    return {
        "id": pause.scope,
        "object": "pause",
        "scope": pause.scope,
        "reason": pause.reason,
        "until": None if pause.until_ms is None else clock.rfc3339_ms(pause.until_ms),
        "created_at": clock.rfc3339_ms(pause.created_ms),
    }

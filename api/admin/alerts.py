"""``/api/alerts``: alerts that were raised, the state of alert rules, and muting."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import AwareDatetime, Field, field_validator
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ContextDep, ServicesDep, as_response
from api.http.query import list_reply, read_limit
from api.http.request_context import AuditEvent, json_reply
from shared import clock
from shared.alerts.rules import MAX_MUTE_S, Mute
from shared.governance.forecasts.alerts import list_alerts
from shared.settings.section import Section

router = admin_router("/api/alerts")

Text = Annotated[str | None, Query(max_length=256)]
_DEFAULT_MUTE: Final = timedelta(days=1)
_RULE: Final[dict[str, object]] = {
    "id": "old-jobs",
    "object": "alert.rule",
    "metric": "queue_age",
    "condition": "queue_age above 60 for 120 s (high)",
    "status": "firing",
    "value": 75.2,
    "threshold": 60.0,
    "since": "2026-11-22T20:43:30.125Z",
    "evaluated_at": "2026-11-22T20:45:00.125Z",
    "muted": None,
    "webhooks": ["ops"],
}


def _described(description: str, example: dict[str, object]) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "object", "required": list(example)}
    return {200: {"description": description, "content": {"application/json": {"schema": schema, "example": example}}}}


_RULE_ANSWER: Final = _described("The rule and its state.", _RULE)
_RULES_ANSWER: Final = _described(
    "Every configured rule.",
    {"object": "list", "data": [_RULE], "first_id": "old-jobs", "last_id": "old-jobs", "has_more": False},
)


class NewMute(Section):
    """Why and until when a rule is muted."""

    reason: Annotated[str, Field(max_length=500, description="Shown with the rule.", examples=["maintenance"])] = ""
    until: Annotated[
        AwareDatetime | None,
        Field(description="When it ends by itself: RFC 3339 or Unix seconds, at most 90 days ahead; default: a day."),
    ] = None

    @field_validator("until")
    @classmethod
    def _ahead(cls, value: datetime | None) -> datetime | None:
        now = clock.now()
        if value is not None and not now < value <= now + timedelta(seconds=MAX_MUTE_S):
            raise ValueError("must be in the future, at most 90 days ahead")
        return value


@router.get("", summary="List alerts: budgets, unusual spending, disabled webhooks, and rules that fire or resolve")
async def list_all(
    services: ServicesDep,
    kind: Annotated[str | None, Query(alias="type", max_length=64)] = None,
    scope: Text = None,
    after: Text = None,
    limit: Text = None,
) -> Response:
    """A page, newest first; pass its ``last_id`` as ``after`` for the next page.

    Those of a rule have the scope `rule:<name>`.
    """
    size = read_limit(limit)
    alerts, more = await list_alerts(
        services.commands, kind=kind or "", scope=scope or "", after=after or "", limit=size
    )
    return as_response(list_reply([alert.to_dict() for alert in alerts], more=more))


@router.get("/rules", summary="List the alert rules and their states", responses=_RULES_ANSWER)
async def list_rules(services: ServicesDep) -> Response:
    """Every configured rule: its status (`ok`, `pending`, `firing`), its figure, and whether it is muted."""
    return as_response(list_reply([state.to_dict() for state in await services.alert_rules.list()], more=False))


@router.post("/{name}/mute", summary="Mute an alert rule", responses=_RULE_ANSWER)
async def mute_rule(name: str, services: ServicesDep, context: ContextDep, body: NewMute | None = None) -> Response:
    """Nobody is notified while it is muted, except that an alert sent before has ended.

    The rule is still evaluated and listed. When the mute ends while the rule fires, the alert is sent.
    """
    wanted = body or NewMute()
    until = wanted.until or clock.now() + _DEFAULT_MUTE
    context.audit_event = AuditEvent(name, {"reason": wanted.reason, "until": clock.rfc3339(until)})
    await services.alert_rules.mute(name, Mute(wanted.reason, round(until.timestamp() * 1000)))
    return as_response(json_reply((await services.alert_rules.get(name)).to_dict()))


@router.post("/{name}/unmute", summary="Unmute an alert rule", responses=_RULE_ANSWER)
async def unmute_rule(name: str, services: ServicesDep) -> Response:
    """An alert that still fires is sent at the next evaluation, within ten seconds."""
    await services.alert_rules.unmute(name)
    return as_response(json_reply((await services.alert_rules.get(name)).to_dict()))

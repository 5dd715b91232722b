"""Bulk operations as callers ask for them: the body of a bulk request, its dry run and its start."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.http.ownership import Everyone, ListOwner, Owner
from api.http.request_context import Reply, json_reply
from api.services import Services
from shared.errors import InvalidRequest
from shared.jobs.filters import ADMIN_PARAMETERS, PARAMETERS, JobFilter, read_filter
from shared.jobs.model import Priority
from shared.jobs.operation import Action, Operation, Scope
from shared.jobs.operations import mint_operation_id
from shared.surfaces.request_body import read_object
from shared.surfaces.request_types import BY_NAME

MAX_BODY_BYTES = 64 * 1024
MAX_RATE = 10_000
ADMIN_MAKER = "~admin"
FIELDS = ("action", "filter", "dry_run", "priority", "rate_per_s", "dead")


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRequest:
    """A bulk request.

    Attributes:
        params: The filter as given: values by parameter.
        wanted: The filter.
        dead: Only jobs of the dead-letter list.
    """

    action: Action
    params: Mapping[str, list[str]]
    wanted: JobFilter
    dry_run: bool
    priority: Priority | None
    rate_per_s: float
    dead: bool


def read_bulk(body: bytes, *, admin: bool) -> BulkRequest:
    """Parse the body of a bulk request.

    Args:
        body: As received.
        admin: Whether it is about all callers' jobs.

    Raises:
        InvalidRequest: It is not valid; ``param`` names the field.
    """
    fields = read_object(body)
    for name in fields:
        if name not in FIELDS:
            raise InvalidRequest(f"Unknown field {name[:60]!r}. Known: {', '.join(FIELDS)}.", param=name[:60])
    action = _action(fields.get("action"))
    params = _params(fields.get("filter"))
    dead = _flag(fields, "dead")
    if dead and not admin:
        raise InvalidRequest("Only administrators use the dead-letter list, at /api/jobs/bulk.", param="dead")
    return BulkRequest(
        action=action,
        params=params,
        wanted=read_filter(params, types=tuple(BY_NAME), admin=admin),
        dry_run=_flag(fields, "dry_run"),
        priority=_priority(action, fields.get("priority")),
        rate_per_s=_rate(fields.get("rate_per_s")),
        dead=dead,
    )


async def bulk(services: Services, request: BulkRequest, owner: ListOwner, maker: str) -> Reply:
    """Answer with a dry run's counts, or start an operation.

    Args:
        services: The application's.
        request: What to do.
        owner: Whose jobs.
        maker: Who may read and cancel the operation.

    Raises:
        RequestLimited: The maker has too many open operations.
        StoreUnavailable: No answer.
    """
    scope = Scope(everyone=isinstance(owner, Everyone), owner=owner.key_id if isinstance(owner, Owner) else "")
    if request.dry_run:
        tally = await services.operations.tally(scope, request.wanted, dead=request.dead)
        return json_reply({**tally.to_dict(), "action": str(request.action)})
    operation = await services.operations.create(
        Operation(
            id=mint_operation_id(),
            maker=maker,
            scope=scope,
            action=request.action,
            params=request.params,
            dead=request.dead,
            priority=request.priority,
            rate_per_s=request.rate_per_s,
        )
    )
    location = f"{'/api' if maker == ADMIN_MAKER else '/v1/async'}/operations/{operation.id}"
    return json_reply(operation.to_dict(), 202, ((b"location", location.encode()),))


def _action(value: object) -> Action:
    if value not in tuple(Action):
        raise InvalidRequest(f"action must be one of {', '.join(Action)}.", param="action")
    return Action(str(value))


def _params(value: object) -> dict[str, list[str]]:
    """Return the filter's values as the parameters of a list; numbers may stand for amounts and times."""
    if not isinstance(value, dict):
        raise InvalidRequest("filter must be an object of list parameters; {} selects all jobs.", param="filter")
    return {name: [_text(name, each) for each in (given if isinstance(given, list) else [given])]
            for name, given in value.items() if given is not None}  # fmt: skip


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return f"{value:.9f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    raise InvalidRequest(f"filter.{name[:60]} must be a text, or an array of texts.", param=f"filter.{name[:60]}")


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidRequest(f"{name} must be true or false.", param=name)


def _priority(action: Action, value: object) -> Priority | None:
    if action is not Action.REPRIORITIZE:
        if value is not None:
            raise InvalidRequest("priority belongs to the action reprioritize.", param="priority")
        return None
    if value not in tuple(Priority):
        raise InvalidRequest("priority must be high, normal or low.", param="priority")
    return Priority(str(value))


def _rate(value: object) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_RATE:
        raise InvalidRequest(
            f"rate_per_s must be a number of jobs a second above 0, at most {MAX_RATE}.", param="rate_per_s"
        )
    return float(value)


def bulk_body(*, admin: bool = False) -> dict[str, Any]:
    """Describe the body of a bulk request for OpenAPI; ``openapi_extra`` of its route."""
    names = (*PARAMETERS, *(ADMIN_PARAMETERS if admin else ()))
    value = {"oneOf": [{"type": ["string", "number"]}, {"type": "array", "items": {"type": "string"}}]}
    properties: dict[str, Any] = {
        "action": {"type": "string", "enum": [str(action) for action in Action]},
        "filter": {
            "type": "object",
            "additionalProperties": False,
            "properties": dict.fromkeys(names, value),
            "description": "The parameters of the list of jobs; `{}` selects all.",
        },
        "dry_run": {"type": "boolean", "description": "Only count: how many jobs, and their estimated cost."},
        "priority": {"type": "string", "enum": [str(each) for each in Priority], "description": "Of `reprioritize`."},
        "rate_per_s": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_RATE, "description": "Most jobs/s."},
    }
    example: dict[str, Any] = {"action": "cancel", "filter": {"label": ["app:search"], "status": "pending"}}
    if admin:
        properties["dead"] = {"type": "boolean", "description": "Only jobs of the dead-letter list."}
        example = {"action": "retry", "filter": {"provider": "openai"}, "dead": True, "rate_per_s": 50}
    schema = {
        "type": "object",
        "required": ["action", "filter"],
        "additionalProperties": False,
        "properties": properties,
    }
    content = {"application/json": {"schema": schema, "example": {**example, "dry_run": True}}}
    return {"requestBody": {"required": True, "content": content}}

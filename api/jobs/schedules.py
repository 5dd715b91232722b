"""Schedules as callers define them: the bodies of create and update, checked as a submit of the same request."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import Field, ValidationError

from api.http.request_context import RequestContext
from api.jobs.async_headers import DEADLINE, DELAY, PRIORITY, SUBMIT, TTL, WEBHOOK, submit_options
from api.jobs.async_mode import call_of, new_job, refuse_stream
from api.services import Services
from shared import clock
from shared.errors import InvalidRequest
from shared.governance.keys.caller import Caller
from shared.schedules.keys import mint_schedule_id
from shared.schedules.model import MAX_ACTIVE, Schedule, Status
from shared.schedules.template import to_json
from shared.schedules.times import MAX_CRON_CHARS, Timing, check_cron, check_zone
from shared.settings.errors import JSON, fault_of
from shared.settings.section import Section
from shared.surfaces.request_body import check_for_submit, read_object, read_request
from shared.surfaces.request_types import BY_NAME

MAX_BODY_BYTES = 256 * 1024
MAX_EVERY_S = 366 * 86_400
MAX_HEADERS = 32
MAX_HEADER_CHARS = 2048
_DIMENSION = b"x-bf-dim-"
# What a firing's request may carry; the rest means nothing without a caller who waits, or identifies one.
HEADERS = frozenset(
    {SUBMIT, PRIORITY, DELAY, DEADLINE, TTL, WEBHOOK}
    | {b"x-bf-run-id", b"x-bf-run-budget-usd", b"x-bf-session-id"}
    | {b"openai-beta", b"anthropic-beta", b"openai-safety-identifier"}
)
Changes = TypeVar("Changes", bound=Section)
Name = Annotated[str, Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]


class ScheduledRequest(Section):
    """The request of each firing."""

    type: Annotated[str, Field(description="Request type, as in the envelope of a job.", examples=["chat.completions"])]
    body: Annotated[dict[str, Any], Field(description="Request body of this type.")]
    headers: Annotated[
        dict[str, str],
        Field(
            default_factory=dict,
            max_length=MAX_HEADERS,
            description="Request headers, such as `x-bf-async-priority` or `x-bf-dim-app`.",
        ),
    ]


class ScheduleChanges(Section):
    """What of a schedule changes; absent fields stay."""

    name: Annotated[Name | None, Field(description="For people.")] = None
    cron: Annotated[
        str | None,
        Field(max_length=MAX_CRON_CHARS, description="Five fields; excludes `every_s`.", examples=["30 6 * * MON-FRI"]),
    ] = None
    every_s: Annotated[
        float | None, Field(strict=True, gt=0, le=MAX_EVERY_S, description="Seconds between firings; excludes `cron`.")
    ] = None
    timezone: Annotated[str | None, Field(max_length=64, description="IANA name, for `cron`; default UTC.")] = None
    request: ScheduledRequest | None = None
    catch_up: Annotated[
        Literal["skip", "last"] | None,
        Field(description="Firings at which no worker ran: `skip` all, or run the `last` one late."),
    ] = None
    max_active: Annotated[
        int | None,
        Field(strict=True, ge=1, le=MAX_ACTIVE, description="Skip a firing while so many of its jobs have not ended."),
    ] = None


class NewSchedule(ScheduleChanges):
    """A schedule to create: ``request``, and either ``cron`` or ``every_s``."""

    request: ScheduledRequest


async def new_schedule(services: Services, context: RequestContext, body: bytes) -> Schedule:
    """Make the schedule that the body of a create asks for.

    Raises:
        GatewayError: It is invalid, or a submit of its request would be refused.
    """
    given = _validated(NewSchedule, body)
    empty = Schedule(id=mint_schedule_id(), owner=context.caller.key_id, timing=Timing(), request={}, job={})
    return await _apply(services, context, empty, given, given.model_fields_set)


async def changed_schedule(
    services: Services, context: RequestContext, schedule: Schedule, owner: Caller, body: bytes
) -> Schedule:
    """Apply the body of an update.

    Args:
        services: The application's.
        context: The request's.
        schedule: As it was.
        owner: Whose limits a changed request is checked against.
        body: As received.

    Raises:
        GatewayError: It is invalid, or a submit of its request would be refused.
    """
    given = _validated(ScheduleChanges, body)
    if not given.model_fields_set:
        raise InvalidRequest(f"The body changes nothing. Known fields: {', '.join(ScheduleChanges.model_fields)}.")
    if "request" in given.model_fields_set and given.request is None:
        raise InvalidRequest("request must be an object.", param="request")
    asked_by, context.caller = context.caller, owner
    try:
        return await _apply(services, context, schedule, given, given.model_fields_set)
    finally:
        context.caller = asked_by


async def next_firing(schedule: Schedule, after_ms: int | None = None) -> int:
    """Return the next firing of an active schedule; 0 for a paused one.

    Raises:
        InvalidRequest: It never fires.
    """
    if schedule.status is not Status.ACTIVE:
        return 0
    after_ms = _now_ms() if after_ms is None else after_ms
    # In a thread: a time zone is read from a file.
    found = await asyncio.to_thread(schedule.timing.next_ms, after_ms)
    if found is None:
        raise InvalidRequest("cron has no firing within the next 50 years.", param="cron")
    return found


async def _apply(
    services: Services, context: RequestContext, schedule: Schedule, given: ScheduleChanges, fields: set[str]
) -> Schedule:
    if "name" in fields:
        schedule = replace(schedule, name=given.name or "")
    if "catch_up" in fields:
        schedule = replace(schedule, catch_up=given.catch_up or "skip")
    if "max_active" in fields:
        schedule = replace(schedule, max_active=given.max_active or 0)
    if given.request is not None:
        request = given.request
        job = await _job_of(services, context, request)
        stored = {"type": request.type, "body": request.body, "headers": request.headers}
        schedule = replace(schedule, request=stored, job=job)
    if not schedule.created_ms or fields & {"cron", "every_s", "timezone"}:
        timing = await _timing(services, schedule.timing, given, fields)
        schedule = replace(schedule, timing=timing)
        return replace(schedule, next_ms=await next_firing(schedule))
    return schedule


async def _timing(services: Services, before: Timing, given: ScheduleChanges, fields: set[str]) -> Timing:
    cron = given.cron if "cron" in fields else "" if given.every_s else before.cron
    every_s = given.every_s if "every_s" in fields else 0 if given.cron else before.every_s
    if bool(cron) == bool(every_s):
        raise InvalidRequest("Give either cron, with five fields, or every_s, a number of seconds.", param="cron")
    timezone = (given.timezone if "timezone" in fields else before.timezone) or "UTC"
    if not cron:
        least_s = services.settings.schedules.min_interval_s
        if (every_s or 0) < least_s:
            raise InvalidRequest(f"every_s must be at least {least_s:g} (schedules.min_interval_s).", param="every_s")
        await asyncio.to_thread(check_zone, timezone)
        return Timing(every_s=every_s or 0, timezone=timezone, anchor_ms=_now_ms())
    await asyncio.to_thread(check_cron, cron, timezone)
    return Timing(cron=" ".join(cron.split()), timezone=timezone)


async def _job_of(services: Services, context: RequestContext, given: ScheduledRequest) -> dict[str, Any]:
    """Check a request as a submit would, and return what is stored of its job."""
    request_type = BY_NAME.get(given.type)
    if request_type is None:
        raise InvalidRequest(f"request.type must be one of {', '.join(BY_NAME)}.", param="request.type")
    if request_type.form == "multipart":
        raise InvalidRequest(
            f"{given.type} cannot be scheduled: its requests are forms with files, not JSON.", param="request.type"
        )
    as_sent = RequestContext(context.request_id, _headers(given.headers), started=context.started)
    as_sent.caller, as_sent.surface = context.caller, "async"
    request = read_request(request_type, orjson.dumps(given.body), "application/json")
    refuse_stream(request)
    check_for_submit(request)
    options = submit_options(as_sent, services.settings)
    call = call_of(as_sent, request)
    await services.inference.authorise(call)
    return to_json(new_job(services, as_sent, request, call, options))


def _headers(given: Mapping[str, str]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in given.items():
        try:
            raw = name.strip().lower().encode("ascii"), value.encode("latin-1")
        except UnicodeEncodeError:
            raise InvalidRequest(f"The header {name[:60]!r} cannot be sent.", param="request.headers") from None
        if raw[0] not in HEADERS and not raw[0].startswith(_DIMENSION):
            known = ", ".join(sorted(header.decode() for header in HEADERS))
            raise InvalidRequest(
                f"The header {name[:60]!r} cannot be scheduled. Known: {known} and x-bf-dim-<name>.",
                param="request.headers",
            )
        if raw[0] in headers or len(value) > MAX_HEADER_CHARS or not value.isprintable():
            raise InvalidRequest(
                f"The header {name[:60]!r} must be given once, with at most {MAX_HEADER_CHARS} printable characters.",
                param="request.headers",
            )
        headers[raw[0]] = raw[1]
    return headers


def _validated(model: type[Changes], body: bytes) -> Changes:
    try:
        return model.model_validate(read_object(body))
    except ValidationError as error:
        first = error.errors()[0]
        param = ".".join(map(str, first["loc"]))[:100]
        raise InvalidRequest(f"{fault_of(first, model, JSON)}.", param=param) from None


def _now_ms() -> int:
    return round(clock.now().timestamp() * 1000)

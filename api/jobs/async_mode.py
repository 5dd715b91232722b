"""The ``x-bf-async`` switch: submit, poll and wait; none of them calls inference."""

import asyncio
from dataclasses import replace
from typing import Any

from api.http.dimensions import dimensions_of
from api.http.disconnect import Hangup
from api.http.headers import passed_headers
from api.http.request_context import Receive, RequestContext, header_lines
from api.http.routing_hints import SDK_TIMEOUT, TIMEOUT, limits, session_of
from api.http.runs import run_of
from api.jobs.async_headers import SubmitOptions, polled_id, submit_options, wait_s
from api.jobs.background import BACKGROUND_FIELDS, STREAM_FIELDS, background_options
from api.jobs.patience import gather, lane_of, with_lane
from api.services import Services
from shared.background import LARGE_BYTES, beside_loop
from shared.errors import GatewayError, InvalidRequest, JobNotFound
from shared.governance.keys.caller import Caller
from shared.governance.ledger.writer import who
from shared.governance.limits.guard import Reservation
from shared.inference.answer_cache import AnswerCache
from shared.inference.call import Call
from shared.inference.submission import PARKED
from shared.jobs.labels import metadata_labels
from shared.jobs.model import Job, NewJob
from shared.jobs.queue import Submission
from shared.jobs.shard_ids import mint_job_id
from shared.patience.lanes import LANE, Lane
from shared.providers.registry import DEFAULT_PROVIDER
from shared.surfaces.json_edits import with_members
from shared.surfaces.large_json import dump_object
from shared.surfaces.native_body import stored_type
from shared.surfaces.pending_bodies import echo_of
from shared.surfaces.request_body import RequestBody, check_for_submit, digest_of
from shared.surfaces.request_types import BY_NAME, RESPONSES, RequestType
from shared.surfaces.response_ids import mint_response_id

# A response may leave its model to a stored prompt: the default provider knows, its body goes on as it is.
_UNNAMED_MODEL = f"{DEFAULT_PROVIDER}/default"
# What of a job's context its caller may be answered with.
_PUBLIC_CONTEXT = frozenset({"echo", "stream", PARKED, LANE})


async def submit(
    services: Services, context: RequestContext, request: RequestBody, receive: Receive, *, native: bool = False
) -> Job:
    """Make a job of a request, and wait for its outcome as long as the caller asks.

    Args:
        services: The application's.
        context: The request's.
        request: What is to be run.
        receive: Tells of the caller's hanging up.
        native: Whether it was asked for in OpenAI's own way (``background: true``); it then has a response's id.

    Returns:
        The job; with ``Idempotency-Key`` or on an SDK's blind retry, the one that the same request made before.

    Raises:
        GatewayError: The request would be refused whatever happens, or no job is taken now.
    """
    submission, longest_s = await _accept(services, context, request, native=native)
    job = submission.job
    context.job_id = job.id
    services.metrics.submitted(job.request_type, created=submission.created)
    if not longest_s or not job.live:
        return job
    # Thousands may wait, with long prompts: what they sent is in the store by now.
    job = replace(job, context={name: value for name, value in job.context.items() if name in _PUBLIC_CONTEXT})
    del request, submission
    try:
        return await wait(services, context, job, longest_s, receive)
    except GatewayError:
        return job  # accepted all the same; the caller polls


async def _accept(
    services: Services, context: RequestContext, request: RequestBody, *, native: bool
) -> tuple[Submission, float]:
    """Check and store a request; what came of it, and how long its caller is ready to wait."""
    options = submit_options(context, services.settings)
    if native:
        options = background_options(options, request.fields, services.settings, context)
    if not native:
        refuse_stream(request)
    check_for_submit(request)
    call = call_of(context, request, services.inference.cache)
    await services.inference.authorise(call)
    lane = await lane_of(services.lanes, call, options)

    def show_limits(reservation: Reservation) -> None:
        context.lines += header_lines(reservation.headers())

    gathered = lane is not None and lane.lane is Lane.BATCH
    made = await beside_loop(
        request.raw, new_job, services, context, request, call, options, native=native, gathered=gathered
    )
    new = with_lane(made, lane)
    submission = await services.submitter.submit(call, new, show_limits)
    await gather(services.gathered, submission, new, lane)
    return submission, options.wait_s


def refuse_stream(request: RequestBody) -> None:
    """Refuse to make a job of a request for a stream: the SDKs would see an empty one, without an error."""
    if request.stream:
        raise InvalidRequest(
            "stream: true cannot be combined with x-bf-async: leave stream out and follow the job's output at "
            "/v1/async/jobs/{id}/events, or use background: true on the Responses API.",
            param="stream",
        )


def call_of(context: RequestContext, request: RequestBody, cache: AnswerCache | None = None) -> Call:
    """The inference call that a request asks for.

    Args:
        context: The request's.
        request: What is to be answered.
        cache: May serve its answer; None: its provider does in any case.

    Raises:
        InvalidRequest: ``x-bf-timeout`` is not a number of seconds, or a header for the cache is invalid.
    """
    model = request.model or _UNNAMED_MODEL
    call = Call(request_type=request.request_type, model=model, body=request.raw, fields=request.fields)
    # Field by field: so many named arguments are packed into a dictionary and unpacked again. With those of
    # `CallCost._outcome` that was 2 % of a call's instructions.
    call.content_type, call.stream = request.content_type, request.stream
    call.caller, call.request_id, call.surface = context.caller, context.request_id, context.surface
    call.headers = passed_headers(context.headers)
    call.session = session_of(context.headers, request.fields)
    if TIMEOUT in context.headers or SDK_TIMEOUT in context.headers:
        now = asyncio.get_running_loop().time()
        call.deadline, call.begin_by = limits(context.headers, now, stream=request.stream)
    call.dimensions = dimensions_of(context.headers, context.caller)
    call.run = run_of(context.headers, request.fields if request.native is None else request.native.fields)
    if cache is not None:
        call.cache = cache.use_of(context.headers, context.caller, request.request_type.name)
    call.prompt, call.native = request.prompt, request.native
    return call


def new_job(
    services: Services,
    context: RequestContext,
    request: RequestBody,
    call: Call,
    options: SubmitOptions,
    *,
    native: bool = False,
    gathered: bool = False,
) -> NewJob:
    """Make the job of a request that has been checked and authorised.

    Args:
        services: The application's.
        context: The request's.
        request: The request.
        call: It, as its limits see it.
        options: Of its submit.
        native: Whether it is a background response, whose id says so.
        gathered: Whether it waits for a batch; batches are in shard 0.
    """
    caller, digest = call.caller, digest_of(request)
    key = options.idempotency_key or digest
    shard = 0 if gathered else services.queue.shard_for(caller.key_id, key, request.raw)
    return NewJob(
        id=mint_response_id(shard) if native else mint_job_id(shard),
        owner=caller.key_id,
        dedupe_scope=caller.scope or caller.key_id,
        request_type=request.request_type.name,
        model=request.model,
        payload=_payload(request),
        content_type=request.content_type if request.native is None else stored_type(request.native),
        context=_context(context, request, call),
        request_id=context.request_id,
        priority=options.priority,
        ttl_s=options.ttl_s,
        delay_s=options.delay_s,
        deadline_s=options.deadline_s,
        weight=caller.weight,
        max_concurrent=caller.max_concurrent_jobs,
        max_queued=services.settings.jobs.max_queued_per_key,
        max_stored=caller.most_stored_bytes(services.settings.jobs.max_stored_bytes),
        idempotency_key=options.idempotency_key,
        blind_retry=options.blind_retry,
        webhook=options.webhook,
        fingerprint=digest,
        keep_payload=request.request_type is RESPONSES,
        labels=metadata_labels(request.fields),
    )


def _payload(request: RequestBody) -> bytes:
    """The body for the provider: without what would make it run the response in a background of its own."""
    fields = request.fields
    if request.native is not None:
        return request.native.body
    if request.request_type is not RESPONSES or BACKGROUND_FIELDS.isdisjoint(fields):
        return request.raw
    left_out = BACKGROUND_FIELDS | STREAM_FIELDS
    if len(request.raw) > LARGE_BYTES:  # to find them in its text would take longer
        return dump_object({name: value for name, value in fields.items() if name not in left_out}, len(request.raw))
    return with_members(request.raw, dict.fromkeys(left_out))


def _context(context: RequestContext, request: RequestBody, call: Call) -> dict[str, Any]:
    # An empty table would be a list to the scripts: there is always something in it.
    stored: dict[str, Any] = {
        "surface": context.surface,
        "who": {"type": call.request_type.name, **who(call.caller, call.dimensions, call.run)},
    }
    if request.stream:
        stored["stream"] = True
    if call.headers:
        stored["headers"] = dict(call.headers)
    if call.session:
        stored["session"] = call.session
    if call.dimensions:
        stored["dimensions"] = dict(call.dimensions)
    if call.run is not None:
        stored["run"] = call.run.to_json()
    if call.cache is not None:
        stored["cache"] = call.cache.to_json()
    echo = echo_of(request.request_type, request.fields)
    if echo:
        stored["echo"] = echo
    return stored


async def poll(services: Services, context: RequestContext, request_type: RequestType, receive: Receive) -> Job:
    """The job that ``x-bf-async-id`` names, after waiting for its outcome as long as the caller asks.

    Raises:
        JobNotFound: Unknown, expired, another caller's, or of another request type.
    """
    return await find_and_wait(services, context, polled_id(context), request_type, receive)


async def find_and_wait(
    services: Services, context: RequestContext, job_id: str, request_type: RequestType | None, receive: Receive
) -> Job:
    """``find``, then wait for the outcome as long as the caller asks."""
    longest_s = wait_s(context)
    job = await find(services, context.caller, job_id, request_type)
    context.job_id, context.model = job.id, job.model
    if not longest_s or not job.live:
        return job
    return await wait(services, context, job, longest_s, receive)


async def find(services: Services, caller: Caller, job_id: str, request_type: RequestType | None = None) -> Job:
    """A job that the caller may see.

    Args:
        services: The application's.
        caller: Who asks.
        job_id: Any text.
        request_type: What it must be of; None: anything.

    Raises:
        JobNotFound: There is none, or it is not for this caller or not of this type; always the same answer.
    """
    job = await services.store.get(job_id)
    if job is None or job.request_type not in BY_NAME or not caller.may_see(job.owner):
        raise JobNotFound(job_id)
    if request_type is not None and job.request_type != request_type.name:
        raise JobNotFound(job_id)
    return job


async def wait(services: Services, context: RequestContext, job: Job, longest_s: float, receive: Receive) -> Job:
    """The job with its outcome, or as it stands when the time is over.

    Raises:
        ClientGone: The caller hung up.
        JobNotFound: It has ended and expired meanwhile.
    """
    if services.waits.ending:
        return job
    context.forget_headers()
    with services.waits.interruptible(), Hangup(receive):
        return await services.waiters.wait(job.id, longest_s)
    return job  # the process stops

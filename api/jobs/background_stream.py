"""The stream of a background response: its events from the job's log, from any point on, whether it runs or has ended.

The caller's stream is only a view: when it is cut, the job goes on, and ``starting_after`` takes it up again.
Source: https://platform.openai.com/docs/guides/background#streaming-a-background-response
"""

import math
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import parse_qs

import orjson

from api.http.request_context import Send
from api.http.streaming import EVENT_STREAM, HEARTBEAT, UNBUFFERED, with_heartbeats
from api.jobs.replies import native_reply, pending_reply
from api.services import Services
from shared.jobs.events import TERMINAL_EVENTS
from shared.jobs.model import Job, State
from shared.surfaces.responses.event_log import check_resumable, read_starting_after
from shared.surfaces.responses.stream import encode, opening_events
from shared.surfaces.sse import encode_event

# Made of the request alone, so they are not kept: ``response.created`` and ``response.queued``.
OPENING = 2


def asked_for_stream(query: bytes) -> int | None:
    """Where a retrieval wants its stream to begin: after this number; None: it wants no stream.

    Raises:
        InvalidRequest: ``starting_after`` is no whole number.
    """
    params = parse_qs(query.decode("latin-1"))
    if params.get("stream", [""])[-1].lower() not in {"true", "1"}:
        return None
    return read_starting_after(params.get("starting_after", [None])[-1])


def check_streamed(job: Job) -> None:
    """Refuse to stream a job that was not submitted with ``background`` and ``stream``.

    Raises:
        InvalidRequest: It was not.
    """
    streamed = bool(job.context.get("stream"))
    check_resumable(background=streamed, streamed=streamed)


async def send_response_stream(send: Send, services: Services, job: Job, starting_after: int = -1) -> None:
    """Send the events after a number, those that were and those that come, to the one that ends the response."""
    headers = [EVENT_STREAM, *UNBUFFERED, (b"x-bf-async-id", job.id.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for frame in _frames(services, job, starting_after):
        await send({"type": "http.response.body", "body": frame, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _frames(services: Services, job: Job, starting_after: int) -> AsyncIterator[bytes]:
    async for number, frame in _numbered(services, job):
        if number > starting_after:
            yield frame


async def _numbered(services: Services, job: Job) -> AsyncIterator[tuple[float, bytes]]:
    """All events with their numbers; a heartbeat has one above all."""
    skeleton = orjson.loads(pending_reply(replace(job, state=State.QUEUED)).body)
    for event in opening_events(skeleton)[:OPENING]:
        yield event["sequence_number"], encode(event)
    last = OPENING - 1
    async for stored in with_heartbeats(services.waiters.follow(job.id)):
        if stored is None:
            yield math.inf, HEARTBEAT
        elif stored.name.startswith("response."):
            last = orjson.loads(stored.data)["sequence_number"]
            yield last, encode_event(stored.data, name=stored.name)
        elif stored.name in TERMINAL_EVENTS:
            ended = await services.store.get(job.id)
            if ended is not None:
                yield last + 1, _terminal(ended, last + 1)


def _terminal(job: Job, number: int) -> bytes:
    """The last event, from the record: ``response.completed``, ``.incomplete`` or ``.failed``.

    OpenAI has no event for a cancelled response; it is reported as failed, with ``status: "cancelled"``.
    """
    response = orjson.loads(native_reply(job).body)
    kind = response["status"] if response.get("status") in {"completed", "incomplete"} else "failed"
    return encode({"type": f"response.{kind}", "sequence_number": number, "response": response})

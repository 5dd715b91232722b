"""Renders every event stream: provider answers as they arrive, and job event logs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import orjson

from api.http.errors import as_gateway_error
from api.http.request_context import HeaderLine, RequestContext, ResponseSender, Send, header_lines
from shared.errors import GatewayError, Overloaded, UpstreamFailure
from shared.inference.call import AnswerStream
from shared.jobs.model import Event
from shared.surfaces.fields import MISSHAPEN
from shared.surfaces.request_types import RESPONSES, RequestType
from shared.surfaces.sse import encode_event, event_data

logger = logging.getLogger("finops.api")

HEARTBEAT_S = 15.0
HEARTBEAT = b": keepalive\n\n"
LAST_EVENT_S = 1.0  # a caller that does not read must not hold up the end of the process
EVENT_STREAM: HeaderLine = (b"content-type", b"text/event-stream; charset=utf-8")
UNBUFFERED: tuple[HeaderLine, ...] = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


class TranslatedEvents(Protocol):
    """Translator of a chat's chunks to another format's stream."""

    def feed(self, data: bytes) -> bytes:
        """Return the events that these bytes complete."""
        ...

    def fail(self, status: int, error: Mapping[str, Any]) -> bytes:
        """Return the stream's error event."""
        ...


async def send_translated_stream(
    send: Send,
    context: RequestContext,
    chunks: AsyncIterator[bytes],
    events: TranslatedEvents,
    headers: Sequence[HeaderLine],
) -> None:
    """Send a chat's answer as another format's stream; a failure on the way becomes an event in it.

    Chunks after the end are read too: only then is the call complete, and its cost known to the ledger.
    """
    try:
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, *UNBUFFERED]})
        async for chunk in chunks:
            data = events.feed(chunk)
            if data:
                await send({"type": "http.response.body", "body": data, "more_body": True})
    except asyncio.CancelledError:
        failure = _ended()
        await _send_last(send, events.fail(failure.status, failure.envelope()["error"]))
        raise
    except Exception as error:  # noqa: BLE001 - any failure must appear in the stream
        failure = as_gateway_error(_misshapen(error), context.request_id)
        logger.warning("A stream failed: %s", failure.message, extra={"request_id": context.request_id})
        last = events.fail(failure.status, failure.envelope()["error"])
        await send({"type": "http.response.body", "body": last, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _misshapen(error: Exception) -> Exception:
    """Convert a parse error: a malformed chunk shows only in its translation, as equal wires pass chunks on unread."""
    return UpstreamFailure("The provider sent a malformed stream.") if isinstance(error, MISSHAPEN) else error


async def send_answer_stream(
    send: Send, context: RequestContext, request_type: RequestType, stream: AnswerStream
) -> None:
    """Send an answer as it comes; what fails on the way becomes the surface's own error event.

    An SDK takes a stream that merely stops for a complete one, so an error is always sent, and ``[DONE]`` never
    follows it. The upstream connection is closed however this ends.
    """
    lines = [EVENT_STREAM, *UNBUFFERED]
    lines += header_lines(stream.headers)
    first = last = b""
    sender = send if isinstance(send, ResponseSender) else None
    try:
        await send({"type": "http.response.start", "status": stream.status, "headers": lines})
        async for chunk in stream:
            first, last = first or chunk, chunk
            if sender is None or not sender.send_part(chunk):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except asyncio.CancelledError:
        await _send_last(send, error_event(request_type, _ended(), first, last))
        raise
    except Exception as error:  # noqa: BLE001 - any failure must appear in the stream
        failure = as_gateway_error(error, context.request_id)
        logger.warning("A stream failed: %s", failure.message, extra={"request_id": context.request_id})
        await send(
            {"type": "http.response.body", "body": error_event(request_type, failure, first, last), "more_body": True}
        )
    finally:
        await stream.aclose()
    await send({"type": "http.response.body", "body": b""})


def _ended() -> GatewayError:
    """The error of a stream that is cut because its time to end is over: the process stops."""
    return Overloaded("The gateway stopped before the answer was complete. Send the request again.")


async def _send_last(send: Send, event: bytes) -> None:
    """Send the last event of a stream that is cancelled; to a caller that hung up it goes nowhere."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_EVENT_S):
            await send({"type": "http.response.body", "body": event, "more_body": False})


def error_event(request_type: RequestType, error: GatewayError, first: bytes = b"", last: bytes = b"") -> bytes:
    """Encode the error event of a stream.

    Chat completions: an object with ``error``, on which both SDKs raise. Responses: ``response.failed`` once
    ``response.created`` was sent, as OpenAI does; before that an ``error`` event on which both SDKs raise.

    Args:
        request_type: The stream's request type.
        error: The failure.
        first: The first bytes that were sent, empty if none were.
        last: The last ones.
    """
    envelope = error.envelope()
    if request_type is not RESPONSES:
        return encode_event(orjson.dumps(envelope, default=str))
    details = envelope["error"]
    number = _last_number(last) + 1
    response = _created_response(first)
    if response is None:
        event = {
            "type": "error",
            "code": details["code"],
            "message": details["message"],
            "param": details["param"],
            "sequence_number": number,
            "error": details,
        }
        return encode_event(orjson.dumps(event, default=str), name="error")
    response.update(status="failed", error={"code": "server_error", "message": details["message"]})
    failed = {"type": "response.failed", "sequence_number": number, "response": response}
    return encode_event(orjson.dumps(failed, default=str), name="response.failed")


def _events_in(chunk: bytes) -> list[dict[str, Any]]:
    found = []
    for block in chunk.split(b"\n\n"):
        with suppress(orjson.JSONDecodeError):
            event = orjson.loads(event_data(block + b"\n\n"))
            if isinstance(event, dict):
                found.append(event)
    return found


def _last_number(chunk: bytes) -> int:
    numbers = [event.get("sequence_number") for event in _events_in(chunk)]
    return max((number for number in numbers if isinstance(number, int)), default=-1)


def _created_response(chunk: bytes) -> dict[str, Any] | None:
    for event in _events_in(chunk):
        if event.get("type") == "response.created" and isinstance(event.get("response"), dict):
            return dict(event["response"])
    return None


async def send_event_log(send: Send, events: AsyncIterator[Event], headers: tuple[HeaderLine, ...] = ()) -> None:
    """Send a job's events as they happen, to their end, with a comment whenever nothing happens for a while."""
    await send({"type": "http.response.start", "status": 200, "headers": [EVENT_STREAM, *UNBUFFERED, *headers]})
    async for event in with_heartbeats(events):
        frame = HEARTBEAT if event is None else encode_event(event.data, name=event.name, event_id=event.id)
        await send({"type": "http.response.body", "body": frame, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def with_heartbeats(events: AsyncIterator[Event], every_s: float = HEARTBEAT_S) -> AsyncIterator[Event | None]:
    """The events, with None in between whenever none came for ``every_s`` seconds."""
    iterator = aiter(events)
    upcoming: asyncio.Task[Event] | None = None
    try:
        while True:
            upcoming = upcoming or asyncio.ensure_future(_next(iterator))
            done, _ = await asyncio.wait((upcoming,), timeout=every_s)
            if not done:
                yield None
                continue
            try:
                event = upcoming.result()
            except StopAsyncIteration:
                return
            finally:
                upcoming = None
            yield event
    finally:
        if upcoming is not None:
            upcoming.cancel()
            await asyncio.wait((upcoming,))
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()


async def _next(iterator: AsyncIterator[Event]) -> Event:
    return await anext(iterator)

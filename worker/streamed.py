"""Runs a job's call as a stream: its events show the answer as it grows, and it ends with the whole answer."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Protocol

import orjson

from shared.background import beside_loop
from shared.errors import UpstreamFailure, UpstreamRefused
from shared.inference.call import Answer, AnswerStream, Call
from shared.inference.call_cost import CallCost
from shared.inference.inference import Inference
from shared.surfaces.chat_assembly import ChatAssembly
from shared.surfaces.json_edits import with_members
from shared.surfaces.request_types import CHAT, RESPONSES
from shared.surfaces.sse import EventSplitter, event_data
from worker.handle import RunHandle

_STREAMED = frozenset({CHAT.name, RESPONSES.name})
_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
_OPENING = frozenset({"response.created", "response.queued"})
FIRST_NUMBER = len(_OPENING)


class AnswerAssembly(Protocol):
    """Collects the whole answer from a stream's events, and emits job events."""

    def take(self, event: bytes, handle: RunHandle) -> None:
        """Emit a job event for a stream event, and add it to the answer."""
        ...

    def body(self) -> bytes:
        """Return the whole answer; call it after the stream has ended normally."""
        ...


def can_stream(call: Call) -> bool:
    """Tell whether streaming the call does not change its answer: audio can be streamed in one format only."""
    return call.request_type.name in _STREAMED and "audio" not in (call.fields.get("modalities") or ())


async def answer_streamed(
    inference: Inference, call: Call, handle: RunHandle, call_cost: CallCost | None = None
) -> Answer:
    """Answer a call through a stream.

    Raises:
        GatewayError, RetryLater: As ``Inference.answer``.
    """
    try:
        stream = await inference.stream(await beside_loop(call.body, _as_stream, call), call_cost)
    except UpstreamRefused as error:
        if error.status == 400 and error.param in {"stream", "stream_options"}:
            return await inference.answer(call, call_cost)  # this model, or this account, may not stream
        raise
    assembly: AnswerAssembly = ChatAnswer()
    if call.request_type is RESPONSES:
        assembly = ResponseAnswer(call, silent=handle.claim.attempt > 1)
    body = stream.whole if stream.whole is not None else await _follow(stream, assembly, handle)
    return Answer(
        status=stream.status,
        body=body,
        headers=stream.headers,
        provider=stream.provider,
        model=stream.model,
        usage=stream.usage,
        attempts=stream.attempts,
        ledger=stream.ledger,
    )


def _as_stream(call: Call) -> Call:
    """Return the call asking for a stream; the rest of its body stays as its caller wrote it, for prompt caches."""
    asked: dict[str, Any] = {"stream": True}
    if call.request_type is CHAT:
        options = call.fields.get("stream_options")
        asked["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    body = with_members(call.body, {name: orjson.dumps(value) for name, value in asked.items()})
    return replace(call, fields={**call.fields, **asked}, body=body, stream=True)


async def _follow(stream: AnswerStream, assembly: AnswerAssembly, handle: RunHandle) -> bytes:
    splitter = EventSplitter()
    events: AsyncIterator[bytes] = aiter(stream)
    try:
        async for some in events:
            for event in splitter.feed(some):
                assembly.take(event, handle)
            await handle.drain()
    finally:
        await stream.aclose()
    return assembly.body()


class ChatAnswer:
    """Assembles chat chunks; emits ``delta`` events with the text in ``delta``."""

    def __init__(self) -> None:
        self._assembly = ChatAssembly()

    def take(self, event: bytes, handle: RunHandle) -> None:
        """Add a chunk."""
        text = self._assembly.add(event)
        if text:
            handle.emit("delta", orjson.dumps({"delta": text}))

    def body(self) -> bytes:
        """Return the completion."""
        return self._assembly.completion()


class ResponseAnswer:
    """Assembles response events; emits them under their own names. The terminal event carries the whole answer.

    A native background response has our id, so its events carry it too. The API writes its first two events, created
    and queued, and the terminal one from the job's record; the events between are numbered to fit.

    Args:
        silent: An earlier run has emitted the answer already; emit nothing.
    """

    def __init__(self, call: Call, *, silent: bool) -> None:
        self._own_id = call.job_id if call.job_id.startswith("resp_") else ""
        self._silent = silent
        self._number = FIRST_NUMBER
        self._final: dict[str, Any] | None = None

    def take(self, event: bytes, handle: RunHandle) -> None:
        """Emit the event; keep the terminal one."""
        data = event_data(event)
        if not data:
            return
        fields = orjson.loads(data)
        kind = str(fields.get("type", ""))
        response = fields.get("response")
        if kind in _TERMINAL:
            self._final = response
        if kind in _TERMINAL or kind in _OPENING or self._silent:
            return
        fields["sequence_number"] = self._number
        self._number += 1
        if self._own_id and isinstance(response, dict):
            fields["response"] = {**response, "id": self._own_id, "background": True}
        handle.emit(kind, orjson.dumps(fields))

    def body(self) -> bytes:
        """Return the response of the terminal event.

        Raises:
            UpstreamFailure: There was no terminal event with a response.
        """
        if self._final is None:
            raise UpstreamFailure("The provider's stream ended without a response.")
        return orjson.dumps(self._final)

"""Runs a job's call as a stream: followers of its events see the answer grow, and it ends with the whole answer."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

import orjson

from shared.errors import UpstreamFailure, UpstreamRefused
from shared.inference.call import Answer, Call
from shared.inference.inference import Inference
from shared.inference.streaming import ProviderStream
from shared.surfaces.chat_assembly import ChatAssembly
from shared.surfaces.request_types import CHAT, RESPONSES
from shared.surfaces.sse import EventSplitter, event_data
from worker.handle import RunHandle

_STREAMED = frozenset({CHAT.name, RESPONSES.name})
_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
_OPENING = frozenset({"response.created", "response.queued"})
FIRST_NUMBER = len(_OPENING)


class Assembly(Protocol):
    """What becomes of a stream's events."""

    def take(self, event: bytes, handle: RunHandle) -> None:
        """Tell followers of an event, and keep what the whole answer needs of it."""
        ...

    def body(self) -> bytes:
        """The whole answer, once the stream has ended well."""
        ...


def can_stream(call: Call) -> bool:
    """Whether the call can be a stream without changing its answer: spoken answers stream in one format only."""
    return call.request_type.name in _STREAMED and "audio" not in (call.fields.get("modalities") or ())


async def answer_streamed(inference: Inference, call: Call, handle: RunHandle) -> Answer:
    """Answer a call through a stream.

    Raises:
        GatewayError, RetryLater: As ``Inference.answer``.
    """
    try:
        stream = await inference.stream(_as_stream(call))
    except UpstreamRefused as error:
        if error.status == 400 and error.param in {"stream", "stream_options"}:
            return await inference.answer(call)  # this model, or this account, may not stream
        raise
    assembly: Assembly = Chat()
    if call.request_type is RESPONSES:
        assembly = Responses(call, silent=handle.claim.attempt > 1)
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
    fields: dict[str, Any] = {**call.fields, "stream": True}
    if call.request_type is CHAT:
        options = fields.get("stream_options")
        fields["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return call.with_fields(fields, stream=True)


async def _follow(stream: ProviderStream, assembly: Assembly, handle: RunHandle) -> bytes:
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


class Chat:
    """Chat chunks: followers get ``delta`` events with the text in ``delta``."""

    def __init__(self) -> None:
        self._assembly = ChatAssembly()

    def take(self, event: bytes, handle: RunHandle) -> None:
        """Join the chunk to the answer."""
        text = self._assembly.add(event)
        if text:
            handle.emit("delta", orjson.dumps({"delta": text}))

    def body(self) -> bytes:
        """The completion."""
        return self._assembly.completion()


class Responses:
    """Events of a response: followers get them under their own names; the last one carries the whole answer.

    A native background response is known by our id, so that stands in its events too. Its first two events, created
    and queued, and its last are told by the API, from the job's record; those between are numbered to fit.

    Args:
        silent: Another run has told the answer already; followers get its end alone.
    """

    def __init__(self, call: Call, *, silent: bool) -> None:
        self._own_id = call.job_id if call.job_id.startswith("resp_") else ""
        self._silent = silent
        self._number = FIRST_NUMBER
        self._final: dict[str, Any] | None = None

    def take(self, event: bytes, handle: RunHandle) -> None:
        """Pass the event on; keep the last."""
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
        """The response of the terminal event.

        Raises:
            UpstreamFailure: The terminal event carried none.
        """
        if self._final is None:
            raise UpstreamFailure("The provider's stream ended without its response.")
        return orjson.dumps(self._final)

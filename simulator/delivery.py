"""Sends an answer at the pace and with the faults its behaviour asks for."""

import asyncio
from collections.abc import Iterator

from simulator.calls import Reply, Stream
from simulator.exchange import Exchange
from simulator.faults import Behaviour

COMPLETED = "completed"
FAULTED = "faulted"

Head = list[tuple[bytes, bytes]]


async def deliver(exchange: Exchange, answer: Reply | Stream, behaviour: Behaviour, head: Head) -> str:
    """Send the answer with the common headers `head`; returns the outcome for the log.

    Raises:
        ClientGone: the client left before the end.
    """
    if isinstance(answer, Reply):
        return await _deliver_reply(exchange, answer, behaviour, head)
    return await _deliver_stream(exchange, answer, behaviour, head)


async def _deliver_reply(exchange: Exchange, reply: Reply, behaviour: Behaviour, head: Head) -> str:
    wait_s = behaviour.ttft_s + (reply.tokens / behaviour.tokens_per_s if behaviour.tokens_per_s else 0)
    if wait_s:
        await exchange.pause(wait_s)
    body = reply.body
    half = body[: len(body) // 2]
    if behaviour.bad_chunk is not None:
        body = half
    headers = [
        (b"content-type", reply.content_type),
        (b"content-length", b"%d" % len(body)),
        *reply.headers,
        *head,
    ]
    await exchange.start(reply.status, headers)
    if behaviour.cut is not None or behaviour.stall is not None:
        await exchange.write(half)
        return await _break_off(exchange, behaviour)
    await exchange.finish(body)
    return FAULTED if behaviour.bad_chunk is not None else COMPLETED


async def _break_off(exchange: Exchange, behaviour: Behaviour) -> str:
    if behaviour.cut is None:
        await exchange.pause(None)
    await exchange.abort(reset=False)
    return FAULTED


async def _deliver_stream(exchange: Exchange, stream: Stream, behaviour: Behaviour, head: Head) -> str:
    headers = [(b"content-type", stream.content_type), (b"cache-control", b"no-cache"), *head]
    started_s = asyncio.get_running_loop().time()
    await exchange.start(200, headers)
    strike_at = _strike_at(behaviour)
    spoilt = behaviour.bad_chunk
    sent = 0
    for due_s, frame in _schedule(stream, behaviour):
        if sent == spoilt:
            await exchange.write(stream.bad_frame)
            spoilt = None
        if sent == strike_at:
            break
        await exchange.pause(started_s + due_s - asyncio.get_running_loop().time())
        await exchange.write(frame)
        sent += 1
    if spoilt is not None and strike_at is None:
        await exchange.write(stream.bad_frame)
    return await _end_stream(exchange, stream, behaviour, sent)


def _strike_at(behaviour: Behaviour) -> int | None:
    """After how many frames the stream ends in a fault."""
    at = [n for n in (behaviour.cut, behaviour.stall, behaviour.error_event) if n is not None]
    return min(at, default=None)


def _schedule(stream: Stream, behaviour: Behaviour) -> Iterator[tuple[float, bytes]]:
    """Frames with the seconds after the start at which each is due: absolute, so that delays do not add up."""
    step_s = 1 / behaviour.tokens_per_s if behaviour.tokens_per_s else 0.0
    for token, frame in stream.frames:
        yield (behaviour.ttft_s + (token - 1) * step_s if token else 0.0), frame


async def _end_stream(exchange: Exchange, stream: Stream, behaviour: Behaviour, sent: int) -> str:
    if behaviour.error_event is not None and behaviour.error_event == _strike_at(behaviour):
        await exchange.finish(stream.error_frame(sent))
        return FAULTED
    if _strike_at(behaviour) is not None:
        return await _break_off(exchange, behaviour)
    if behaviour.no_done:
        await exchange.finish()
        return FAULTED
    if stream.when_done is not None:
        stream.when_done()
    await exchange.finish(stream.end)
    return COMPLETED if behaviour.bad_chunk is None else FAULTED

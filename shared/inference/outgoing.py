"""One attempt at a call on its way out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from shared.errors import UpstreamFailure
from shared.inference.attempts import Attempt
from shared.inference.call import Call
from shared.inference.call_cost import CallCost
from shared.inference.late_reads import LateReads
from shared.inference.streaming import ProviderStream
from shared.providers.wires.base import ProviderRequest, UpstreamRequest, Wire

T = TypeVar("T")


class Outgoing(NamedTuple):
    """One attempt at a call, translated and ready to be sent."""

    call: Call
    attempt: Attempt
    wire: Wire
    ask: ProviderRequest
    request: UpstreamRequest


Receive = Callable[[Outgoing], Awaitable[T]]
"""Sends one attempt and waits for its answer, or for a stream's beginning."""


async def begin(
    stream: ProviderStream, call_cost: CallCost | None, late_reads: LateReads, limit: asyncio.Timeout
) -> None:
    """Wait for a stream's first event; close the stream if there is none.

    Args:
        stream: The stream.
        call_cost: Of its call. If it has a reservation, a stream whose caller leaves meanwhile is read on for its
            count.
        late_reads: Reads on.
        limit: Ends the wait too, which is no caller's leaving.
    """
    try:
        if not await stream.begin():
            raise UpstreamFailure(f"Provider {stream.provider!r} ended its stream before the first event.")
    except asyncio.CancelledError:
        if limit.expired() or not stream.leave(call_cost, late_reads):
            await stream.aclose()
        raise
    except BaseException:
        await stream.aclose()
        raise

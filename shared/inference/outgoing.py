"""One attempt at a call on its way out."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from shared.errors import UpstreamFailure
from shared.inference.attempts import Attempt, Attempts
from shared.inference.call import Call
from shared.inference.streaming import ProviderStream
from shared.providers.wires.base import ProviderRequest, UpstreamRequest, Wire

T = TypeVar("T")


class Outgoing(NamedTuple):
    """One attempt at a call, translated and ready to be sent."""

    call: Call
    attempts: Attempts
    attempt: Attempt
    wire: Wire
    ask: ProviderRequest
    request: UpstreamRequest


Receive = Callable[[Outgoing], Awaitable[T]]
"""Sends one attempt and waits for its answer, or for a stream's beginning."""


async def begin(stream: ProviderStream) -> None:
    """Wait for a stream's first event; close the stream if there is none."""
    try:
        if not await stream.begin():
            raise UpstreamFailure(f"Provider {stream.provider!r} ended its stream before the first event.")
    except BaseException:
        await stream.aclose()
        raise

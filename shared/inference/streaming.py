"""A provider's stream on its way to a caller: translated, settled at its end, closed as soon as it is given up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from shared.cache.recording import StreamRecording
from shared.errors import GatewayError, UpstreamFailure, UpstreamRefused
from shared.inference.call_cost import CallCost
from shared.inference.late_reads import ENDING_EVENTS, MOST_BYTES, LateReads
from shared.inference.presence import LONGEST_READ_S
from shared.providers.client import UpstreamResponse
from shared.providers.scrub import Scrubber
from shared.providers.wires.base import MalformedAnswer, ProviderRequest, Wire


class ProviderStream:
    """An ``AnswerStream`` of one upstream exchange.

    Args:
        on_failure: Called when the stream, once begun, ends badly.
        scrubber: Removes secrets from the errors that a stream reports.
        ended: Awaited with what the provider has made once the answer is complete, before its end is yielded.
    """

    def __init__(
        self,
        exchange: UpstreamResponse,
        wire: Wire,
        ask: ProviderRequest,
        *,
        provider: str,
        model: str,
        on_failure: Callable[[GatewayError], None],
        scrubber: Scrubber,
        ended: Callable[[Mapping[str, Any] | None], Awaitable[None]] | None = None,
    ) -> None:
        self._ended = ended
        self._exchange = exchange
        self._wire = wire
        self._ask = ask
        self._translation = wire.stream(ask)
        self._first = b""
        self._on_failure = on_failure
        self._scrubber = scrubber
        self.status = exchange.status
        self.content_type = exchange.content_type
        self.headers: Mapping[str, str] = exchange.headers
        self.provider = provider
        self.model = model
        self.attempts = 1
        self.whole: bytes | None = None
        self.call_cost: CallCost | None = None
        self.late_reads: LateReads | None = None
        self.recording: StreamRecording | None = None
        self._reads_on = False
        self._events = 0
        self._usage: Mapping[str, Any] = {}

    @property
    def usage(self) -> Mapping[str, Any]:
        """Token counts, as far as the provider reported them."""
        return self._usage or self._translation.usage

    async def begin(self) -> bool:
        """Wait for the first complete event.

        A provider may answer a request for a stream with a whole JSON answer; that is passed on unchanged.

        Returns:
            False if the stream ended without one.

        Raises:
            UpstreamFailure: As when iterating.
        """
        if self.content_type.startswith("application/json"):
            return await self._read_whole()
        while chunk := await self._exchange.more():
            self._first = self._translate(chunk)
            if self._translation.complete:
                await self._end()
            if self._first:
                self._exchange.begun()
                return True
            self._raise_error()
        return False

    def leave(self, call_cost: CallCost | None, late_reads: LateReads) -> bool:
        """Read on for the provider's count, for a caller that has left before the first event.

        Returns:
            False if nothing is reserved for the call: the stream is to be closed.
        """
        self.call_cost, self.late_reads = call_cost, late_reads
        if call_cost is None or not self._read_on():
            self.call_cost = None
            return False
        call_cost.counted_late = True
        return True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            if self._first:
                self._record(self._first)
                yield self._first
            if self.whole is None:
                self._raise_error()  # one that came together with the first events
                while chunk := await self._exchange.more():
                    events = self._translate(chunk)
                    if self._translation.complete:
                        await self._end()
                    if events:
                        self._record(events)
                        yield events
                    self._raise_error()
                if last := self._translation.end():
                    await self._end()
                    self._record(last)
                    yield last
                self._check_complete()
            self._settle()
        except BaseException as error:
            self._interrupt(error)
            raise
        finally:
            await self.aclose()

    def _record(self, events: bytes) -> None:
        if self.recording is not None:
            self.recording.add(events)

    def _interrupt(self, error: BaseException) -> None:
        """Note how the stream ended early; one that its caller has left is read on."""
        if isinstance(error, Exception) or not self._read_on():
            self._settle(error)
        if isinstance(error, GatewayError):
            self._on_failure(error)

    @property
    def ledger(self) -> bytes:
        """Its ledger entry, once it has ended."""
        return self.call_cost.entry if self.call_cost else b""

    def _settle(self, error: BaseException | None = None) -> None:
        """Close the call's cost however the stream ends: complete, cut, or given up by the caller.

        A caller that reads no further than to the end of the answer has given up nothing.
        """
        if self._translation.complete and not isinstance(error, Exception):
            error = None
            if self.recording is not None:
                self.recording.complete(self.usage)
        if self.recording is not None:
            self.recording.close()
        if self.call_cost is not None and not self.call_cost.entry:
            self.call_cost.streamed(self.usage, self._events, error)

    async def _read_whole(self) -> bool:
        async with self._exchange:
            body = await self._exchange.read()
        try:
            translated = self._wire.answer(self._ask, body, self.content_type)
        except MalformedAnswer as error:
            raise UpstreamFailure(f"Provider {self.provider!r} sent an unusable answer: {error}.") from error
        self.whole = self._first = translated.body
        self._usage = translated.usage
        await self._end()
        return True

    async def _end(self) -> None:
        if self._ended is not None:
            ended, self._ended = self._ended, None
            await ended(self._translation.made)

    async def aclose(self) -> None:
        """Close the upstream connection, or return it to the pool when the stream has ended.

        A stream that holds a reservation and has not been counted yet is read on in the background first.
        """
        if self._reads_on or self._read_on():
            return
        self._settle(GeneratorExit())
        await asyncio.shield(self._exchange.aclose())

    def _translate(self, chunk: bytes) -> bytes:
        """Return the events that a piece of the provider's answer completes, without secrets.

        Raises:
            UpstreamFailure: The piece is not of the provider's format.
        """
        try:
            events = self._translation.feed(chunk)
        except MalformedAnswer as error:
            raise UpstreamFailure(f"Provider {self.provider!r} sent a malformed stream: {error}.") from error
        if not events:
            return b""
        self._events += events.count(b"data:")
        return self._scrubber.events(events)

    def _check_complete(self) -> None:
        if not self._translation.complete:
            raise UpstreamFailure(f"Provider {self.provider!r} ended its stream before the answer was complete.")

    def _read_on(self) -> bool:
        """Start to read on for the provider's count, if the caller has left before it and reserved the cost."""
        if self._reads_on:
            return True
        cost, translation = self.call_cost, self._translation
        ended = translation.complete or translation.error is not None or self.whole is not None
        if self.late_reads is None or cost is None or cost.entry or not cost.reservation.reservation or ended:
            return False
        self._reads_on = True
        if self.recording is not None:
            self.recording.close()  # what comes now is counted, not kept
        self.late_reads.start(self._count_late())
        return True

    async def _count_late(self) -> None:
        late = 0
        try:
            async with asyncio.timeout(LONGEST_READ_S):
                late = await self._read_rest()
        except (TimeoutError, GatewayError, MalformedAnswer):
            pass  # charged what it reserved
        finally:
            self._settle_late(late)
            await asyncio.shield(self._exchange.aclose())

    async def _read_rest(self) -> int:
        """Read to the end of the answer; return how many events came."""
        late = size = 0
        translation = self._translation
        while size <= MOST_BYTES and (chunk := await self._exchange.more()):
            size += len(chunk)
            late += translation.feed(chunk).count(b"data:")
            if translation.complete or translation.error is not None:
                break
        else:
            translation.end()
        if translation.complete:
            await self._end()
        return late

    def _settle_late(self, late: int) -> None:
        if self.call_cost is None:  # pragma: no cover - only streams with a cost are read on
            return
        counted = self._translation.complete and bool(self.usage)
        missed = not counted or late > ENDING_EVENTS or not self._events
        # A count up to somewhere in the stream is none: without the last one, the reservation is charged.
        self.call_cost.streamed(self.usage if counted else {}, 0, GeneratorExit() if missed else None)

    def _raise_error(self) -> None:
        if self._translation.error is not None:
            raise UpstreamRefused(502, self._scrubber.error(self._translation.error), provider=self.provider)

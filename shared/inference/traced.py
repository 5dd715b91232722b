"""The inference path with traces: the classes that stand in for the plain ones where traces are configured."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from typing import Any, TypeVar

from shared.errors import ClientGone
from shared.governance.limits.guard import Reservation
from shared.inference.attempts import Attempts, Once
from shared.inference.call import Answer, Call, Target
from shared.inference.call_cost import CallCost
from shared.inference.genai_attributes import (
    PROVIDERS,
    input_messages,
    operation_name,
    output_messages,
    read_answer,
    request_attributes,
    response_attributes,
    server_attributes,
    usage_attributes,
)
from shared.inference.inference import Inference
from shared.inference.outgoing import Outgoing
from shared.inference.streaming import ProviderStream
from shared.inference.submission import OnReserved, Submitter
from shared.jobs.model import NewJob
from shared.jobs.queue import Submission
from shared.providers.base import ProviderKey
from shared.providers.client import UpstreamResponse
from shared.providers.health.board import ProviderHealth
from shared.surfaces.request_types import CHAT
from shared.telemetry.tracing import TRACEPARENT, Tracing, Value, traceparent_of

T = TypeVar("T")


def attempt_attributes(call: Call, attempt_target: Target, key: ProviderKey | None, number: int) -> dict[str, Value]:
    """Return what is known of an attempt before it is made."""
    name = attempt_target.provider.name
    found: dict[str, Value] = {
        "gen_ai.operation.name": operation_name(call.request_type.name),
        "gen_ai.provider.name": PROVIDERS.get(name, name),
        "gen_ai.request.model": attempt_target.model,
        "gen_ai.request.stream": call.stream,
        **request_attributes(call.fields),
        **server_attributes(attempt_target.provider.base_url),
        "finops.provider": name,
        "finops.attempt": number,
        "finops.request.id": call.request_id,
    }
    if key is not None and key.name:
        found["finops.provider.key"] = key.name
    if call.job_id:
        found["finops.job.id"] = call.job_id
    return found


class TracedAttempts(Attempts):
    """Attempts with a span each."""

    __slots__ = ("_tracing",)

    def __init__(self, tracing: Tracing, *arguments: Any) -> None:  # noqa: ANN401 - those of the plain class
        super().__init__(*arguments)
        self._tracing = tracing

    async def _once(self, target: Target, health: ProviderHealth, key: ProviderKey | None, once: Once[T]) -> T:
        call, tracing = self._call, self._tracing
        attributes = attempt_attributes(call, target, key, self.made + 1)
        with tracing.span(f"{attributes['gen_ai.operation.name']} {target.model}", "client", attributes) as span:
            if tracing.redact is not None and call.request_type is CHAT:
                span.set_attribute("gen_ai.input.messages", tracing.redact(input_messages(call.fields)))
            answer = await super()._once(target, health, key, once)
            if isinstance(answer, Answer):
                span.set_attributes(self._answered(answer))
            return answer

    def _answered(self, answer: Answer) -> dict[str, Value]:
        """What an answer says of itself; its content where contents are recorded."""
        found: dict[str, Value] = {
            "gen_ai.response.model": answer.model,
            "http.response.status_code": answer.status,
            **usage_attributes(answer.usage),
        }
        if self._call.request_type is not CHAT:
            return found
        body = read_answer(answer.body)
        found |= response_attributes(body)
        if self._tracing.redact is not None:
            found["gen_ai.output.messages"] = self._tracing.redact(output_messages(body))
        return found


class TracedCallCost(CallCost):
    """A call's cost whose admission is a span."""

    def __init__(self, tracing: Tracing, *arguments: Any) -> None:  # noqa: ANN401 - those of the plain class
        super().__init__(*arguments)
        self._tracing = tracing

    async def open(self, targets: Sequence[Target]) -> None:
        """Reserve what the call may cost; a run of a job was admitted with its submit."""
        if self._of_job:
            return
        with self._tracing.span("admission", attributes={"finops.key.id": self._call.caller.key_id}):
            await super().open(targets)


class TracedStream(ProviderStream):
    """A stream that may have a span, from its head to its end."""

    _span: Any = None
    _asked_ns: int = 0
    _tracing: Tracing

    def trace(self, tracing: Tracing) -> None:
        """Begin the span."""
        attributes: dict[str, Value] = {"finops.provider": self.provider, "gen_ai.response.model": self.model}
        self._tracing = tracing
        self._asked_ns = tracing.current_start_ns()
        self._span = tracing.start("stream", "client", attributes)

    async def begin(self) -> bool:
        """Wait for the first complete event, and note it."""
        begun = await super().begin()
        if self._span is not None:
            self._span.add_event("first event")
            waited_s = max(0, time.time_ns() - self._asked_ns) / 1e9
            self._span.set_attribute("gen_ai.response.time_to_first_chunk", waited_s)
        return begun

    def _settle(self, error: BaseException | None = None) -> None:
        super()._settle(error)
        if self._span is None:
            return
        span, self._span = self._span, None
        span.set_attributes({**usage_attributes(self.usage), "finops.stream.events": self._events})
        complete = self._translation.complete or self.whole is not None
        if error is not None and (isinstance(error, Exception) or not complete):
            self._tracing.fail(span, error if isinstance(error, Exception) else ClientGone.code or "client_gone")
        span.end()

    def _settle_late(self, late: int) -> None:
        super()._settle_late(late)
        if self._span is not None:
            span, self._span = self._span, None
            span.set_attributes({**usage_attributes(self.usage), "finops.stream.caller_left": True})
            span.end()


class TracedInference(Inference):
    """The inference path with spans of admission, of each attempt and of each stream.

    Args:
        tracing: Makes the spans; further arguments are those of the plain class.
    """

    _stream_class = TracedStream

    def __init__(self, tracing: Tracing, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **named)
        self._tracing = tracing

    def open_call_cost(self, call: Call) -> CallCost | None:
        """Return the account of a call's cost; None if nothing is billed."""
        if self._billing is None or not self._tracing.active:
            return super().open_call_cost(call)
        return TracedCallCost(self._tracing, self._billing, call)

    async def reserve(self, job_id: str, call: Call) -> Reservation:
        """Reserve what a job may cost; the admission of a submit."""
        with self._span_if_traced("admission", {"finops.job.id": job_id, "finops.key.id": call.caller.key_id}):
            return await super().reserve(job_id, call)

    @contextmanager
    def _span_if_traced(self, name: str, attributes: Mapping[str, Value]) -> Iterator[None]:
        if not self._tracing.active:
            yield
            return
        with self._tracing.span(name, attributes=attributes):
            yield

    def _attempts(self, call: Call, call_cost: CallCost | None) -> Attempts:
        if not self._tracing.active:
            return super()._attempts(call, call_cost)
        longest_s = inf if call.defers else self._max_total_s
        return TracedAttempts(self._tracing, call, self._watch, self._board, call_cost, longest_s)

    async def _open(self, outgoing: Outgoing, *, stream: bool = False) -> UpstreamResponse:
        if self._tracing.propagates_to(outgoing.attempt.target.provider.name):
            headers = {**outgoing.call.headers, TRACEPARENT: self._tracing.current_traceparent()}
            outgoing = outgoing._replace(call=replace(outgoing.call, headers=headers))
        return await super()._open(outgoing, stream=stream)

    def _watched(self, outgoing: Outgoing, exchange: UpstreamResponse) -> ProviderStream:
        stream = super()._watched(outgoing, exchange)
        if self._tracing.active and isinstance(stream, TracedStream):
            stream.trace(self._tracing)
        return stream


class TracedSubmitter(Submitter):
    """Submits with a span, whose context the job keeps: its run continues the trace."""

    def __init__(self, tracing: Tracing, *arguments: Any) -> None:  # noqa: ANN401 - those of the plain class
        super().__init__(*arguments)
        self._tracing = tracing

    async def submit(self, call: Call, new: NewJob, on_reserved: OnReserved = lambda _: None) -> Submission:
        """Reserve what a job may cost, then submit it."""
        if not self._tracing.active:
            return await super().submit(call, new, on_reserved)
        attributes = {"finops.job.id": new.id, "finops.request.id": new.request_id, "gen_ai.request.model": new.model}
        with self._tracing.span(f"submit {new.request_type}", "producer", attributes) as span:
            traced = replace(new, context={**new.context, TRACEPARENT: traceparent_of(span)})
            submission = await super().submit(call, traced, on_reserved)
            span.set_attributes({"finops.job.id": submission.job.id, "finops.job.created": submission.created})
            return submission

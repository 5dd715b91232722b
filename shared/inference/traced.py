"""The inference path with traces: the classes that stand in for the plain ones where traces are configured.

Names of attributes: OpenTelemetry's GenAI conventions, https://github.com/open-telemetry/semantic-conventions-genai
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from typing import Any, Final, TypeVar

import orjson

from shared.errors import ClientGone
from shared.governance.limits.guard import Reservation
from shared.inference.attempts import Attempts, Once
from shared.inference.call import Answer, Call, Target
from shared.inference.call_cost import CallCost
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

_OPERATIONS: Final = {
    "chat.completions": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
# Well-known values of gen_ai.provider.name; any other provider is named as it is configured.
_PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
_REQUESTED: Final = {
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
}


def attempt_attributes(call: Call, attempt_target: Target, key: ProviderKey | None, number: int) -> dict[str, Value]:
    """Return what is known of an attempt before it is made."""
    name = attempt_target.provider.name
    found: dict[str, Value] = {
        "gen_ai.operation.name": operation_of(call),
        "gen_ai.provider.name": _PROVIDERS.get(name, name),
        "gen_ai.request.model": attempt_target.model,
        "gen_ai.request.stream": call.stream,
        "finops.provider": name,
        "finops.attempt": number,
        "finops.request.id": call.request_id,
    }
    if key is not None and key.name:
        found["finops.provider.key"] = key.name
    if call.job_id:
        found["finops.job.id"] = call.job_id
    for field, attribute in _REQUESTED.items():
        value = call.fields.get(field)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[attribute] = value
    return found


def operation_of(call: Call) -> str:
    """Return ``gen_ai.operation.name``: a well-known one, else the request type."""
    return _OPERATIONS.get(call.request_type.name, call.request_type.name)


def usage_attributes(usage: Mapping[str, Any]) -> dict[str, Value]:
    """Return the token counts of an answer, from a provider's usage in either of OpenAI's forms."""
    inside = {name: usage.get(name) for name in ("prompt_tokens_details", "input_tokens_details")}
    outside = {name: usage.get(name) for name in ("completion_tokens_details", "output_tokens_details")}
    counts = {
        "gen_ai.usage.input_tokens": usage.get("prompt_tokens", usage.get("input_tokens")),
        "gen_ai.usage.output_tokens": usage.get("completion_tokens", usage.get("output_tokens")),
        "gen_ai.usage.cache_read.input_tokens": _detail(inside, "cached_tokens"),
        "gen_ai.usage.reasoning.output_tokens": _detail(outside, "reasoning_tokens"),
    }
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def _detail(tables: Mapping[str, Any], name: str) -> object:
    return next((table[name] for table in tables.values() if isinstance(table, dict) and table.get(name)), None)


class TracedAttempts(Attempts):
    """Attempts with a span each."""

    __slots__ = ("_tracing",)

    def __init__(self, tracing: Tracing, *arguments: Any) -> None:  # noqa: ANN401 - those of the plain class
        super().__init__(*arguments)
        self._tracing = tracing

    async def _once(self, target: Target, health: ProviderHealth, key: ProviderKey | None, once: Once[T]) -> T:
        call, tracing = self._call, self._tracing
        attributes = attempt_attributes(call, target, key, self.made + 1)
        with tracing.span(f"{operation_of(call)} {target.model}", "client", attributes) as span:
            if tracing.redact is not None and (messages := _input_of(call)):
                span.set_attribute("gen_ai.input.messages", tracing.redact(messages))
            answer = await super()._once(target, health, key, once)
            if isinstance(answer, Answer):
                span.set_attributes(_answer_attributes(answer))
                if tracing.redact is not None and (output := _output_of(call, answer.body)):
                    span.set_attribute("gen_ai.output.messages", tracing.redact(output))
            return answer


def _answer_attributes(answer: Answer) -> dict[str, Value]:
    return {
        "gen_ai.response.model": answer.model,
        "http.response.status_code": answer.status,
        **usage_attributes(answer.usage),
    }


def _input_of(call: Call) -> str:
    """The messages of a chat, as the conventions have them; empty when the body is not a chat."""
    messages = call.fields.get("messages")
    return _as_messages(messages) if call.request_type is CHAT and isinstance(messages, list) else ""


def _output_of(call: Call, body: bytes) -> str:
    if call.request_type is not CHAT:
        return ""
    choices = orjson.loads(body).get("choices") or []
    return _as_messages([choice.get("message") for choice in choices if isinstance(choice, dict)])


def _as_messages(messages: Sequence[object]) -> str:
    """Write messages as roles with parts; of parts only the texts."""
    found = []
    for message in messages:
        if isinstance(message, dict):
            content = message.get("content")
            texts = [content] if isinstance(content, str) else [
                part["text"]
                for part in (content if isinstance(content, list) else ())
                if isinstance(part, dict) and isinstance(part.get("text"), str)
            ]  # fmt: skip
            parts = [{"type": "text", "content": text} for text in texts]
            found.append({"role": str(message.get("role", "")), "parts": parts})
    return orjson.dumps(found).decode()


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
    _tracing: Tracing

    def trace(self, tracing: Tracing) -> None:
        """Begin the span."""
        attributes: dict[str, Value] = {"finops.provider": self.provider, "gen_ai.response.model": self.model}
        self._tracing = tracing
        self._span = tracing.start("stream", "client", attributes)

    async def begin(self) -> bool:
        """Wait for the first complete event, and note it."""
        begun = await super().begin()
        if self._span is not None:
            self._span.add_event("first event")
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

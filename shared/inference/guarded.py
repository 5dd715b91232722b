"""The inference path with guardrails: the classes that stand in for the plain ones where guardrails are configured."""

from collections.abc import Sequence
from typing import Any, TypeVar

from shared.errors import GuardrailUnavailable, PassthroughBlocked
from shared.governance.keys.caller import Caller
from shared.inference.answer_cache import FromCache
from shared.inference.call import Answer, AnswerStream, Call, RetryLater, Target
from shared.inference.call_cost import CallCost
from shared.inference.guardrails import Guardrails, refused_stream
from shared.inference.inference import Inference
from shared.inference.outgoing import Receive
from shared.inference.passthrough import RawRequest
from shared.inference.traced import TracedInference
from shared.providers.wires.base import Wire

T = TypeVar("T")


class GuardedInference(Inference):
    """The inference path whose requests and answers are checked.

    Args:
        guardrails: Check them; further arguments are those of the plain class.
    """

    def __init__(self, guardrails: Guardrails, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **named)
        self._guardrails = guardrails
        self.forwarder.refuse = self._refuse_unread

    async def stored_answer(self, call: Call) -> Answer | None:
        """Return the stored answer to a call; None for one that is to be checked: its job does that."""
        checked = self._guardrails.covering("request", call.caller) or self._guardrails.covering("answer", call.caller)
        return None if checked else await super().stored_answer(call)

    async def stream(self, call: Call, call_cost: CallCost | None = None) -> AnswerStream:
        """Return the model's answer while it arrives.

        Raises:
            GatewayError: As the plain path; or a guardrail checks whole answers.
        """
        for guardrail in self._guardrails.covering("answer", call.caller, self._route(call)):
            if guardrail.settings.streams == "refuse":
                raise refused_stream(guardrail)
        return await super().stream(call, call_cost)

    async def count_tokens(self, call: Call) -> int | None:
        """Return how many input tokens its provider counts; None where the request is to be checked first."""
        if self._guardrails.covering("request", call.caller):
            return None
        return await super().count_tokens(call)

    async def aclose(self) -> None:
        """Close everything."""
        await super().aclose()
        await self._guardrails.aclose()

    async def _run(
        self, call: Call, call_cost: CallCost | None, receive: Receive[T], from_cache: FromCache[T]
    ) -> tuple[T, CallCost | None]:
        targets = self._route(call)
        cost = call_cost or self.open_call_cost(call)
        try:
            await self._check_request(call, targets)
            received, _ = await super()._run(call, cost, receive, from_cache)
            if isinstance(received, Answer):
                await self._check_answer(call, targets, received, cost)
        except BaseException as error:
            if call.cache is not None:
                call.cache.end()
            if call_cost is None and cost is not None:
                cost.failed(error)
            raise
        return received, cost

    async def _check_request(self, call: Call, targets: Sequence[Target]) -> None:
        """Check a request before anything is reserved or sent for it.

        Raises:
            GuardrailDenied, GuardrailUnavailable: It is not to be sent.
            RetryLater: A job's guardrail does not answer.
        """
        try:
            await self._guardrails.check_request(call, self._guardrails.covering("request", call.caller, targets))
        except GuardrailUnavailable as error:
            if call.defers and error.retry_after_s is not None:
                raise RetryLater(error.retry_after_s, error.code or "", error) from error
            raise

    async def _check_answer(self, call: Call, targets: Sequence[Target], answer: Answer, cost: CallCost | None) -> None:
        """Check an answer; one that its caller does not get is booked at what it cost.

        Raises:
            GuardrailDenied, GuardrailUnavailable: The caller is not to see it.
        """
        try:
            guardrails = self._guardrails.covering("answer", call.caller, targets)
            await self._guardrails.check_answer(call, answer, guardrails)
        except BaseException as error:
            if cost is not None:
                cost.withheld(error, answer.usage, answer.body)
            raise

    async def _store_bridged(self, call: Call, wire: Wire) -> None:
        """Store the response that a bridge made, unless its caller may see only what a guardrail lets pass of it."""
        if not call.stream and self._guardrails.covering("answer", call.caller):
            return
        await super()._store_bridged(call, wire)

    def _refuse_unread(self, request: RawRequest, caller: Caller) -> None:
        """Refuse to forward what no guardrail can read, where one checks the caller's calls.

        Raises:
            PassthroughBlocked: It may hold a prompt, or be read for an answer.
        """
        guardrails = self._guardrails.covering("answer", caller)
        if not guardrails and request.body:
            guardrails = self._guardrails.covering("request", caller)
        if guardrails and not (request.method == "GET" and request.path.startswith("/models")):
            raise PassthroughBlocked(
                f"Nothing is forwarded unread, as the guardrail {guardrails[0].name!r} checks this caller's calls."
            )


class TracedGuardedInference(GuardedInference, TracedInference):
    """The same, with spans."""

"""The one path of every call, in both tiers: resolve, authorise, pick a key, call, retry, rotate, fall back."""

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from shared.errors import (
    BudgetExceeded,
    GatewayError,
    RequestLimited,
    TokenLimited,
    UnsupportedParameter,
    UpstreamFailure,
)
from shared.governance.admission import FREE, Admission
from shared.governance.caller import Caller
from shared.inference.accounts import Accounts
from shared.inference.attempts import Attempts, no_answer
from shared.inference.bill import Bill
from shared.inference.call import Answer, Call
from shared.inference.passthrough import Passthrough, RawAnswer, RawRequest
from shared.inference.route import Target, route
from shared.inference.streaming import ProviderStream
from shared.providers.base import Key
from shared.providers.client import ProviderClient
from shared.providers.registry import Providers
from shared.providers.resilience import Verdict, judge
from shared.providers.wires.base import Ask, MalformedAnswer
from shared.telemetry.upstream import UNWATCHED, UpstreamWatch

T = TypeVar("T")
At = Callable[[Target, Key | None, float], Awaitable[T]]


class Inference:
    """Answers calls.

    Args:
        fallbacks: Model to the models tried after it.
        accounts: Where calls are admitted and booked; None: nobody counts.
        close: Called when it is closed: gives back what the client was built on.
    """

    def __init__(
        self,
        providers: Providers,
        client: ProviderClient,
        *,
        fallbacks: Mapping[str, Sequence[str]],
        watch: UpstreamWatch = UNWATCHED,
        accounts: Accounts | None = None,
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self._providers = providers
        self._client = client
        self._fallbacks = fallbacks
        self._watch = watch
        self._accounts = accounts
        self._close = close
        self._passthrough = Passthrough(providers, client)

    @property
    def providers(self) -> Providers:
        """The configured providers."""
        return self._providers

    def authorise(self, call: Call) -> None:
        """Everything that can be refused before a job is made of the call.

        Raises:
            GatewayError: As ``answer`` would, before any upstream request.
        """
        for target in self._route(call):
            self._client.wire(target.provider).request(_ask(call, target))

    async def reserve(self, job_id: str, call: Call) -> Admission:
        """Reserve what a job may cost, before it is submitted under that id.

        Raises:
            GatewayError: A limit is spent, or the call would be refused whatever happens.
        """
        if self._accounts is None:
            return FREE
        return await self._accounts.reserve(job_id, call, self._route(call))

    def give_back(self, job_id: str) -> None:
        """Release the reservation of a job that did not come about."""
        if self._accounts is not None:
            self._accounts.ledger.release(job_id)

    def open_bill(self, call: Call) -> Bill | None:
        """The bill of a call; that of a run of a job is booked with the job's outcome."""
        return None if self._accounts is None else Bill(self._accounts, call)

    async def answer(self, call: Call) -> Answer:
        """The model's complete answer.

        Raises:
            GatewayError: What the caller is told.
            RetryLater: Only where ``call.defers``.
        """
        attempts = Attempts(call, self._watch)

        async def at(target: Target, key: Key | None, total_s: float) -> Answer:
            wire = self._client.wire(target.provider)
            ask = _ask(call, target)
            request = wire.request(ask)
            exchange = await self._client.open(
                target.provider, key, target.model, request, headers=_passed_on(call), total_s=total_s
            )
            async with exchange:
                body = await exchange.read()
            try:
                translated = wire.answer(ask, body, exchange.content_type)
            except MalformedAnswer as error:
                raise UpstreamFailure(
                    f"The provider {target.provider.name!r} gave no usable answer: {error}."
                ) from error
            return Answer(
                status=exchange.status,
                body=translated.body,
                content_type=translated.content_type,
                headers=exchange.headers,
                provider=target.provider.name,
                model=target.model,
                usage=translated.usage,
                attempts=attempts.made,
            )

        answer, bill = await self._first(call, attempts, at)
        if bill is not None and self._accounts is not None:
            answer.ledger = bill.answered(answer.usage, answer.status, self._accounts.content(call, answer.body))
            answer.headers = {**answer.headers, **bill.headers()}
        return answer

    async def stream(self, call: Call) -> ProviderStream:
        """The model's answer as it comes; returned once its first bytes are there, so that a failure before is retried.

        Raises:
            GatewayError: What the caller is told; after this returns, iterating raises it.
            RetryLater: Only where ``call.defers``.
        """
        attempts = Attempts(call, self._watch)

        async def at(target: Target, key: Key | None, total_s: float) -> ProviderStream:
            wire = self._client.wire(target.provider)
            ask = _ask(call, target)
            request = wire.request(ask)
            exchange = await self._client.open(
                target.provider, key, target.model, request, headers=_passed_on(call), total_s=total_s, stream=True
            )
            stream = ProviderStream(exchange, wire, ask, provider=target.provider.name, model=target.model)
            try:
                if not await stream.begin():
                    raise no_answer(target.provider.name)
            except BaseException:
                await stream.aclose()
                raise
            stream.attempts = attempts.made
            return stream

        stream, bill = await self._first(call, attempts, at)
        if bill is not None:
            bill.began()
            stream.bill = bill
            if stream.whole is not None:
                bill.answered(stream.usage, stream.status)
            stream.headers = {**stream.headers, **bill.headers()}
        return stream

    async def passthrough(self, request: RawRequest, caller: Caller) -> RawAnswer:
        """Forward a request of a resource that its provider owns, untouched, and its answer too."""
        return await self._passthrough.forward(request, caller)

    async def models(self, caller: Caller) -> list[dict[str, object]]:
        """OpenAI's model objects of everything that the caller may use, ids with the provider's prefix."""
        return await self._passthrough.models(caller)

    async def aclose(self) -> None:
        """Book what waits, and close every upstream connection."""
        if self._accounts is not None:
            await self._accounts.aclose()
        await self._close()

    def _route(self, call: Call) -> list[Target]:
        targets = route(call, self._providers, self._fallbacks)
        offers = [target for target in targets if call.request_type.name in self._offered(target)]
        if not offers:
            raise UnsupportedParameter(
                f"The provider {targets[0].provider.name!r} does not offer {call.request_type.name}.", param="model"
            )
        return offers

    def _offered(self, target: Target) -> frozenset[str]:
        return target.provider.request_types & self._client.wire(target.provider).request_types

    async def _first(self, call: Call, attempts: Attempts, at: At[T]) -> tuple[T, Bill | None]:
        """The first target that answers, and the bill; without an answer, the bill is closed."""
        targets = self._route(call)
        bill = call.bill or self.open_bill(call)
        try:
            if bill is not None and self._accounts is not None:
                await self._accounts.admit(bill, call, targets)
            return await self._try_each(call, targets, bill, attempts, at), bill
        except BaseException as error:
            if bill is not None and call.bill is None:  # a job's is closed with its outcome
                bill.failed(error)
            raise

    async def _try_each(
        self, call: Call, targets: Sequence[Target], bill: Bill | None, attempts: Attempts, at: At[T]
    ) -> T:
        failure: GatewayError | None = None
        for target in targets:

            async def once(key: Key | None, total_s: float, target: Target = target) -> T:
                if bill is not None:
                    bill.sent(target.provider.name, target.model, key.name if key else "")
                return await at(target, key, total_s)

            try:
                if bill is not None and self._accounts is not None and target is not targets[0]:
                    await self._accounts.enter(bill, call, target)
                return await attempts.at(target, once)
            except (BudgetExceeded, RequestLimited, TokenLimited) as error:
                failure = failure or error  # this fallback's own limits; the next may have room
            except GatewayError as error:
                if judge(error) is Verdict.GIVE_UP:
                    raise
                failure = error
        raise failure or UpstreamFailure("No provider was there to answer.")


def _ask(call: Call, target: Target) -> Ask:
    return Ask(
        request_type=call.request_type,
        model=target.provider.deployments.get(target.model, target.model),
        body=call.body,
        fields=call.fields,
        content_type=call.content_type,
        stream=call.stream,
        created=int(time.time()),
        answer_id=call.job_id or call.request_id or uuid.uuid4().hex,
    )


def _passed_on(call: Call) -> Mapping[str, str]:
    """The caller's headers for the provider; a job's id is its idempotency key, so that a re-run may be recognised."""
    if not call.job_id:
        return call.headers
    return {**call.headers, "idempotency-key": call.job_id}

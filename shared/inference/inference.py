"""The one path of every call, in both tiers: resolve, authorise, pick a key, call, retry, rotate, fall back."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from math import inf
from typing import Any, TypeVar

from shared.errors import GatewayError, Overloaded, UnsupportedParameter, UpstreamFailure, UpstreamTimeout
from shared.governance.caller import Caller
from shared.inference.attempts import Attempts, no_answer
from shared.inference.call import Answer, Call, RetryLater
from shared.inference.passthrough import Passthrough, RawAnswer, RawRequest
from shared.inference.route import Routing, Target
from shared.inference.streaming import ProviderStream
from shared.providers.base import Key
from shared.providers.client import Exchange, ProviderClient
from shared.providers.health import HealthBoard
from shared.providers.health_sharing import SharedHealth
from shared.providers.registry import Providers
from shared.providers.resilience import Verdict, judge
from shared.providers.wires.base import Ask, MalformedAnswer
from shared.telemetry.upstream import UNWATCHED, UpstreamWatch

T = TypeVar("T")
At = Callable[[Target, Key | None, float], Awaitable[T]]


class Inference:
    """Answers calls.

    Args:
        routing: From a model's name to what may answer.
        board: How the providers do.
        max_total_s: Bound on all attempts of a caller's call together; a job has its own deadline.
        close: Called when it is closed: gives back what the client was built on.
        sharing: Tells other processes how the providers do; None: this process keeps it to itself.
    """

    def __init__(
        self,
        providers: Providers,
        client: ProviderClient,
        *,
        routing: Routing,
        board: HealthBoard,
        watch: UpstreamWatch = UNWATCHED,
        max_total_s: float = inf,
        close: Callable[[], Awaitable[None]],
        sharing: SharedHealth | None = None,
    ) -> None:
        self._providers = providers
        self._client = client
        self._routing = routing
        self._board = board
        self._watch = watch
        self._max_total_s = max_total_s
        self._close = close
        self._sharing = sharing
        self._passthrough = Passthrough(providers, client)

    def start(self) -> None:
        """Begin to hear from other processes, in a running event loop. Without it, calls are answered all the same."""
        if self._sharing is not None:
            self._sharing.start()

    def states(self) -> dict[str, dict[str, Any]]:
        """How each provider does: circuits, resting keys, calls at once (``ProviderHealth.state``)."""
        return self._board.states()

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

    async def answer(self, call: Call) -> Answer:
        """The model's complete answer.

        Raises:
            GatewayError: What the caller is told.
            RetryLater: Only where ``call.defers``.
        """
        attempts = self._attempts(call)

        async def at(target: Target, key: Key | None, total_s: float) -> Answer:
            wire = self._client.wire(target.provider)
            ask = _ask(call, target)
            request = wire.request(ask)
            exchange = await self._client.open(
                target.provider,
                key,
                target.model,
                request,
                headers=_passed_on(call),
                total_s=total_s,
                wait_s=_place_wait_s(call, total_s),
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

        return await self._first(call, attempts, at)

    async def stream(self, call: Call) -> ProviderStream:
        """The model's answer as it comes; returned once its first bytes are there, so that a failure before is retried.

        Raises:
            GatewayError: What the caller is told; after this returns, iterating raises it.
            RetryLater: Only where ``call.defers``.
        """
        attempts = self._attempts(call)

        async def at(target: Target, key: Key | None, total_s: float) -> ProviderStream:
            wire = self._client.wire(target.provider)
            ask = _ask(call, target)
            request = wire.request(ask)
            limits = target.provider.timeouts
            begin_s = min(limits.first_token_s, total_s, attempts.begin_s())
            try:
                async with asyncio.timeout(begin_s):
                    exchange = await self._client.open(
                        target.provider,
                        key,
                        target.model,
                        request,
                        headers=_passed_on(call),
                        total_s=total_s,
                        stream=True,
                        wait_s=_place_wait_s(call, total_s),
                    )
                    stream = self._watched(exchange, ask, target, key)
                    await _begin(stream)
            except TimeoutError:
                raise UpstreamTimeout(
                    f"The provider {target.provider.name!r} began no answer within {begin_s:g} s."
                ) from None
            stream.attempts = attempts.made
            return stream

        return await self._first(call, attempts, at)

    def _watched(self, exchange: Exchange, ask: Ask, target: Target, key: Key | None) -> ProviderStream:
        """The stream of an opened exchange; if it ends badly, that is noted as a failed attempt would be."""
        health = self._board[target.provider.name]
        return ProviderStream(
            exchange,
            self._client.wire(target.provider),
            ask,
            provider=target.provider.name,
            model=target.model,
            on_failure=partial(health.failed, key.name if key else "", target.model),
        )

    async def passthrough(self, request: RawRequest, caller: Caller) -> RawAnswer:
        """Forward a request of a resource that its provider owns, untouched, and its answer too."""
        return await self._passthrough.forward(request, caller)

    async def models(self, caller: Caller) -> list[dict[str, object]]:
        """OpenAI's model objects of everything that the caller may use, ids with the provider's prefix."""
        return [*self._named(caller), *await self._passthrough.models(caller)]

    def _named(self, caller: Caller) -> list[dict[str, object]]:
        """Aliases and routes, of which the caller may use at least one target."""
        return [
            {"id": name, "object": "model", "created": 0, "owned_by": "finops"}
            for name in self._routing.names
            if any(caller.may_use(target.provider.name, target.model) for target in self._routing.meant(name))
        ]

    async def aclose(self) -> None:
        """Close every upstream connection."""
        if self._sharing is not None:
            await self._sharing.aclose()
        await self._close()

    def _route(self, call: Call) -> list[Target]:
        targets = self._routing.targets(call)
        offers = [target for target in targets if call.request_type.name in self._offered(target)]
        if not offers:
            raise UnsupportedParameter(
                f"The provider {targets[0].provider.name!r} does not offer {call.request_type.name}.", param="model"
            )
        return offers

    def _offered(self, target: Target) -> frozenset[str]:
        return target.provider.request_types & self._client.wire(target.provider).request_types

    def _attempts(self, call: Call) -> Attempts:
        return Attempts(call, self._watch, self._board, inf if call.defers else self._max_total_s)

    async def _first(self, call: Call, attempts: Attempts, at: At[T]) -> T:
        """The first target that answers."""
        targets = self._route(call)
        final = targets[-1]
        failure: GatewayError | None = None
        for target in targets:
            try:
                return await attempts.at(target, at, last=target is final)
            except GatewayError as error:
                if judge(error) is Verdict.GIVE_UP:
                    raise
                failure = error
        if failure is None:
            raise UpstreamFailure("No provider was there to answer.")
        if call.defers and isinstance(failure, Overloaded):
            raise RetryLater(failure.retry_after_s or 1.0, "overloaded", failure) from failure
        raise failure


async def _begin(stream: ProviderStream) -> None:
    """Wait for a stream's first event."""
    try:
        if not await stream.begin():
            raise no_answer(stream.provider)
    except BaseException:
        await stream.aclose()
        raise


def _place_wait_s(call: Call, total_s: float) -> float:
    """How long a call may wait for a place among a provider's concurrent calls."""
    return min(call.patience_s, total_s)


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

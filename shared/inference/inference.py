"""The one path of every call, in both tiers: resolve, authorise, pick a key, call, retry, rotate, fall back."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from math import inf
from typing import Any, TypeVar

import orjson

from shared.errors import (
    UnsupportedParameter,
    UpstreamFailure,
    UpstreamRefused,
    UpstreamTimeout,
)
from shared.governance.keys.caller import Caller
from shared.governance.limits.guard import UNLIMITED, Reservation
from shared.inference.attempts import Attempts, no_answer
from shared.inference.billing import Billing
from shared.inference.call import Answer, Call
from shared.inference.call_cost import CallCost
from shared.inference.conversations import Conversations
from shared.inference.forwarding import forward_booked
from shared.inference.model_lists import ModelLists
from shared.inference.passthrough import Passthrough, RawAnswer, RawRequest
from shared.inference.route import Routing, Target
from shared.inference.streaming import ProviderStream
from shared.inference.translation import NOTHING, offered, translation
from shared.providers.base import ProviderKey
from shared.providers.client import ProviderClient, UpstreamResponse
from shared.providers.health.board import HealthBoard
from shared.providers.health.sharing import SharedHealth
from shared.providers.registry import Providers
from shared.providers.wires.base import MalformedAnswer, ProviderRequest, Wire
from shared.providers.wires.bridged import Recalled
from shared.surfaces.request_types import RESPONSES
from shared.telemetry.upstream import UNWATCHED, UpstreamWatch

T = TypeVar("T")
# Others who speak Anthropic's format do not all count.
_NO_SUCH_ENDPOINT = frozenset({404, 405, 501})
At = Callable[[Target, ProviderKey | None, float], Awaitable[T]]


class Inference:
    """Answers calls.

    Args:
        routing: From a model's name to what may answer.
        board: How the providers do.
        max_total_s: Bound on all attempts of a caller's call together; a job has its own deadline.
        accounts: Where calls are admitted and booked; None: nobody counts.
        conversations: Where responses are kept; None: nowhere.
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
        billing: Billing | None = None,
        conversations: Conversations | None = None,
        close: Callable[[], Awaitable[None]],
        sharing: SharedHealth | None = None,
    ) -> None:
        self._providers = providers
        self._client = client
        self._routing = routing
        self._board = board
        self._watch = watch
        self._max_total_s = max_total_s
        self._billing = billing
        self._conversations = conversations
        self._close = close
        self._sharing = sharing
        self._passthrough = Passthrough(providers, client)
        self._model_lists = ModelLists(providers, client)

    def start(self) -> None:
        """Begin to hear from other processes, in a running event loop. Without it, calls are answered all the same."""
        if self._sharing is not None:
            self._sharing.start()
        if self._billing is not None:
            self._billing.start()

    def states(self) -> dict[str, dict[str, Any]]:
        """How each provider does: circuits, resting keys, calls at once (``ProviderHealth.state``)."""
        return self._board.states()

    @property
    def providers(self) -> Providers:
        """The configured providers."""
        return self._providers

    @property
    def conversations(self) -> Conversations | None:
        """The responses that are kept here."""
        return self._conversations

    async def authorise(self, call: Call) -> None:
        """Everything that can be refused before a job is made of the call.

        Raises:
            GatewayError: As ``answer`` would, before any upstream request.
        """
        recalled = await self._recall(call)
        for place, target in enumerate(self._route(call)):
            try:
                wire, ask = self._translation(call, target, recalled)
                wire.request(ask)
            except UnsupportedParameter:
                if place == 0:
                    raise  # a fallback that cannot say it is passed over

    async def reserve(self, job_id: str, call: Call) -> Reservation:
        """Reserve what a job may cost, before it is submitted under that id.

        Raises:
            GatewayError: A limit is spent, or the call would be refused whatever happens.
        """
        if self._billing is None:
            return UNLIMITED
        return await self._billing.reserve(job_id, call, self._route(call))

    def give_back(self, job_id: str) -> None:
        """Release the reservation of a job that did not come about."""
        if self._billing is not None:
            self._billing.ledger.release(job_id)

    def open_call_cost(self, call: Call) -> CallCost | None:
        """The bill of a call; that of a run of a job is booked with the job's outcome."""
        return None if self._billing is None else CallCost(self._billing, call)

    async def answer(self, call: Call) -> Answer:
        """The model's complete answer.

        Raises:
            GatewayError: What the caller is told.
            RetryLater: Only where ``call.defers``.
        """
        attempts = self._attempts(call)
        recalled = await self._recall(call)

        async def at(target: Target, key: ProviderKey | None, total_s: float) -> Answer:
            wire, ask = self._translation(call, target, recalled)
            request = wire.request(ask)
            exchange = await self._client.open(
                target.provider,
                key,
                target.model,
                request,
                headers=call.passed_on(),
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
            await self._keep(call, wire)
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

        answer = await self._first(call, attempts, at)
        call_cost = attempts.call_cost
        if call_cost is not None:
            answer.ledger = call_cost.answered(answer.usage, answer.status, answer.body)
            answer.headers = {**answer.headers, **call_cost.headers()}
        return answer

    async def stream(self, call: Call) -> ProviderStream:
        """The model's answer as it comes; returned once its first bytes are there, so that a failure before is retried.

        Raises:
            GatewayError: What the caller is told; after this returns, iterating raises it.
            RetryLater: Only where ``call.defers``.
        """
        attempts = self._attempts(call)
        recalled = await self._recall(call)

        async def at(target: Target, key: ProviderKey | None, total_s: float) -> ProviderStream:
            wire, ask = self._translation(call, target, recalled)
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
                        headers=call.passed_on(),
                        total_s=total_s,
                        stream=True,
                        wait_s=_place_wait_s(call, total_s),
                    )
                    stream = self._watched(exchange, wire, ask, target=target, key=key, call=call)
                    await _begin(stream)
            except TimeoutError:
                raise UpstreamTimeout(
                    f"The provider {target.provider.name!r} began no answer within {begin_s:g} s."
                ) from None
            stream.attempts = attempts.made
            return stream

        stream = await self._first(call, attempts, at)
        call_cost = attempts.call_cost
        if call_cost is not None:
            call_cost.began()
            stream.call_cost = call_cost
            if stream.whole is not None:
                call_cost.answered(stream.usage, stream.status, stream.whole)
            stream.headers = {**stream.headers, **call_cost.headers()}
        return stream

    def _watched(
        self,
        exchange: UpstreamResponse,
        wire: Wire,
        ask: ProviderRequest,
        *,
        target: Target,
        key: ProviderKey | None,
        call: Call,
    ) -> ProviderStream:
        """The stream of an opened exchange; if it ends badly, that is noted as a failed attempt would be."""
        health = self._board[target.provider.name]
        return ProviderStream(
            exchange,
            wire,
            ask,
            provider=target.provider.name,
            model=target.model,
            on_failure=partial(health.failed, key.name if key else "", target.model),
            ended=partial(self._keep, call, wire),
        )

    async def count_tokens(self, call: Call) -> int | None:
        """How many input tokens its provider counts in a chat; None: it has no way to count.

        Raises:
            GatewayError: What the caller is told, as ``answer`` would.
        """
        target = self._route(call)[0]
        wire, ask = self._translation(call, target, NOTHING)
        counting = wire.token_count(ask)
        if counting is None:
            return None

        async def at(target: Target, key: ProviderKey | None, total_s: float) -> int:
            exchange = await self._client.open(
                target.provider, key, target.model, counting.request, headers=call.passed_on(), total_s=total_s
            )
            async with exchange:
                return counting.read(await exchange.read())

        try:
            return await self._attempts(call).at(target, at, last=True)
        except UpstreamRefused as error:
            if error.status in _NO_SUCH_ENDPOINT:
                return None
            raise
        except MalformedAnswer:
            return None

    async def keep_job(self, call: Call, answer: Answer) -> None:
        """Keep the response that a job ended with, under the job's id, by which its caller knows it."""
        if call.request_type is not RESPONSES or not answer.content_type.startswith("application/json"):
            return
        response = orjson.loads(answer.body)
        if isinstance(response, dict) and isinstance(response.get("output"), list):
            await self._remember(call, {**response, "id": call.job_id})

    async def passthrough(self, request: RawRequest, caller: Caller) -> RawAnswer:
        """Forward a request of a resource that its provider owns, untouched; one that makes something is booked."""
        if self._billing is None or request.method != "POST":
            return await self._passthrough.forward(request, caller)
        return await forward_booked(self._passthrough, self._billing, request, caller)

    async def models(self, caller: Caller) -> list[dict[str, object]]:
        """OpenAI's model objects of everything that the caller may use, ids with the provider's prefix."""
        return [*self._named(caller), *await self._model_lists.models(caller)]

    def names(self, model: str) -> bool:
        """Whether configuration gave this name to a model or a route."""
        return model in self._routing.names

    async def model(self, name: str, caller: Caller) -> dict[str, object]:
        """One model that no list has, of the provider that its name says."""
        return await self._model_lists.model(name, caller)

    def check_model(self, model: str, caller: Caller) -> None:
        """Let a model's name pass that leads somewhere where the caller may go.

        Raises:
            UnknownProvider: It leads nowhere.
            ProviderBlocked, ModelBlocked: The caller may not use it.
        """
        self._routing.check(model, caller)

    def batch_provider(self, models: Iterable[str], caller: Caller) -> str | None:
        """The one provider that has all of the models and a Batch API of its own, open to the caller; None: none is.

        Args:
            models: Empty text stands for the default provider's own choice.
        """
        return self._routing.batch_provider(models, caller)

    def _named(self, caller: Caller) -> list[dict[str, object]]:
        """Aliases and routes, of which the caller may use at least one target."""
        return [
            {"id": name, "object": "model", "created": 0, "owned_by": "finops"}
            for name in self._routing.names
            if any(caller.may_use(target.provider.name, target.model) for target in self._routing.meant(name))
        ]

    async def aclose(self) -> None:
        """Book what waits, and close every upstream connection."""
        if self._sharing is not None:
            await self._sharing.aclose()
        if self._billing is not None:
            await self._billing.aclose()
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
        return offered(target, self._client.wire(target.provider))

    def _translation(self, call: Call, target: Target, recalled: Recalled) -> tuple[Wire, ProviderRequest]:
        return translation(call, target, self._client.wire(target.provider), recalled)

    async def _recall(self, call: Call) -> Recalled:
        if call.request_type is not RESPONSES or self._conversations is None:
            return NOTHING
        return await self._conversations.recall(call.fields, call.caller)

    async def _keep(self, call: Call, wire: Wire) -> None:
        """Keep what a bridge made; jobs keep theirs when they end."""
        if wire.response is not None and not call.job_id:
            await self._remember(call, wire.response)

    async def _remember(self, call: Call, response: Mapping[str, Any]) -> None:
        if self._conversations is not None:
            await self._conversations.keep(call.fields, response, call.caller)

    def _attempts(self, call: Call) -> Attempts:
        return Attempts(call, self._watch, self._board, inf if call.defers else self._max_total_s)

    async def _first(self, call: Call, attempts: Attempts, at: At[T]) -> T:
        """The first target that answers; without an answer, the bill is closed."""
        targets = self._route(call)
        call_cost = attempts.call_cost = call.call_cost or self.open_call_cost(call)
        if call_cost is None:
            return await attempts.over(targets, at)
        try:
            await call_cost.admit(targets)
            return await attempts.over(targets, at)
        except BaseException as error:
            if call.call_cost is None:  # a job's is closed with its outcome
                call_cost.failed(error)
            raise


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

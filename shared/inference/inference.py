"""The one path of every call, in both tiers: resolve, authorise, translate, send, retry, rotate keys, fall back."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from math import inf
from typing import Any, TypeVar

import orjson

from shared.background import beside_loop
from shared.errors import GatewayError, LimitReached, UnsupportedParameter, UpstreamFailure, UpstreamTimeout
from shared.governance.limits.guard import UNLIMITED, Reservation
from shared.inference.answer_cache import AnswerCache, CachedRun, FromCache
from shared.inference.attempts import Attempt, Attempts
from shared.inference.billing import Billing
from shared.inference.call import Answer, AnswerStream, Call, Target
from shared.inference.call_cost import CallCost
from shared.inference.catalogue import Catalogue
from shared.inference.conversations import Conversations, continuing
from shared.inference.forwarding import Forwarder
from shared.inference.late_reads import LateReads
from shared.inference.model_lists import ModelLists
from shared.inference.outgoing import Outgoing, Receive, begin
from shared.inference.output_limits import limit_output
from shared.inference.owned_ids import OwnedIds
from shared.inference.passthrough import Passthrough
from shared.inference.provider_objects import ProviderObjects
from shared.inference.route import Routing
from shared.inference.streaming import ProviderStream
from shared.inference.token_count import count_tokens
from shared.inference.translation import NOTHING, Prepared, check_translation, prepared, supported_types
from shared.providers.client import ProviderClient, UpstreamResponse
from shared.providers.health.board import HealthBoard
from shared.providers.health.sharing import SharedHealth
from shared.providers.registry import Providers
from shared.providers.wires.base import MalformedAnswer, Wire
from shared.providers.wires.bridged import Recalled
from shared.surfaces.request_types import RESPONSES
from shared.telemetry.upstream import UNWATCHED, UpstreamWatch

T = TypeVar("T")


class Inference:
    """Answers calls.

    Args:
        providers: The configured providers.
        client: Sends requests to them.
        routing: Resolves model names to targets.
        board: Health of the providers.
        watch: Notified of every attempt.
        max_total_s: Bound on all attempts of a caller's call together; a job has its own deadline.
        billing: Reserves and books; None: nothing is billed.
        conversations: Stores responses; None: none are stored.
        close: Awaited when this is closed: closes what the client was built on.
        sharing: Exchanges the providers' health with other processes; None: it stays in this process.
        owned: Owners of what providers keep; None: nobody owns anything.
        cache: Serves and stores answers; None: every call goes to a provider.

    Attributes:
        providers: The configured providers.
        conversations: The stored responses; None: none are stored.
        catalogue: The model names that callers may use.
        forwarder: Forwards requests that belong to one provider.
        objects: Checks and records who owns what providers keep.
        late_reads: Streams that are read on after their callers have left.
        cache: The cache of answers; None: it is off.
    """

    _stream_class: type[ProviderStream] = ProviderStream

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
        owned: OwnedIds | None = None,
        cache: AnswerCache | None = None,
    ) -> None:
        self._client = client
        self._routing = routing
        self._board = board
        self._watch = watch
        self._max_total_s = max_total_s
        self._billing = billing
        self._close = close
        self._sharing = sharing
        self.providers = providers
        self.late_reads = LateReads()
        self.cache = cache
        self.conversations = conversations
        self.catalogue = Catalogue(routing, ModelLists(providers, client))
        self.objects = ProviderObjects(owned)
        self.forwarder = Forwarder(Passthrough(providers, client), billing, owned)

    def start(self) -> None:
        """Start the exchange with other processes; needs a running event loop. Calls are answered without it too."""
        if self._sharing is not None:
            self._sharing.start()
        if self._billing is not None:
            self._billing.start()

    def states(self) -> dict[str, dict[str, Any]]:
        """Return each provider's health: circuits, keys that cool down, calls at once (``ProviderHealth.state``)."""
        return self._board.states()

    async def authorise(self, call: Call) -> None:
        """Check everything that can be refused before a job is made of the call.

        Raises:
            GatewayError: As ``answer`` would, before any upstream request.
        """
        recalled = await self._recall(call)
        for index, target in enumerate(self._route(call)):
            if index == 0:
                await self.objects.check(call, target)
            try:
                wire = self._client.wire(target.provider)
                await beside_loop(call.body, check_translation, call, target, wire, recalled)
            except UnsupportedParameter:
                if index == 0:
                    raise  # a fallback that cannot express it is passed over

    async def reserve(self, job_id: str, call: Call) -> Reservation:
        """Reserve what a job may cost, before it is submitted under that id; a refusal is booked.

        Raises:
            GatewayError: A limit is spent, or the call would be refused whatever happens.
        """
        if self._billing is None:
            return UNLIMITED
        targets = self._route(call)
        call = continuing(call, await self._recall(call))
        try:
            return await self._billing.reserve_job(job_id, call, targets)
        except GatewayError as error:
            if not (isinstance(error, LimitReached) and error.parks):
                CallCost(self._billing, call).failed(error)
            raise

    async def reserve_parked(self, call: Call) -> None:
        """Reserve what a parked job may cost before it runs; nothing but its end gives that back.

        Raises:
            GatewayError: A limit is spent, or the call would be refused whatever happens.
        """
        if self._billing is not None:
            await self._billing.reserve_parked(continuing(call, await self._recall(call)), self._route(call))

    def run_ended(self, job_id: str) -> None:
        """Stop renewing what ``reserve_parked`` reserved."""
        if self._billing is not None:
            self._billing.guard.ended(job_id)

    def estimate_of_job(self, call: Call) -> Mapping[str, Any]:
        """Return what the record of a job without a reservation keeps, to charge a run that its caller ends."""
        return {} if self._billing is None else self._billing.estimate_of_job(call, self._route(call)[0])

    def give_back(self, job_id: str) -> None:
        """Release the reservation of a job that was not made."""
        if self._billing is not None:
            self._billing.ledger.release(job_id)

    def open_call_cost(self, call: Call) -> CallCost | None:
        """Return the account of a call's cost; None if nothing is billed."""
        return None if self._billing is None else CallCost(self._billing, call)

    async def answer(self, call: Call, call_cost: CallCost | None = None) -> Answer:
        """Return the model's complete answer.

        Args:
            call: The call.
            call_cost: Of a run of a job, whose owner closes it after a failure; None: opened and closed here.

        Raises:
            GatewayError: No target answered.
            RetryLater: Only where ``call.defers``.
        """
        answer, cost = await self._run(call, call_cost, self._receive_answer, AnswerCache.answer)
        use = call.cache
        if use is not None and use.entry is not None:
            return answer
        try:
            if cost is not None:
                answer.ledger = cost.answered(answer.usage, answer.status, answer.body)
                answer.headers = {**answer.headers, **cost.headers()}
            if use is not None and self.cache is not None:
                self.cache.writer.store_answer(call, use, answer, cost)
        finally:
            if use is not None:
                use.end()
        return answer

    async def stored_answer(self, call: Call) -> Answer | None:
        """Return the stored answer to a call, without calling a provider; None if there is none.

        Raises:
            GatewayError: A request limit is spent, or the call would be refused whatever happens.
            NotCached: There is none, and the caller wants nothing else.
        """
        if self.cache is None or call.cache is None:
            return None
        targets, open_cost = self._route(call), partial(self.open_call_cost, call)
        check = self.objects.check
        return await self.cache.stored_answer(call, call.cache, targets, check, open_cost, answering=self)

    async def stream(self, call: Call, call_cost: CallCost | None = None) -> AnswerStream:
        """Return the model's answer while it arrives, after its first bytes: a failure before them is retried.

        Args:
            call: The call.
            call_cost: As for ``answer``; the stream closes it once it has begun.

        Raises:
            GatewayError: No target answered; after this returns, iterating raises it.
            RetryLater: Only where ``call.defers``.
        """
        stream, cost = await self._run(call, call_cost, self._receive_stream, AnswerCache.stream)
        if not isinstance(stream, ProviderStream):
            return stream
        if cost is not None:
            cost.began()
            stream.call_cost, stream.late_reads = cost, self.late_reads
            if stream.whole is not None:
                cost.answered(stream.usage, stream.status, stream.whole)
            stream.headers = {**stream.headers, **cost.headers()}
        if call.cache is not None and self.cache is not None:
            self.cache.writer.record(call, call.cache, stream, cost)
        return stream

    async def count_tokens(self, call: Call) -> int | None:
        """Return how many input tokens its provider counts in a chat; None if the provider cannot count.

        Raises:
            GatewayError: As ``answer`` would.
        """
        target = self._route(call)[0]
        wire, ask, _ = await self._prepared(call, target, NOTHING)
        return await count_tokens(self._client, self._attempts(call, None), call, target, wire.token_count(ask))

    async def keep_job(self, call: Call, answer: Answer) -> None:
        """Store the response that a job ended with, under the job's id, by which its caller knows it."""
        if call.request_type is not RESPONSES or not answer.content_type.startswith("application/json"):
            return
        response = orjson.loads(answer.body)
        if isinstance(response, dict) and isinstance(response.get("output"), list):
            await self._store(call, {**response, "id": call.job_id})

    async def aclose(self) -> None:
        """Write pending ledger entries, and close every upstream connection."""
        if self._sharing is not None:
            await self._sharing.aclose()
        await self.late_reads.aclose()
        if self._billing is not None:
            await self._billing.aclose()
        if self.cache is not None:
            await self.cache.aclose()
        await self._close()

    async def _run(
        self, call: Call, call_cost: CallCost | None, receive: Receive[T], from_cache: FromCache[T]
    ) -> tuple[T, CallCost | None]:
        """Serve a stored answer, or make attempts until one is received; else close the cost unless it is a job's."""
        recalled = await self._recall(call) if call.request_type is RESPONSES else NOTHING
        call = continuing(call, recalled)
        targets = self._route(call)
        cost = call_cost or self.open_call_cost(call)
        use = call.cache

        async def once(attempt: Attempt) -> T:
            output = None if cost is None else cost.reservation.output
            sent = call if output is None else await limit_output(call, attempt.target, output)
            await self.objects.check(call, attempt.target)
            wire, ask, request = await self._prepared(sent, attempt.target, recalled)
            return await receive(Outgoing(sent, attempt, wire, ask, request))

        try:
            if use is not None and self.cache is not None:
                run = CachedRun(targets, once, from_cache, self.objects.check, self._attempts, self)
                return await self.cache.run(call, use, cost, run), cost
            attempts = self._attempts(call, cost)
            if cost is not None:
                await cost.open(targets)
            return await attempts.over(targets, once), cost
        except BaseException as error:
            if use is not None:
                use.end()
            if call_cost is None and cost is not None:
                cost.failed(error)
            raise

    async def _receive_answer(self, outgoing: Outgoing) -> Answer:
        target, wire = outgoing.attempt.target, outgoing.wire
        exchange = await self._open(outgoing)
        try:
            body = await exchange.read()
        finally:
            exchange.close()
        try:
            translated = wire.answer(outgoing.ask, body, exchange.content_type)
        except MalformedAnswer as error:
            raise UpstreamFailure(f"Provider {target.provider.name!r} sent an unusable answer: {error}.") from error
        await self._store_bridged(outgoing.call, wire)
        await self.objects.record_made(outgoing.call, target, body)
        return Answer(
            status=exchange.status,
            body=translated.body,
            content_type=translated.content_type,
            headers=exchange.headers,
            provider=target.provider.name,
            model=target.model,
            usage=translated.usage,
            attempts=outgoing.attempt.attempts.made,
            parsed=None if outgoing.call.cache is None else translated.parsed,
        )

    async def _receive_stream(self, outgoing: Outgoing) -> AnswerStream:
        (target, _, total_s, attempts) = outgoing.attempt
        provider = target.provider
        begin_s = min(provider.timeouts.first_token_s, total_s, attempts.begin_s())
        try:
            async with asyncio.timeout(begin_s) as limit:
                stream = self._watched(outgoing, await self._open(outgoing, stream=True))
                await begin(stream, attempts.call_cost, self.late_reads, limit)
        except TimeoutError:
            raise UpstreamTimeout(f"Provider {provider.name!r} did not begin to answer within {begin_s:g} s.") from None
        stream.attempts = attempts.made
        return stream

    def _open(self, outgoing: Outgoing, *, stream: bool = False) -> Awaitable[UpstreamResponse]:
        call, (target, key, total_s, _) = outgoing.call, outgoing.attempt
        return self._client.open(
            target.provider,
            key,
            target.model,
            outgoing.request,
            headers=call.passed_on(),
            total_s=total_s,
            stream=stream,
            wait_s=min(call.patience_s, total_s),
        )

    def _watched(self, outgoing: Outgoing, exchange: UpstreamResponse) -> ProviderStream:
        """Return the stream of an open exchange; if it ends badly, that counts as a failed attempt does."""
        target, key, *_ = outgoing.attempt
        return self._stream_class(
            exchange,
            outgoing.wire,
            outgoing.ask,
            provider=target.provider.name,
            model=target.model,
            on_failure=partial(self._board[target.provider.name].failed, key.name if key else "", target.model),
            scrubber=self._client.scrubber,
            ended=partial(self._stream_ended, outgoing),
        )

    def _route(self, call: Call) -> list[Target]:
        targets = self._routing.targets(call)
        name, wire = call.request_type.name, self._client.wire
        able = [target for target in targets if name in supported_types(target, wire(target.provider))]
        if not able:
            raise UnsupportedParameter(
                f"Provider {targets[0].provider.name!r} does not support {call.request_type.name}.", param="model"
            )
        return able

    def _prepared(self, call: Call, target: Target, recalled: Recalled) -> Awaitable[Prepared]:
        return beside_loop(call.body, prepared, call, target, self._client.wire(target.provider), recalled)

    def _attempts(self, call: Call, call_cost: CallCost | None) -> Attempts:
        return Attempts(call, self._watch, self._board, call_cost, inf if call.defers else self._max_total_s)

    async def _recall(self, call: Call) -> Recalled:
        if call.request_type is not RESPONSES or self.conversations is None:
            return NOTHING
        return await self.conversations.recall(call.fields, call.caller)

    async def _stream_ended(self, outgoing: Outgoing, made: Mapping[str, Any] | None) -> None:
        await self._store_bridged(outgoing.call, outgoing.wire)
        if made is not None:
            await self.objects.record_made(outgoing.call, outgoing.attempt.target, made)

    async def _store_bridged(self, call: Call, wire: Wire) -> None:
        """Store the response that a bridge made; jobs store theirs when they end."""
        if wire.response is not None and not call.job_id:
            await self._store(call, wire.response)

    async def _store(self, call: Call, response: Mapping[str, Any]) -> None:
        if self.conversations is not None:
            await self.conversations.keep(call.fields, response, call.caller)

"""Joins the cache with calls and their costs: looks up while a call is admitted, stores after it was answered.

::

    route ──> look up and reserve, in one write to the store ──> hit: costs nothing, is booked as saved
                                                             └─> miss: wait for an identical call in progress, or
                                                                 the provider answers ──> stored, soon
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import orjson

from shared.cache.eligibility import bypass_reason, may_store
from shared.cache.entry import CacheEntry
from shared.cache.identity import caller_scope, request_hash
from shared.cache.policy import read_policy
from shared.cache.recording import StreamRecording
from shared.cache.store import NOTHING, CacheStore, Found, Slot
from shared.cache.use import CacheUse
from shared.errors import GatewayError, NotCached
from shared.governance.keys.caller import Caller
from shared.inference.attempts import Attempts, Once
from shared.inference.cached_admission import admit, is_rescued
from shared.inference.call import Answer, AnswerStream, Call, Target
from shared.inference.call_cost import CallCost
from shared.inference.conversations import Conversations
from shared.inference.near_answers import NearAnswers
from shared.inference.refreshes import Answering, Refreshes
from shared.inference.replay import ReplayStream
from shared.inference.semantic_answers import SemanticAnswers
from shared.inference.single_flight import SingleFlight
from shared.inference.stored_bodies import debugged, response_of_events, with_debug, with_new_id
from shared.inference.streaming import ProviderStream
from shared.settings.cache import CacheSettings
from shared.surfaces.chat_chunks import replayed
from shared.surfaces.request_types import CHAT, COMPLETIONS, RESPONSES
from shared.surfaces.sse import EventSplitter, encode_event, event_data
from shared.telemetry.upstream import CacheWatch

T = TypeVar("T")

MAX_HASHED_BYTES = 2 * 1024 * 1024
"""Larger requests do not use the cache: hashing one of 50 MB in the loop takes 0.8 s."""
# Headers for the provider on which its answer depends.
_ANSWER_HEADERS = frozenset({"anthropic-beta", "openai-beta"})


class CachedRun(NamedTuple, Generic[T]):
    """What a call does that may be answered from the cache.

    Attributes:
        targets: Where it goes, in order.
        once: Makes one attempt.
        from_cache: Returns the stored answer that was found, whole or as a stream.
        check: Raises if its caller may not use what it refers to.
        attempts: Returns what counts and bounds its attempts; asked for only when no stored answer is served.
        answering: Makes the call again, to refresh the stored answer.
    """

    targets: Sequence[Target]
    once: Once[T]
    from_cache: "FromCache[T]"
    check: Callable[[Call, Target], Awaitable[None]]
    attempts: Callable[[Call, CallCost | None], Attempts]
    answering: Answering


class AnswerCache:
    """Serves and stores answers for the inference path.

    Args:
        store: The stored answers.
        settings: Which calls use it, and whose answers they may be served.
        watch: Notified of look-ups, savings and stored answers.
        conversations: Store responses under the ids that their callers were given; None: none are stored.
        now: Returns Unix seconds.
    """

    def __init__(
        self,
        store: CacheStore,
        settings: CacheSettings,
        watch: CacheWatch,
        conversations: Conversations | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.settings = settings
        self._watch = watch
        self._conversations = conversations
        self._now = now
        self._types = frozenset(settings.types)
        self._flights = SingleFlight(store, watch, settings.collapse)
        self._near = NearAnswers(store, settings)
        is_semantic = settings.mode == "semantic"
        self.semantic = SemanticAnswers(store, settings, watch) if is_semantic else None
        self._refreshes = Refreshes(store.flush)

    def use_of(self, headers: Mapping[bytes, bytes], caller: Caller, request_type: str) -> CacheUse | None:
        """Return how a request uses the cache; None: not at all.

        Raises:
            InvalidRequest: An ``x-bf-cache-*`` header is invalid.
        """
        if request_type not in self._types:
            return None
        policy = read_policy(headers, self.settings, request_type)
        return None if policy is None else CacheUse(policy=policy, scope=self.scope_of(caller))

    def scope_of(self, caller: Caller) -> str:
        """Return the hash of whose answers a caller may be served."""
        return caller_scope(
            self.settings.scope,
            key_id=caller.key_id,
            team=caller.team,
            customer=caller.customer,
            bearer=caller.scope,
        )

    async def run(self, call: Call, use: CacheUse, cost: CallCost | None, run: CachedRun[T]) -> T:
        """Serve a stored answer, or that of an identical call in progress, or call a provider.

        Raises:
            GatewayError: A limit is spent, or no target answered and nothing stored may be served instead.
            NotCached: Nothing is stored, and the caller wants nothing else.
            RetryLater: As ``Attempts.over``.
        """
        attempts = await self._find(call, use, cost, run)
        if attempts is not None:
            try:
                return await attempts.over(run.targets, run.once)
            except GatewayError as error:
                use.end()
                if not is_rescued(use, error):
                    raise
        await run.check(call, run.targets[0])
        if use.refreshed:
            self._refreshes.start(call, use, run.answering)
        return await run.from_cache(self, call, use, cost)

    async def _find(self, call: Call, use: CacheUse, cost: CallCost | None, run: CachedRun[T]) -> Attempts | None:
        """Look a call up while it is admitted, and wait for an identical one in progress.

        A spent budget or token limit does not refuse a hit, which takes nothing of them; a request limit does.

        Returns:
            Its attempts; None: a stored answer is to be served (``use.entry``).
        """
        started = time.perf_counter()
        pending = self._begin(call, use, run.targets[0])
        refusal = None if cost is None else await admit(run.targets, cost)
        found = NOTHING
        if pending is not None:
            found = await self._found(use, pending)
            self._accept(use, found.entry)
        seconds = time.perf_counter() - started
        if use.entry is not None:
            self._looked_up(call, use, seconds)
            if refusal is not None and cost is not None:
                await cost.open_cached(run.targets)
            return None
        attempts = run.attempts(call, cost)
        try:
            if refusal is not None:
                raise refusal
            if use.policy.only_if_cached:
                raise NotCached
            if use.slot is not None and use.policy.look:
                await self._flights.join(use, found.purged_ms, attempts.begin_by)
                if self.semantic is not None:
                    await self.semantic.find(call, use, run.answering)
        finally:
            self._looked_up(call, use, seconds)
        return None if use.is_hit else attempts

    async def stored_answer(
        self,
        call: Call,
        use: CacheUse,
        targets: Sequence[Target],
        check: Callable[[Call, Target], Awaitable[None]],
        open_cost: Callable[[], CallCost | None],
        *,
        answering: Answering,
    ) -> Answer | None:
        """Return the stored answer to a call that is to become a job, booked as a hit; None if there is none.

        Raises:
            RequestLimited, StoreUnavailable: See ``CallCost.open_cached``.
            NotCached: There is none, and the caller wants nothing else.
        """
        started = time.perf_counter()
        pending = self._begin(call, use, targets[0])
        if pending is not None:
            self._accept(use, (await self._found(use, pending)).entry)
            if use.entry is None and self.semantic is not None:
                await self.semantic.find(call, use, answering, becomes_job=True)
        if use.entry is None or use.refreshed:  # its run refreshes it
            if use.policy.only_if_cached:
                raise NotCached
            return None
        await check(call, targets[0])
        self._looked_up(call, use, time.perf_counter() - started)
        if (cost := open_cost()) is not None:
            await cost.open_cached(targets)
        return await self.answer(call, use, cost)

    async def _found(self, use: CacheUse, pending: asyncio.Future[Any]) -> Found:
        assert use.slot is not None  # noqa: S101 - it was looked up
        found = await self.store.found(use.slot, pending)
        return found if use.question is None else await self._near.find(use, found)

    def _begin(self, call: Call, use: CacheUse, target: Target) -> asyncio.Future[Any] | None:
        use.started = self._now()
        use.bypass = self._bypass(call, use, target)
        if use.bypass:
            return None
        partition, model, fields = use.policy.partition, target.name, call.fields
        if not _ANSWER_HEADERS.isdisjoint(call.headers):
            headers = {name: value for name, value in call.headers.items() if name in _ANSWER_HEADERS}
            fields = {**fields, "headers": headers}
        as_streamed = call.request_type is RESPONSES
        equal = request_hash(call.request_type.name, model, partition, fields, as_streamed=as_streamed)
        slot = Slot(f"{use.scope}-{equal}", use.scope, partition, model)
        use.slot = self._near.prepare(call, use, slot, fields)
        return self.store.begin(use.slot) if use.policy.look else None

    def _bypass(self, call: Call, use: CacheUse, target: Target) -> str:
        if not (use.policy.look or use.policy.store or use.policy.reload):
            return "no-store"
        if call.stream and call.request_type is COMPLETIONS:
            return "stream"
        if len(call.body) > MAX_HASHED_BYTES:
            return "size"
        return bypass_reason(call.request_type, call.fields, target.provider.name, target.model)

    def _accept(self, use: CacheUse, entry: CacheEntry | None) -> None:
        if entry is None:
            return
        now, policy, settings = self._now(), use.policy, self.settings
        late_s = -entry.left_s(now)
        if entry.age_s(now) > policy.max_age_s:
            use.stale = True
        elif late_s < 0 or late_s <= policy.max_stale_s:
            use.entry = entry
        elif late_s <= settings.stale_while_revalidate_s:
            use.entry, use.refreshed = entry, True
        else:
            use.stale = True
            if late_s <= settings.stale_if_error_s:
                use.spare = entry

    def _looked_up(self, call: Call, use: CacheUse, seconds: float) -> None:
        result = "miss" if use.collapsed else use.result
        self._watch.looked_up(result, use.kind, call.request_type.name, seconds)
        self.store.count(result)

    async def answer(self, call: Call, use: CacheUse, cost: CallCost | None) -> Answer:
        """Return the stored answer that was found; it costs nothing."""
        entry = use.entry
        assert entry is not None  # noqa: S101 - the caller has found one
        ledger = self._book(call, entry, cost)
        body = await self._own_response(call, entry)
        return Answer(
            status=200,
            body=debugged(body, use) if use.policy.debug else body,
            content_type=entry.content_type,
            headers=self._headers(use, cost),
            provider=entry.provider,
            model=entry.model,
            usage=entry.usage,
            attempts=0,
            ledger=ledger,
        )

    async def stream(self, call: Call, use: CacheUse, cost: CallCost | None) -> AnswerStream:
        """Return the stored answer that was found as a stream; it costs nothing."""
        entry = use.entry
        assert entry is not None  # noqa: S101 - the caller has found one
        ledger = self._book(call, entry, cost)
        return ReplayStream(
            await self._events(call, use, entry),
            provider=entry.provider,
            model=entry.model,
            usage=entry.usage,
            headers=self._headers(use, cost),
            ledger=ledger,
        )

    async def _events(self, call: Call, use: CacheUse, entry: CacheEntry) -> list[bytes]:
        if call.request_type is RESPONSES:
            return EventSplitter().feed(await self._own_response(call, entry))
        options = call.fields.get("stream_options")
        include_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        events = replayed(orjson.loads(entry.body), include_usage=include_usage)
        if use.policy.debug:
            last = orjson.loads(event_data(events[-2]))
            events[-2] = encode_event(with_debug(last, use))
        return events

    async def _own_response(self, call: Call, entry: CacheEntry) -> bytes:
        """Return the body; a response's under an id of its own, by which it is stored (a job's when the job ends)."""
        if call.request_type is not RESPONSES:
            return entry.body
        body = with_new_id(call, entry.body)
        response = response_of_events(body)
        if response is not None and self._conversations is not None and not call.job_id:
            await self._conversations.keep(call.fields, response, call.caller)
        return body

    def _book(self, call: Call, entry: CacheEntry, cost: CallCost | None) -> bytes:
        if cost is None:
            return b""
        ledger = cost.from_cache(entry.provider, entry.model, entry.usage, entry.body)
        self._watch.saved(call.caller.team, entry.provider, entry.model, cost.saved)
        self.store.count("saved_micro_usd", cost.saved)
        return ledger

    def _headers(self, use: CacheUse, cost: CallCost | None) -> dict[str, str]:
        return {**use.headers(self._now()), **({} if cost is None else cost.headers())}

    def store_answer(self, call: Call, use: CacheUse, answer: Answer, cost: CallCost | None) -> None:
        """Store the answer of a call that was looked up in vain, and say in its headers how the cache was used."""
        if answer.status == 200 and answer.content_type.startswith("application/json"):
            use.stored = self._may_store(use, answer.provider, answer.model, cost) and (
                may_store(call.request_type, answer.body)
                and self._store(use, answer.body, answer.usage, answer.content_type)
            )
        answer.headers = {**answer.headers, **use.headers(self._now())}
        if use.policy.debug and answer.content_type.startswith("application/json"):
            answer.body = debugged(answer.body, use)

    def record(self, call: Call, use: CacheUse, stream: ProviderStream, cost: CallCost | None) -> None:
        """Store the answer of a stream once it is complete, and say in its headers how the cache was used."""
        if stream.whole is None and self._may_store(use, stream.provider, stream.model, cost):
            use.stored = True
            stream.recording = self._recording(call, use)
        else:
            use.end()
        stream.headers = {**stream.headers, **use.headers(self._now())}

    def _recording(self, call: Call, use: CacheUse) -> StreamRecording:

        def store(body: bytes, usage: Mapping[str, Any]) -> None:
            is_chat = call.request_type is CHAT
            self._store(use, body, usage, "application/json" if is_chat else "text/event-stream", events=not is_chat)

        return StreamRecording(call.request_type, self.store.max_entry_bytes, store, closed=use.end)

    def _may_store(self, use: CacheUse, provider: str, model: str, cost: CallCost | None) -> bool:
        """Whether an answer is what was asked for: of the first target, and not cut to what a budget had left."""
        if use.slot is None or not use.policy.store or use.slot.model != f"{provider}/{model}":
            return False
        return cost is None or cost.reservation.output is None

    def _store(
        self, use: CacheUse, body: bytes, usage: Mapping[str, Any], content_type: str, *, events: bool = False
    ) -> bool:
        assert use.slot is not None  # noqa: S101 - checked by the callers
        provider, _, model = use.slot.model.partition("/")
        entry = CacheEntry(
            at=use.started,
            ttl_s=use.policy.ttl_s,
            provider=provider,
            model=model,
            usage=usage,
            body=body,
            content_type=content_type,
            events=events,
            partition=use.policy.partition,
            text="" if use.question is None else use.question.text,
        )
        stored = self.store.store(use.slot, entry)
        use.end(entry)  # after it: another process may call once the entry is written
        if stored and use.observer is not None:
            use.observer(entry)
        self._watch.stored("stored" if stored else "dropped")
        if stored:
            self.store.count("stored")
        return stored

    async def aclose(self) -> None:
        """Write what waits."""
        await self._refreshes.aclose()
        if self.semantic is not None:
            await self.semantic.aclose()
        await self.store.aclose()


FromCache = Callable[[AnswerCache, Call, CacheUse, CallCost | None], Awaitable[T]]
"""Returns the stored answer that was found, whole or as a stream."""

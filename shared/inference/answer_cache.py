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

from shared.cache.eligibility import bypass_reason
from shared.cache.entry import CacheEntry
from shared.cache.identity import caller_scope, request_hash
from shared.cache.policy import HEADERS, default_policy, read_policy
from shared.cache.store import NOTHING, CacheStore, Found, Slot
from shared.cache.use import CacheUse
from shared.errors import GatewayError, NotCached
from shared.governance.keys.caller import Caller
from shared.inference.answer_writer import AnswerWriter
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
from shared.settings.cache import CacheSettings
from shared.surfaces.chat_chunks import replayed
from shared.surfaces.request_types import COMPLETIONS, RESPONSES
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

    Attributes:
        store: As given.
        settings: As given.
        semantic: Finds answers to questions of the same meaning; None: none are served.
        writer: Stores answers.
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
        asked = settings.when == "asked"
        # Of requests without a header for the cache; one object a type, as making one takes 3 us.
        self._policies = {name: None if asked else default_policy(settings, name) for name in settings.types}
        self._flights = SingleFlight(store, watch, settings.collapse)
        self._near = NearAnswers(store, settings)
        self._has_near = settings.mode in {"near", "semantic"}
        is_semantic = settings.mode == "semantic"
        self.semantic = SemanticAnswers(store, settings, watch) if is_semantic else None
        self._refreshes = Refreshes(store.flush)
        self.writer = AnswerWriter(store, watch, now)

    def use_of(self, headers: Mapping[bytes, bytes], caller: Caller, request_type: str) -> CacheUse | None:
        """Return how a request uses the cache; None: not at all.

        Raises:
            InvalidRequest: An ``x-bf-cache-*`` header is invalid.
        """
        if request_type not in self._policies:
            return None
        plain = HEADERS.isdisjoint(headers)
        policy = self._policies[request_type] if plain else read_policy(headers, self.settings, request_type)
        return None if policy is None else CacheUse(policy, self.scope_of(caller))

    def scope_of(self, caller: Caller) -> str:
        """Return the hash of whose answers a caller may be served."""
        return caller_scope(self.settings.scope, caller.key_id, caller.team, caller.customer, caller.scope)

    async def run(self, call: Call, use: CacheUse, cost: CallCost | None, run: CachedRun[T]) -> T:
        """Serve a stored answer, or that of an identical call in progress, or call a provider.

        Raises:
            GatewayError: A limit is spent, or no target answered and nothing stored may be served instead.
            NotCached: Nothing is stored, and the caller wants nothing else.
            RetryLater: As ``Attempts.over``.
        """
        attempts = await self._find(call, use, cost, run)
        if attempts is not None and use.entry is None:
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
            Its attempts, for which there is no need if an answer is to be served (``use.entry``); None: one was stored.
        """
        started = time.perf_counter()
        pending = self._begin(call, use, run.targets[0])
        refusal = None if cost is None else await admit(run.targets, cost)
        found = NOTHING
        if pending is not None:
            found = self._accepted(use, await self.store.reply(pending))
            if use.question is not None and use.entry is None:
                found = await self._near_found(use, found)
        seconds = time.perf_counter() - started
        if use.entry is not None:
            self._looked_up(call, use, seconds)
            if refusal is not None and cost is not None:
                await cost.open_cached(run.targets)
            return None
        attempts = run.attempts(call, cost)
        try:
            if refusal is not None or use.policy.only_if_cached:
                raise refusal or NotCached
            if not self._is_alone(use):
                await self._flights.join(use, found.purged_ms, attempts.begin_by)
            if self.semantic is not None:
                await self.semantic.find(call, use, run.answering)
        finally:
            self._looked_up(call, use, seconds)
        return attempts

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
            found = self._accepted(use, await self.store.reply(pending))
            if use.question is not None and use.entry is None:
                await self._near_found(use, found)
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

    def _accepted(self, use: CacheUse, reply: Any) -> Found:  # noqa: ANN401 - a reply is anything
        """Read the reply to a look-up; note in ``use`` the answer that may be served."""
        assert use.slot is not None  # noqa: S101 - it was looked up
        found = self.store.read(use.slot, reply)
        if found.entry is not None:
            self._accept(use, found.entry)
        return found

    async def _near_found(self, use: CacheUse, found: Found) -> Found:
        """Look a near request up; note in ``use`` its answer, if that may be served."""
        near = await self._near.find(use, found)
        if near is not found and near.entry is not None:
            self._accept(use, near.entry)
        return near

    def _is_alone(self, use: CacheUse) -> bool:
        """Whether a call that was looked up in vain has no identical one to wait for."""
        return use.slot is None or not use.policy.look or self._flights.leads(use, use.slot)

    def _begin(self, call: Call, use: CacheUse, target: Target) -> asyncio.Future[Any] | None:
        use.started = self._now()
        if bypass := self._bypass(call, use, target):
            use.bypass = bypass
            return None
        partition, model, fields = use.policy.partition, target.name, call.fields
        if call.headers and not _ANSWER_HEADERS.isdisjoint(call.headers):
            headers = {name: value for name, value in call.headers.items() if name in _ANSWER_HEADERS}
            fields = {**fields, "headers": headers}
        as_streamed = call.request_type is RESPONSES
        equal = request_hash(call.request_type.name, model, partition, fields, as_streamed=as_streamed)
        use.slot = slot = Slot(f"{use.scope}-{equal}", use.scope, partition, model)
        if self._has_near:
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

    def _accept(self, use: CacheUse, entry: CacheEntry) -> None:
        now, policy, settings = self._now(), use.policy, self.settings
        late_s = now - entry.at - entry.ttl_s
        if now - entry.at > policy.max_age_s:
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
        body = await self._own_response(call, entry) if call.request_type is RESPONSES else entry.body
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
        """Return a response under an id of its own, by which it is stored (a job's when the job ends)."""
        body = with_new_id(call, entry.body)
        response = response_of_events(body)
        if response is not None and self._conversations is not None and not call.job_id:
            await self._conversations.keep(call.fields, response, call.caller)
        return body

    def _book(self, call: Call, entry: CacheEntry, cost: CallCost | None) -> bytes:
        if cost is None:
            return b""
        ledger = cost.from_cache(entry)
        self._watch.saved(call.caller.team, entry.provider, entry.model, cost.saved)
        self.store.count("saved_micro_usd", cost.saved)
        return ledger

    def _headers(self, use: CacheUse, cost: CallCost | None) -> dict[str, str]:
        headers = use.headers(self._now())
        return headers if cost is None else headers | cost.headers()

    async def aclose(self) -> None:
        """Write what waits."""
        await self._refreshes.aclose()
        if self.semantic is not None:
            await self.semantic.aclose()
        await self.store.aclose()


FromCache = Callable[[AnswerCache, Call, CacheUse, CallCost | None], Awaitable[T]]
"""Returns the stored answer that was found, whole or as a stream."""

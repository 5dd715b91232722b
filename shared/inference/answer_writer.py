"""Stores answers of calls that were looked up in vain, and says in their headers how the cache was used."""

from collections.abc import Callable, Mapping
from typing import Any

from shared.cache.eligibility import may_store
from shared.cache.entry import CacheEntry
from shared.cache.recording import StreamRecording
from shared.cache.store import CacheStore
from shared.cache.use import CacheUse
from shared.inference.call import Answer, Call
from shared.inference.call_cost import CallCost
from shared.inference.stored_bodies import debugged
from shared.inference.streaming import ProviderStream
from shared.surfaces.request_types import CHAT
from shared.telemetry.upstream import CacheWatch


class AnswerWriter:
    """Stores answers for the inference path.

    Args:
        store: The stored answers.
        watch: Notified of stored answers.
        now: Returns Unix seconds.
    """

    def __init__(self, store: CacheStore, watch: CacheWatch, now: Callable[[], float]) -> None:
        self._store = store
        self._watch = watch
        self._now = now

    def store_answer(self, call: Call, use: CacheUse, answer: Answer, cost: CallCost | None) -> None:
        """Store the answer of a call that was looked up in vain, and say in its headers how the cache was used."""
        if answer.status == 200 and answer.content_type.startswith("application/json"):
            use.stored = self._may_store(use, answer.provider, answer.model, cost) and (
                may_store(call.request_type, answer.body, answer.parsed)
                and self._keep(use, answer.body, answer.usage, answer.content_type, cost=cost)
            )
        answer.parsed = None
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
            self._keep(use, body, usage, "application/json" if is_chat else "text/event-stream", events=not is_chat)

        return StreamRecording(call.request_type, self._store.max_entry_bytes, store, closed=use.end)

    def _may_store(self, use: CacheUse, provider: str, model: str, cost: CallCost | None) -> bool:
        """Whether an answer is what was asked for: of the first target, and not cut to what a budget had left."""
        if use.slot is None or not use.policy.store or use.slot.model != f"{provider}/{model}":
            return False
        return cost is None or cost.reservation.output is None

    def _keep(
        self,
        use: CacheUse,
        body: bytes,
        usage: Mapping[str, Any],
        content_type: str,
        *,
        events: bool = False,
        cost: CallCost | None = None,
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
            list_micro_usd=None if cost is None else cost.cost.list_micro_usd,
        )
        stored = self._store.store(use.slot, entry)
        use.end(entry)  # after it: another process may call once the entry is written
        if stored and use.observer is not None:
            use.observer(entry)
        self._watch.stored("stored" if stored else "dropped")
        if stored:
            self._store.count("stored")
        return stored

"""Joins semantic matches with calls: serves what the audits allow, and compares the answers of the others.

::

    miss ──> trusted? ── yes ──> embed, find the nearest question ──> guards hold, similar enough, not audited: served
                 └──── no ──┐                                                                    └─> else
                            └───────────────> the provider answers ──> beside it: embed, find, compare, count, add

Nothing waits for an embedding before the family of the match is trusted, so shadow mode delays no call.
"""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from shared.cache import keyspace
from shared.cache.agreement import answer_text, are_alike
from shared.cache.audit_log import Family
from shared.cache.entry import CacheEntry
from shared.cache.evidence import Evidence, step_of, upper_bound
from shared.cache.identity import name_hash
from shared.cache.semantic_guards import Meaning, may_share, read_meaning
from shared.cache.store import MEGABYTE, CacheStore, Slot
from shared.cache.use import CacheUse
from shared.cache.vector_index import open_index
from shared.cache.vectors import Vector, VectorIndex
from shared.governance.keys.caller import Caller
from shared.inference.call import Call
from shared.inference.embedding import Embedder
from shared.inference.refreshes import Answering
from shared.settings.cache import CacheSettings
from shared.store.errors import StoreConnectionError
from shared.telemetry.upstream import CacheWatch

NEIGHBOURS = 4
SHARE_OF_VECTORS = 0.25
"""Of the room that answers may take, and besides it."""
MOST_AT_ONCE = 64
"""Comparisons in progress; further answers are not compared."""
MOST_FAMILIES = 4_096

logger = logging.getLogger("finops.cache")


@dataclass(slots=True, kw_only=True)
class _Probe:
    """One call's question on its way.

    Attributes:
        call: The call.
        slot: Where its own answer is stored.
        max_age_s: The oldest answer that may be served.
        text: Its question.
        meaning: The same, ready to be compared.
        others: Hash of everything else in the request.
        family: Whose evidence counts.
        answering: Makes calls for embeddings and judgements.
        vector: Of the question, once it is embedded.
    """

    call: Call
    slot: Slot
    max_age_s: float
    text: str
    meaning: Meaning
    others: str
    family: Family
    answering: Answering
    vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class _Match:
    entry: CacheEntry
    similarity: float


class SemanticAnswers:
    """Finds answers to questions of the same meaning, and learns how far they can be trusted.

    Args:
        store: The stored answers.
        settings: How similar questions must be, and how often they may be wrong.
        watch: Notified of comparisons.
        chance: Returns a number between 0 and 1; decides which matches are audited.
    """

    def __init__(
        self,
        store: CacheStore,
        settings: CacheSettings,
        watch: CacheWatch,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._audits = store.audits
        self._kind = settings.scope
        self._settings = settings.semantic
        self._life_s = settings.ttl_s
        self._most_bytes = int(settings.max_mb * MEGABYTE * SHARE_OF_VECTORS)
        self._watch = watch
        self._chance = chance
        self._embedder = Embedder(settings.semantic)
        self._index: VectorIndex | None = None
        self._trusted: OrderedDict[str, int | None] = OrderedDict()  # family: the lowest similarity that is served
        self._tasks: set[asyncio.Task[None]] = set()

    async def find(self, call: Call, use: CacheUse, answering: Answering, *, becomes_job: bool = False) -> None:
        """Note in ``use`` the answer to a question of the same meaning, if one may be served; else what to compare.

        Args:
            call: A call for which nothing else was found.
            use: How it uses the cache.
            answering: Makes calls for embeddings and judgements.
            becomes_job: Whether the call is submitted if nothing is found: its run then takes the question's vector.
        """
        probe = self._probe(call, use, answering)
        if probe is None:
            return
        use.observer = lambda entry: self._observe_soon(probe, entry)
        if self._settings.shadow or self._trusted.get(probe.family.id) is None:
            return
        await self._serve(probe, use)
        if becomes_job and use.entry is None and probe.vector is not None:
            self._store.questions.keep(self._question(probe), probe.vector)

    async def _serve(self, probe: _Probe, use: CacheUse) -> None:
        try:
            match = await self._nearest(probe)
            if match is None:
                return
            # Read anew: what another process has seen counts at once.
            lowest = self._judge(probe.family, await self._audits.read(probe.family.id))
        except (StoreConnectionError, ResponseError):
            return
        threshold = max(use.policy.threshold, 1.0 if lowest is None else lowest / 100)
        if lowest is None or match.similarity < threshold or self._chance() < self._settings.audit:
            return
        use.kind, use.similarity, use.threshold = "semantic", match.similarity, threshold
        use.entry, use.observer = match.entry, None
        use.end(match.entry)

    def _probe(self, call: Call, use: CacheUse, answering: Answering) -> _Probe | None:
        question, slot = use.question, use.slot
        if use.entry is not None or question is None or slot is None:
            return None
        if not (use.policy.semantic and use.policy.look) or (meaning := read_meaning(question.text)) is None:
            return None
        found_by = name_hash(f"{slot.model}\0{self._settings.embedding}\0{self._settings.guards}")
        family = Family(f"{slot.scope}-{found_by}", _scope_name(call.caller, self._kind), slot.model)
        return _Probe(
            call=call,
            slot=slot,
            max_age_s=use.policy.max_age_s,
            text=question.text,
            meaning=meaning,
            others=f"{question.others}\0{self._settings.embedding}",
            family=family,
            answering=answering,
        )

    async def _nearest(self, probe: _Probe) -> _Match | None:
        """Return the most similar stored question that passes the guards, with its answer."""
        if probe.vector is None:
            probe.vector = await self._vector(probe)
        if probe.vector is None:
            return None
        index, partition = await self._opened(), self._partition(probe, probe.vector)
        gone = []
        found = None
        for neighbour in await index.nearest(partition, probe.vector, NEIGHBOURS):
            similarity = min(1.0, neighbour.similarity)
            other = neighbour.entry_id
            if similarity < self._settings.similarity or found is not None:
                break
            if other == probe.slot.id or not other.startswith(f"{probe.slot.scope}-"):
                continue
            entry = await self._entry(probe, other)
            if entry is None:
                gone.append(other)
            elif self._may_share(probe, entry):
                found = _Match(entry, similarity)
        await index.remove(partition, gone)
        return found

    async def _vector(self, probe: _Probe) -> Vector | None:
        if probe.call.job_id and not self._settings.shadow:
            vector = await self._store.questions.take(self._question(probe))
            if vector is not None:
                return vector
        return await self._embedder.embed(probe.text, probe.call, probe.answering)

    async def _entry(self, probe: _Probe, entry_id: str) -> CacheEntry | None:
        slot = probe.slot._replace(id=entry_id, near="")
        found = await self._store.found(slot, self._store.begin(slot))
        return found.entry if found.is_fresh(probe.max_age_s) else None

    def _may_share(self, probe: _Probe, entry: CacheEntry) -> bool:
        stored = read_meaning(entry.text)
        return stored is not None and may_share(probe.meaning, stored, strict=self._settings.guards == "strict")

    def _partition(self, probe: _Probe, vector: Vector) -> str:
        """Return the name of the vectors that are compared."""
        return _purgeable(probe.slot, f"{probe.others}\0{len(vector)}")

    def _question(self, probe: _Probe) -> str:
        """Return the key of the question's vector: equal requests have one."""
        return keyspace.question(_purgeable(probe.slot, f"{probe.slot.id}\0{self._settings.embedding}"))

    async def _opened(self) -> VectorIndex:
        if self._index is None:
            self._index = await open_index(
                self._store.commands,
                self._settings.index,
                sealed=self._store.is_sealed,
                most_bytes=self._most_bytes,
            )
            logger.info("questions' vectors are kept in: %s", self._index.name)
        return self._index

    def _observe_soon(self, probe: _Probe, entry: CacheEntry) -> None:
        if len(self._tasks) < MOST_AT_ONCE:
            self._start(self._observe(probe, entry))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="finops-cache-audit")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _observe(self, probe: _Probe, entry: CacheEntry) -> None:
        """Compare an answer with the one that would have been served, and add its question to the index."""
        text = answer_text(entry.body)
        if text is None:
            return
        try:
            match = await self._nearest(probe)
            other = None if match is None else answer_text(match.entry.body)
            if match is not None and other is not None:
                await self._compare(probe, match, (other, text))
            elif probe.family.id not in self._trusted:
                self._judge(probe.family, await self._audits.read(probe.family.id))
            if probe.vector is not None:
                partition = self._partition(probe, probe.vector)
                life_s = max(self._life_s, entry.ttl_s)
                await (await self._opened()).add(partition, probe.slot.id, probe.vector, life_s)
        except (StoreConnectionError, ResponseError) as error:
            logger.info("a question was not compared: %s", error)

    async def _compare(self, probe: _Probe, match: _Match, answers: tuple[str, str]) -> None:
        agreed = are_alike(*answers) or await self._embedder.judges_alike(
            (match.entry.text, probe.text), answers, probe.call, probe.answering
        )
        evidence = await self._audits.record(probe.family, step_of(match.similarity), agreed=agreed)
        lowest = self._judge(probe.family, evidence)
        self._store.count("audited")
        if not agreed:
            self._store.count("disagreed")
        seen, wrong = evidence.counts(step_of(self._settings.similarity) if lowest is None else lowest)
        self._watch.audited(probe.family.model, agreed=agreed, wrong_upper_bound=upper_bound(seen, wrong))

    def _judge(self, family: Family, evidence: Evidence) -> int | None:
        """Note and return from which similarity on a family's matches may be served; None: none may."""
        settings = self._settings
        lowest = evidence.serves_from(step_of(settings.similarity), settings.max_wrong, settings.min_comparisons)
        before = self._trusted.pop(family.id, None)
        self._trusted[family.id] = lowest
        if len(self._trusted) > MOST_FAMILIES:
            self._trusted.popitem(last=False)
        if before is not None and lowest is None:
            logger.warning(
                "cache.untrusted: semantic matches of %s in %s are no longer served", family.model, family.scope
            )
        elif before is None and lowest is not None and not settings.shadow:
            logger.info("semantic matches of %s in %s are served from %.2f", family.model, family.scope, lowest / 100)
        return lowest

    async def flush(self) -> None:
        """Wait until all comparisons in progress are counted."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def aclose(self) -> None:
        """Cancel what is in progress."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _purgeable(slot: Slot, name: str) -> str:
    """Return the part of a vector's key by which purges find it: scope, model, cache key, and a hash of the name."""
    return "-".join((slot.scope, name_hash(slot.model), name_hash(slot.partition), name_hash(name)))


def _scope_name(caller: Caller, kind: str) -> str:
    """Return whose answers a caller is served, as administrators name it (``caller_scope``)."""
    if kind == "shared":
        return "shared"
    if kind == "customer" and caller.customer:
        return f"customer:{caller.customer}"
    if kind in {"customer", "team"} and caller.team:
        return f"team:{caller.team}"
    return f"key:{caller.key_id}" if caller.key_id else "no key"

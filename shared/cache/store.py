"""Stored answers in Redis: looked up before calls, written after them, purged on request.

A look-up that fails or is late is a miss, and never an error; writes are queued, and dropped when too many wait.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

from redis.exceptions import DataError, ResponseError

from shared.cache import keyspace
from shared.cache.audit_log import AuditLog
from shared.cache.daily_counts import DailyCounts, summed
from shared.cache.entry import CacheEntry, decode, decode_head
from shared.cache.identity import name_hash
from shared.cache.lookup_timer import LookupTimer
from shared.cache.purge import Purge
from shared.cache.question_vectors import QuestionVectors
from shared.cache.write_queue import WriteQueue
from shared.errors import StoreUnavailable
from shared.settings.cache import CacheSettings
from shared.store.commands import Argument, Command, RedisCommands
from shared.store.encryption import PLAIN, BodyCipher
from shared.store.errors import StoreConnectionError
from shared.store.multiplexed import MultiplexedClient
from shared.store.scripts import Script, load_scripts

MEGABYTE = 1024 * 1024
MAX_QUEUED_BYTES = 64 * MEGABYTE
# After so many failures in a row nothing is looked up for a while: a store that hangs would delay every call.
FAILURES = 3
PAUSE_S = 1.0
CLOSE_S = 2.0
# Longer than anything is stored, so that no purged entry comes back.
MARK_MS = 38 * 86_400 * 1000
SCAN_COUNT = 500
# Of an entry's first bytes: its line of JSON, without the body.
HEAD_BYTES = 8192

logger = logging.getLogger("finops.cache")


@cache
def cache_scripts() -> dict[str, Script]:
    """The scripts of ``shared/cache/lua``, read once per process when first wanted."""
    return dict(load_scripts("shared.cache.lua"))


@lru_cache(maxsize=1024)  # callers come again with the same models, and making the names takes 3 us
def _marks(scope: str, partition: str, model: str) -> tuple[str, ...]:
    """Return the keys of every purge mark that may cover an entry."""
    any_, named = keyspace.ANY, name_hash(model)
    partitions = (any_, name_hash(partition)) if partition else (any_,)
    return tuple(
        keyspace.purge_mark(each, part, which)
        for each in (any_, scope)
        for part in partitions
        for which in (any_, named)
    )


class Slot(NamedTuple):
    """Where one request's answer is stored, and the marks that may forbid to serve it.

    Attributes:
        id: ``<scope>-<request>``.
        scope: Hash of whose answers these are.
        partition: The caller's name for a part of its cache; empty: none.
        model: ``provider/model``, as resolved.
        near: The key of the newest entry whose request may be near; empty: there can be none.
    """

    id: str
    scope: str
    partition: str
    model: str
    near: str = ""

    def keys(self) -> tuple[str, ...]:
        """Return the keys that a look-up reads: the entry, every mark that may cover it, then the near entry's."""
        keys = (f"{keyspace.ENTRIES}{self.id}", *_marks(self.scope, self.partition, self.model))
        return (*keys, self.near) if self.near else keys


class Found(NamedTuple):
    """What a look-up found.

    Attributes:
        entry: The stored answer, fresh or stale; None: there is none that may be served.
        purged_ms: When answers of this kind were last purged, Unix milliseconds; 0: never.
        near_id: The newest entry whose request may be near; empty: there is none.
    """

    entry: CacheEntry | None = None
    purged_ms: int = 0
    near_id: str = ""

    def is_fresh(self, max_age_s: float) -> bool:
        """Whether there is an answer within its time to live and no older than ``max_age_s``."""
        now = time.time()
        return self.entry is not None and self.entry.left_s(now) > 0 and self.entry.age_s(now) <= max_age_s


NOTHING = Found()
_Answer = tuple[Slot, CacheEntry]


class CacheStore:
    """Reads, writes and purges stored answers.

    Args:
        commands: The store; closed with this object if it is its own.
        settings: Limits and times.
        owns_commands: Whether to close it.
        cipher: Seals questions and answers.

    Attributes:
        reply: Returns what gives the reply to a look-up, for ``read``.
        count: Adds to today's counts, soon.
        audits: How often semantic matches were right.
        questions: Vectors of questions whose submits found nothing.
    """

    def __init__(
        self,
        commands: RedisCommands,
        settings: CacheSettings,
        *,
        owns_commands: bool = False,
        cipher: BodyCipher = PLAIN,
    ) -> None:
        self.commands = commands
        self._begin_mget = commands.begin_mget if isinstance(commands, MultiplexedClient) else self._begin_read
        self._cipher = cipher
        self._settings = settings
        self._owns_commands = owns_commands
        self._scripts = cache_scripts()
        self._max_entry_bytes = settings.max_entry_kb * 1024
        self._stale_s = max(settings.stale_if_error_s, settings.stale_while_revalidate_s)
        self._writes = WriteQueue("finops-cache", self._keep, _body_bytes)
        self._queued_bytes = 0
        self.reply = LookupTimer(settings.lookup_timeout_s).reply
        self._failures = 0
        self._paused_until = 0.0
        self._counts = DailyCounts(commands)
        self.count = self._counts.add
        self.audits = AuditLog(commands, self._scripts["audit"])
        self.questions = QuestionVectors(commands, cipher)
        self.dropped = 0

    @property
    def max_entry_bytes(self) -> int:
        """The largest body that is stored."""
        return self._max_entry_bytes

    @property
    def is_sealed(self) -> bool:
        """Whether questions and answers are encrypted."""
        return self._cipher.is_on

    def begin(self, slot: Slot) -> asyncio.Future[Any] | None:
        """Send a look-up with this turn's other commands; None: the store has failed too often just now.

        Returns:
            What ``found`` takes. Errors are its result.
        """
        if self._paused_until and asyncio.get_running_loop().time() < self._paused_until:
            return None
        others = _marks(slot.scope, slot.partition, slot.model)
        return self._begin_mget(f"{keyspace.ENTRIES}{slot.id}", (*others, slot.near) if slot.near else others)

    async def found(self, slot: Slot, pending: asyncio.Future[Any] | None) -> Found:
        """Return what a look-up found.

        Args:
            slot: What was looked up.
            pending: Of ``begin``.
        """
        return NOTHING if pending is None else self.read(slot, await self.reply(pending))

    def _begin_read(self, key: str, others: tuple[str, ...]) -> asyncio.Future[Any]:
        return self.commands.begin("MGET", key, *others)

    def read(self, slot: Slot, replies: Any) -> Found:  # noqa: ANN401 - a reply is anything
        """Read a reply to a look-up: the values of ``Slot.keys``; anything else is a failure."""
        if not isinstance(replies, list):
            self._failed()
            return NOTHING
        self._failures = 0
        if replies.count(None) == len(replies):
            return NOTHING
        data, *marks = replies
        if marks.count(None) == len(marks) and isinstance(data, bytes):
            entry = self._decoded(slot, data)
            return NOTHING if entry is None else Found(entry)
        near = marks.pop() if slot.near else None
        near_id = near.decode("ascii", "replace") if isinstance(near, bytes) else ""
        purged_ms = max(map(_mark_ms, marks)) if any(marks) else 0
        if not isinstance(data, bytes):
            return Found(None, purged_ms, near_id) if purged_ms or near_id else NOTHING
        entry = self._decoded(slot, data)
        return Found(None if entry is None or entry.at * 1000 < purged_ms else entry, purged_ms, near_id)

    def _decoded(self, slot: Slot, data: bytes) -> CacheEntry | None:
        unseal = partial(self._cipher.open, purpose=keyspace.entry(slot.id)) if self._cipher.is_on else None
        return decode(data, most_bytes=self._max_entry_bytes, unseal=unseal)

    def _failed(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES:
            self._failures = 0
            self._paused_until = asyncio.get_running_loop().time() + PAUSE_S
            logger.warning("the cache does not answer; nothing is looked up for %g s", PAUSE_S)

    def store(self, slot: Slot, entry: CacheEntry) -> bool:
        """Store an answer, soon; returns at once.

        Returns:
            False if it is too large, or too many answers wait.
        """
        size = len(entry.body)
        if size > self._max_entry_bytes or self._queued_bytes + size > MAX_QUEUED_BYTES:
            self.dropped += 1
            return False
        self._queued_bytes += size
        self._writes.add((slot, entry))
        return True

    def after_writes(self, write: Callable[[], Awaitable[None]]) -> None:
        """Do something soon, after what waits to be written."""
        self._writes.after(write)

    async def flush(self) -> None:
        """Wait until everything is written."""
        await self._writes.flush()
        await self._counts.flush()

    async def _keep(self, answers: Sequence[_Answer]) -> None:
        try:
            await self._put(answers)
        except (StoreConnectionError, ResponseError, DataError) as error:
            self.dropped += len(answers)
            logger.warning("%d answers could not be stored: %s", len(answers), error)
        finally:
            self._queued_bytes -= sum(map(_body_bytes, answers))

    async def run(self, name: str, keys: Sequence[str], args: Sequence[str | int]) -> object:
        """Run one of the cache's scripts.

        Raises:
            StoreConnectionError: No answer.
        """
        return await self.commands.script(self._scripts[name], keys, args, retry_safe=True)

    async def _put(self, answers: Sequence[_Answer]) -> None:
        now = time.time()
        keys = [keyspace.AGES, keyspace.SIZES]
        args: list[Argument] = [self._settings.max_mb * MEGABYTE, round(now * 1000)]
        near: list[Command] = []
        for slot, entry in answers:
            life_ms = round((entry.left_s(now) + self._stale_s) * 1000)
            if life_ms <= 0:
                continue
            keys.append(key := keyspace.entry(slot.id))
            seal = partial(self._cipher.seal, purpose=key) if self._cipher.is_on else None
            args += (slot.id, entry.encode(seal), life_ms)
            if slot.near:
                near.append(("SET", slot.near, slot.id, "PX", life_ms))
        if args[2:]:
            await self.commands.script(self._scripts["keep"], keys, args, retry_safe=True)
        await self.commands.execute_many(near, retry_safe=True)

    async def purge(self, purge: Purge, *, dry_run: bool = False) -> int:
        """Purge entries: no replica serves them after this returns, and their texts are gone.

        Returns:
            Number of entries, purged or (of a dry run) to be purged.

        Raises:
            StoreUnavailable: No answer; what was purged so far stays purged.
        """
        try:
            if not dry_run:
                before = time.time() if purge.before is None else purge.before
                args = (math.ceil(before * 1000), MARK_MS)
                await self.commands.script(self._scripts["mark"], (purge.mark,), args, retry_safe=True)
                await self._sweep_vectors(purge)
            return await self._sweep(purge, dry_run=dry_run)
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: the cache could not be purged. Try again.") from error

    async def _sweep(self, purge: Purge, *, dry_run: bool) -> int:
        pattern = f"{keyspace.ENTRIES}{purge.scope or keyspace.ANY}-*"
        cursor: str | bytes = "0"
        count = 0
        while True:
            cursor, keys = await self.commands.execute(
                "SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT, retry_safe=True
            )
            covered = await self._covered(purge, keys)
            count += len(covered)
            if covered and not dry_run:
                await self._forget(covered)
            if cursor == b"0":
                return count

    async def _sweep_vectors(self, purge: Purge) -> None:
        cursor: str | bytes = "0"
        while True:
            cursor, keys = await self.commands.execute(
                "SCAN", cursor, "MATCH", purge.vectors, "COUNT", SCAN_COUNT, retry_safe=True
            )
            if keys:
                await self.commands.execute("UNLINK", *keys, retry_safe=True)
            if cursor == b"0":
                return

    async def _covered(self, purge: Purge, keys: Sequence[bytes]) -> list[str]:
        """Return the ids of the entries that a purge covers; unreadable ones are covered too."""
        if not keys:
            return []
        heads = await self.commands.execute_many([("GETRANGE", key, 0, HEAD_BYTES) for key in keys], retry_safe=True)
        return [
            key.decode().removeprefix(keyspace.ENTRIES)
            for key, head in zip(keys, heads, strict=True)
            if (entry := decode_head(head)) is None or purge.covers(entry)
        ]

    async def remove(self, entry_id: str) -> bool:
        """Remove one entry by its id.

        Returns:
            False if there is none.

        Raises:
            StoreUnavailable: No answer.
        """
        try:
            return await self._forget([entry_id]) > 0
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: the entry was not removed. Try again.") from error

    async def _forget(self, ids: Sequence[str]) -> int:
        keys = (keyspace.AGES, keyspace.SIZES, *map(keyspace.entry, ids))
        return int(await self.commands.script(self._scripts["forget"], keys, ids, retry_safe=True))

    async def counts(self, days: Sequence[str]) -> dict[str, int]:
        """Return the sums of days, ``2026-11-29``.

        Raises:
            StoreUnavailable: No answer.
        """
        stored = await self._read_many([("HGETALL", keyspace.counts(day)) for day in days])
        return summed(stored)

    async def size(self) -> tuple[int, int]:
        """Return how many entries there are and their bytes; expired ones count until the next write.

        Raises:
            StoreUnavailable: No answer.
        """
        entries, size = await self._read_many([("ZCARD", keyspace.AGES), ("HGET", keyspace.SIZES, "total")])
        return int(entries), int(size or 0)

    async def _read_many(self, commands: Sequence[Sequence[str]]) -> list[Any]:
        try:
            return await self.commands.execute_many(commands, retry_safe=True)
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: the cache cannot be read. Try again.") from error

    async def aclose(self) -> None:
        """Write what waits, if the store answers within ``CLOSE_S``."""
        counting = self._counts.stop()
        flushing = asyncio.create_task(self.flush())
        _, late = await asyncio.wait([flushing], timeout=CLOSE_S)
        tasks = [task for task in (self._writes.task, counting, *late) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._owns_commands:
            await self.commands.aclose()


def _body_bytes(answer: _Answer) -> int:
    return len(answer[1].body)


def _mark_ms(mark: object) -> int:
    """Return the time of a purge mark; garbage forbids nothing."""
    try:
        return int(mark) if isinstance(mark, bytes) else 0
    except ValueError:
        return 0

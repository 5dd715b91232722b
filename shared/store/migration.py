"""Copies a gateway's keys from one store to another, between servers and clusters, in pages that can be taken up again.

Names change where one of the two is a cluster: there they carry a hash tag. API and worker processes must be stopped.
"""

import hashlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from redis.exceptions import ResponseError

from shared.store.address import mask, names_cluster, parse_address
from shared.store.commands import Command, RedisCommands
from shared.store.errors import StoreRefused
from shared.store.hash_tag import HashTag
from shared.store.key_copy import (
    INCOMING,
    LENGTHS,
    STREAM,
    VECTORS,
    finish_commands,
    read_command,
    stream_commands,
    write_commands,
)
from shared.store.schema import MIGRATING, SCHEMA, SCHEMA_KEY
from shared.store.shard_tags import shard_tag

CLIENT_NAME: Final = "finops-migration"
PAGE: Final = 1000
BATCH: Final = 32
"""Keys that are read with one round trip: a result may be of 16 MiB."""
_LISTED: Final = 3
_NONE: Final = b"none"
_NESTED: Final = b":finops:"
_BEGINNINGS: Final = (b"finops:", b"arq:")
# Names of this shard's keys as its connection gives them: those of other shards keep their tags.
_OURS: Final = re.compile(rb"(?>arq:(?:job|in-progress|result|retry):|arq:|finops:)(?!\{)")
_OWN: Final = frozenset((SCHEMA_KEY.encode(), INCOMING.encode()))
# What a gateway changes whenever it works: the clock of its queue once a second, its ledger and audit log by calls.
_CLOCK: Final = "finops:jobs:clock"
_LOGS: Final = ("finops:ledger", "finops:audit")
_PATTERNS: Final = ("finops:*", "arq:*", "arq:job:*", "arq:in-progress:*", "arq:result:*", "arq:retry:*")

Progress = Callable[[int], Awaitable[None]]


class MigrationRefused(ValueError):
    """The copy cannot begin or is not whole; the message says what to do."""


@dataclass(frozen=True, slots=True)
class End:
    """One of the two stores.

    Attributes:
        url: Its URL.
        shards: A connection to each shard, with ``CLIENT_NAME``.
    """

    url: str
    shards: Sequence[RedisCommands]

    @property
    def commands(self) -> RedisCommands:
        """The connection to shard 0."""
        return self.shards[0]

    def tag(self, shard: int) -> HashTag | None:
        """Return the hash tag of the names of a shard's keys."""
        return shard_tag(shard, is_cluster=names_cluster(self.url))


@dataclass(slots=True)
class Report:
    """What was copied.

    Attributes:
        keys: Of the gateway, on the source.
        copied: By this run.
        present: Copied by an earlier run.
        foreign: Keys of others on the source; they stay.
        removed: Keys that the source has no more, removed from the target.
        left_out: Names that the target cannot take: vectors of the cache, which it learns again.
        kinds: Keys by Redis type.
    """

    keys: int = 0
    copied: int = 0
    present: int = 0
    foreign: int = 0
    removed: int = 0
    left_out: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def add_page(self, kinds: Sequence[bytes], foreign: int) -> None:
        """Count the keys of a page by their types; one without has expired."""
        self.foreign += foreign
        for kind in kinds:
            if kind != _NONE:
                self.keys += 1
                self.kinds[kind.decode()] += 1

    def to_dict(self) -> dict[str, Any]:
        """Return the document that is printed."""
        return {
            "keys": self.keys,
            "copied": self.copied,
            "present": self.present,
            "foreign": self.foreign,
            "removed": self.removed,
            "left_out": self.left_out,
            "kinds": dict(sorted(self.kinds.items())),
        }


class Migration:
    """Copies keys; what a run has copied, the next one leaves as it is.

    Args:
        source: The store that is left.
        target: The store to move to: empty, or of a migration from the same source that did not end.
        name_fields: Fields of hashes whose values hold names of keys, by how the hash's name begins. Such a value is a
            JSON array of arrays, each with a name as its first element.
        origin: The source's name, by which a later run knows that it goes on with this one; by default its URL.
        progress: Awaited with the number of keys seen, after each page.
    """

    def __init__(
        self,
        source: End,
        target: End,
        name_fields: Mapping[bytes, bytes],
        *,
        origin: str = "",
        progress: Progress | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._mark = f"{MIGRATING.decode()}{hashlib.sha256(mask(origin or source.url).encode()).hexdigest()[:16]}"
        self._copies = tuple(
            _ShardCopy(ours, theirs, Renaming(source.tag(shard), target.tag(shard), name_fields))
            for shard, (ours, theirs) in enumerate(zip(source.shards, target.shards, strict=True))
        )

    async def check(self) -> None:
        """Check both stores; writes nothing.

        Raises:
            MigrationRefused: The source is in use or of a newer release, or the target is not empty.
            StoreConnectionError: One of them does not answer.
        """
        stored = await self._source.commands.execute("GET", SCHEMA_KEY, retry_safe=True)
        if stored is not None and not (stored.isdigit() and int(stored) <= SCHEMA):
            raise MigrationRefused("the source was written by a newer release, or is itself the target of a migration")
        await self._check_unused()
        mark = await self._target.commands.execute("GET", SCHEMA_KEY, retry_safe=True)
        if mark is not None and mark.startswith(self._mark.encode()):
            return
        if mark is not None and mark.startswith(MIGRATING):
            raise MigrationRefused("the target holds part of another source's keys: write the source as in that run")
        for commands in self._target.shards:
            async for names, _ in pages(commands):
                if names:
                    raise MigrationRefused("the target is not empty: it holds keys of a gateway. Choose an empty store")

    async def count(self) -> Report:
        """Count what would be copied.

        Raises:
            StoreConnectionError: The source does not answer.
        """
        report = Report()
        for commands in self._source.shards:
            async for names, foreign in pages(commands):
                kinds = await commands.execute_many([("TYPE", name) for name in names], retry_safe=True)
                report.add_page(kinds, foreign)
        return report

    async def run(self) -> Report:
        """Copy and compare; ``check`` before.

        Raises:
            MigrationRefused: Something wrote to the source meanwhile.
            StoreConnectionError: One of the stores does not answer. Run it again.
            redis.exceptions.ResponseError: The target refuses a command.
        """
        target = self._target.commands
        mark = await self._begin()
        report = Report()
        for copy in self._copies:
            await copy.run(report, self._progress)
        changed: list[bytes] = []
        for copy in self._copies:
            changed += await copy.compare(report)
        if changed:
            some = ", ".join(name.decode(errors="replace") for name in changed[:_LISTED])
            raise MigrationRefused(
                f"{len(changed):,} keys of the source changed while they were copied: {some}. "
                "Something still writes to it: stop it, and run this again"
            )
        await self._check_unused()
        if await self._mark_now() != mark:
            raise MigrationRefused(
                "the source was used while it was copied: stop all API and worker processes, and run this again"
            )
        stored = await self._source.commands.execute("GET", SCHEMA_KEY, retry_safe=True)
        await target.execute("SET", SCHEMA_KEY, stored or SCHEMA)
        return report

    async def _begin(self) -> str:
        """Mark the target, and return the mark; what was copied before the source was used again is removed first.

        Counts that have changed would else stay: a hash of as many fields looks copied.
        """
        target, mark = self._target.commands, await self._mark_now()
        if await target.execute("GET", SCHEMA_KEY, retry_safe=True) != mark.encode():
            for commands in self._target.shards:
                async for names, _ in pages(commands):
                    if names:
                        await commands.execute("UNLINK", *names)
            await target.execute("SET", SCHEMA_KEY, mark)
        return mark

    async def _mark_now(self) -> str:
        """Return the mark of a target that is copied from the source as it is now."""
        seen: list[Any] = [await commands.execute("HGETALL", _CLOCK) for commands in self._source.shards]
        seen += [await self._source.commands.execute("XREVRANGE", name, "+", "-", "COUNT", 1) for name in _LOGS]
        return f"{self._mark}:{hashlib.sha256(repr(seen).encode()).hexdigest()[:16]}"

    async def _check_unused(self) -> None:
        """Raise if a process of a gateway is connected to the source, where the server lists its clients."""
        try:
            reply: bytes = await self._source.commands.execute("CLIENT", "LIST", retry_safe=True)
        except (ResponseError, StoreRefused):
            return
        lines = reply.decode(errors="replace").splitlines()
        clients = [dict(word.partition("=")[::2] for word in line.split()) for line in lines]
        database = str(parse_address(self._source.url).db)
        names = {client.get("name", "") for client in clients if client.get("db") == database} - {CLIENT_NAME}
        if others := sorted(name for name in names if name.startswith("finops")):
            raise MigrationRefused(
                f"the source is in use by {', '.join(others)}: stop all API and worker processes, and run this again"
            )


@dataclass(frozen=True, slots=True)
class Renaming:
    """How names of keys differ between the two stores.

    Attributes:
        source: The hash tag of the source's names.
        target: That of the target's.
        fields: See ``Migration``.
    """

    source: HashTag | None
    target: HashTag | None
    fields: Mapping[bytes, bytes]

    def back(self) -> "Renaming":
        """Return the way from the target to the source."""
        return Renaming(self.target, self.source, self.fields)

    def name(self, name: bytes) -> bytes:
        """Return a key's name for the other store's commands: they add the first tag, a name inside it has its own."""
        begin, nested, inner = name.partition(_NESTED)
        return begin + b":" + self._whole(_NESTED[1:] + inner) if nested else name

    def value(self, name: bytes, value: Any) -> Any:  # noqa: ANN401 a reply is anything
        """Return a key's value with the names in it as the target has them."""
        wanted = next((one for begin, one in self.fields.items() if name.startswith(begin)), None)
        if wanted is None:
            return value
        fields = list(value)
        for at in range(0, len(fields), 2):
            if fields[at] == wanted:
                rows = orjson.loads(fields[at + 1])
                fields[at + 1] = orjson.dumps([[self._whole(row[0].encode()).decode(), *row[1:]] for row in rows])
        return fields

    def _whole(self, name: bytes) -> bytes:
        plain = name if self.source is None else self.source.plain(name)
        return plain if self.target is None else self.target.name(plain)


class _ShardCopy:
    """Copies and compares the keys of one shard."""

    def __init__(self, source: RedisCommands, target: RedisCommands, renaming: Renaming) -> None:
        self._source = source
        self._target = target
        self._renaming = renaming

    async def run(self, report: Report, progress: Progress | None) -> None:
        """Copy what the target does not have."""
        await self._target.execute("DEL", INCOMING)
        async for names, foreign in pages(self._source):
            kinds = await self._source.execute_many([("TYPE", name) for name in names], retry_safe=True)
            report.add_page(kinds, foreign)
            there = await self._target.execute_many([("EXISTS", self._renaming.name(name)) for name in names])
            report.present += sum(there)
            missing = [
                (name, kind)
                for name, kind, is_there in zip(names, kinds, there, strict=True)
                if not is_there and kind != _NONE
            ]
            for at in range(0, len(missing), BATCH):
                await self._copy(missing[at : at + BATCH], report)
            if progress is not None:
                await progress(report.keys)

    async def compare(self, report: Report) -> list[bytes]:
        """Remove from the target what the source does not have, or has otherwise, so that the next run copies it.

        Returns:
            The names of keys that the source has otherwise.
        """
        changed: list[bytes] = []
        left_out = {name.encode() for name in report.left_out}
        async for names, _ in pages(self._source):
            changed += [name for name in await self._different(names) if name not in left_out]
        await self._target.execute_many([("DEL", self._renaming.name(name)) for name in changed])
        back = self._renaming.back()
        async for names, _ in pages(self._target):
            there = await self._source.execute_many([("EXISTS", back.name(name)) for name in names], retry_safe=True)
            gone = [name for name, is_there in zip(names, there, strict=True) if not is_there]
            if gone:
                report.removed += await self._target.execute("DEL", *gone)
        return changed

    async def _copy(self, keys: Sequence[tuple[bytes, bytes]], report: Report) -> None:
        plain = [(name, kind) for name, kind in keys if kind not in {STREAM, VECTORS}]
        reads: list[Command] = []
        for name, kind in plain:
            reads += [read_command(kind, name), ("PTTL", name)]
        replies = await self._source.execute_many(reads, retry_safe=True)
        writes: list[Command] = []
        for (name, kind), value, ttl in zip(plain, replies[::2], replies[1::2], strict=True):
            if ttl != -2 and value is not None:
                writes += write_commands(kind, self._renaming.value(name, value))
                writes += finish_commands(self._renaming.name(name), ttl)
                report.copied += 1
        await self._target.execute_many(writes)
        for name, kind in keys:
            if kind == STREAM:
                await self._copy_stream(name, report)
            elif kind == VECTORS:
                await self._copy_vectors(name, report)

    async def _copy_stream(self, name: bytes, report: Report) -> None:
        async for commands in stream_commands(self._source, name):
            await self._target.execute_many(commands)
        ttl = await self._source.execute("PTTL", name, retry_safe=True)
        await self._target.execute_many(list(finish_commands(self._renaming.name(name), ttl)))
        report.copied += 1

    async def _copy_vectors(self, name: bytes, report: Report) -> None:
        value, ttl = await self._source.execute_many([read_command(VECTORS, name), ("PTTL", name)], retry_safe=True)
        try:
            await self._target.execute("RESTORE", self._renaming.name(name), max(0, ttl), value)
            report.copied += 1
        except ResponseError:
            report.left_out.append(name.decode(errors="replace"))

    async def _different(self, names: Sequence[bytes]) -> list[bytes]:
        """Return the keys of the source whose type or number of members differs on the target."""
        moved = [self._renaming.name(name) for name in names]
        kinds = await self._source.execute_many([("TYPE", name) for name in names], retry_safe=True)
        counts = [LENGTHS.get(kind, "EXISTS") for kind in kinds]
        ours = await self._source.execute_many(list(zip(counts, names, strict=True)), retry_safe=True)
        others = await self._target.execute_many([("TYPE", name) for name in moved], retry_safe=True)
        same = [at for at, kind in enumerate(kinds) if others[at] == kind]
        lengths = await self._target.execute_many([(counts[at], moved[at]) for at in same], retry_safe=True)
        theirs = dict(zip(same, lengths, strict=True))
        doubtful = [names[at] for at in range(len(names)) if theirs.get(at) != ours[at]]
        alive = await self._source.execute_many([("EXISTS", name) for name in doubtful], retry_safe=True)
        return [name for name, is_there in zip(doubtful, alive, strict=True) if is_there]


async def pages(commands: RedisCommands) -> AsyncIterator[tuple[list[bytes], int]]:
    """Return the names of a shard's keys, without the store's mark, and how many keys are others', page by page.

    The names of shard 0 differ from those of others by the tags of these; the others' are asked for by theirs.
    """
    patterns = ((),) if commands.shard == 0 else tuple(("MATCH", pattern) for pattern in _PATTERNS)
    for pattern in patterns:
        cursor = b"0"
        while True:
            cursor, names = await commands.execute("SCAN", cursor, *pattern, "COUNT", PAGE, retry_safe=True)
            ours = [name for name in names if _OURS.match(name)]
            others = 0 if commands.shard else sum(not name.startswith(_BEGINNINGS) for name in names)
            yield [name for name in ours if name not in _OWN], others
            if cursor == b"0":
                break

"""Copies a gateway's keys from one store to another, between servers and clusters, in pages that can be taken up again.

Names change where one of the two is a cluster: there they carry a hash tag. API and worker processes must be stopped.
"""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from redis.exceptions import ResponseError

from shared.store.address import mask, names_cluster, parse_address
from shared.store.commands import Command, RedisCommands
from shared.store.errors import StoreRefused
from shared.store.hash_tag import HashTag, engine_tag
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
from shared.store.shards import read_shards

CLIENT_NAME: Final = "finops-migration"
PAGE: Final = 1000
BATCH: Final = 32
"""Keys that are read with one round trip: a result may be of 16 MiB."""
_LISTED: Final = 3
_OURS: Final = (b"finops:", b"arq:")
_NESTED: Final = b":finops:"

Progress = Callable[[int], Awaitable[None]]


class MigrationRefused(ValueError):
    """The copy cannot begin or is not whole; the message says what to do."""


@dataclass(frozen=True, slots=True)
class End:
    """One of the two stores.

    Attributes:
        url: Its URL.
        commands: On it, with ``CLIENT_NAME``.
    """

    url: str
    commands: RedisCommands

    @property
    def tag(self) -> HashTag | None:
        """The hash tag of its keys' names."""
        return engine_tag() if names_cluster(self.url) else None


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
        self._name_fields = name_fields
        self._progress = progress
        self._mark = f"{MIGRATING.decode()}{hashlib.sha256(mask(origin or source.url).encode()).hexdigest()[:16]}"

    async def check(self) -> None:
        """Check both stores; writes nothing.

        Raises:
            MigrationRefused: The source is in use or of a newer release, or the target is not empty.
            StoreConnectionError: One of them does not answer.
        """
        stored = await self._source.commands.execute("GET", SCHEMA_KEY, retry_safe=True)
        if stored is not None and not (stored.isdigit() and int(stored) <= SCHEMA):
            raise MigrationRefused("the source was written by a newer release, or is itself the target of a migration")
        if (self._source.tag or self._target.tag) and await read_shards(self._source.commands) > 1:
            raise MigrationRefused("the source has several shards: these are copied from server to server only")
        await self._check_unused()
        mark = await self._target.commands.execute("GET", SCHEMA_KEY, retry_safe=True)
        if mark == self._mark.encode():
            return
        if mark is not None and mark.startswith(MIGRATING):
            raise MigrationRefused("the target holds part of another source's keys: write the source as in that run")
        async for names, _ in _pages(self._target.commands):
            if names:
                raise MigrationRefused("the target is not empty: it holds keys of a gateway. Choose an empty store")

    async def count(self) -> Report:
        """Count what would be copied.

        Raises:
            StoreConnectionError: The source does not answer.
        """
        report = Report()
        async for names, foreign in _pages(self._source.commands):
            kinds = await self._source.commands.execute_many([("TYPE", name) for name in names], retry_safe=True)
            self._count_page(report, kinds, foreign)
        return report

    async def run(self) -> Report:
        """Copy and compare; ``check`` before.

        Raises:
            MigrationRefused: Something wrote to the source meanwhile.
            StoreConnectionError: One of the stores does not answer. Run it again.
            redis.exceptions.ResponseError: The target refuses a command.
        """
        target = self._target.commands
        await target.execute("SET", SCHEMA_KEY, self._mark)
        await target.execute("DEL", INCOMING)
        report = Report()
        async for names, foreign in _pages(self._source.commands):
            await self._copy_page(names, foreign, report)
            if self._progress is not None:
                await self._progress(report.keys)
        await self._compare(report)
        await self._check_unused()
        stored = await self._source.commands.execute("GET", SCHEMA_KEY, retry_safe=True)
        await target.execute("SET", SCHEMA_KEY, stored or SCHEMA)
        return report

    def _count_page(self, report: Report, kinds: Sequence[bytes], foreign: int) -> None:
        report.foreign += foreign
        for kind in kinds:
            if kind != b"none":  # it has expired
                report.keys += 1
                report.kinds[kind.decode()] += 1

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

    async def _copy_page(self, names: Sequence[bytes], foreign: int, report: Report) -> None:
        kinds = await self._source.commands.execute_many([("TYPE", name) for name in names], retry_safe=True)
        self._count_page(report, kinds, foreign)
        there = await self._target.commands.execute_many([("EXISTS", self._moved(name)) for name in names])
        report.present += sum(there)
        missing = [
            (name, kind)
            for name, kind, is_there in zip(names, kinds, there, strict=True)
            if not is_there and kind != b"none"
        ]
        for at in range(0, len(missing), BATCH):
            await self._copy(missing[at : at + BATCH], report)

    async def _copy(self, keys: Sequence[tuple[bytes, bytes]], report: Report) -> None:
        plain = [(name, kind) for name, kind in keys if kind not in {STREAM, VECTORS}]
        reads: list[Command] = []
        for name, kind in plain:
            reads += [read_command(kind, name), ("PTTL", name)]
        replies = await self._source.commands.execute_many(reads, retry_safe=True)
        writes: list[Command] = []
        for (name, kind), value, ttl in zip(plain, replies[::2], replies[1::2], strict=True):
            if ttl != -2 and value is not None:
                writes += [*write_commands(kind, self._renamed(name, value)), *finish_commands(self._moved(name), ttl)]
                report.copied += 1
        await self._target.commands.execute_many(writes)
        for name, kind in keys:
            if kind == STREAM:
                await self._copy_stream(name, report)
            elif kind == VECTORS:
                await self._copy_vectors(name, report)

    async def _copy_stream(self, name: bytes, report: Report) -> None:
        async for commands in stream_commands(self._source.commands, name):
            await self._target.commands.execute_many(commands)
        ttl = await self._source.commands.execute("PTTL", name, retry_safe=True)
        await self._target.commands.execute_many(list(finish_commands(self._moved(name), ttl)))
        report.copied += 1

    async def _copy_vectors(self, name: bytes, report: Report) -> None:
        source, target = self._source.commands, self._target.commands
        value, ttl = await source.execute_many([read_command(VECTORS, name), ("PTTL", name)], retry_safe=True)
        try:
            await target.execute("RESTORE", self._moved(name), max(0, ttl), value)
            report.copied += 1
        except ResponseError:
            report.left_out.append(name.decode(errors="replace"))

    async def _compare(self, report: Report) -> None:
        """Compare both stores; a key that differs is removed from the target, so that the next run copies it again.

        Raises:
            MigrationRefused: Some differ.
        """
        changed: list[bytes] = []
        left_out = {name.encode() for name in report.left_out}
        async for names, _ in _pages(self._source.commands):
            changed += [name for name in await self._different(names) if name not in left_out]
        if changed:
            await self._target.commands.execute_many([("DEL", self._moved(name)) for name in changed])
            some = ", ".join(name.decode(errors="replace") for name in changed[:_LISTED])
            raise MigrationRefused(
                f"{len(changed):,} keys of the source changed while they were copied: {some}. "
                "Something still writes to it: stop it, and run this again"
            )
        async for names, _ in _pages(self._target.commands):
            there = await self._source.commands.execute_many(
                [("EXISTS", _move(name, self._target.tag, self._source.tag)) for name in names], retry_safe=True
            )
            gone = [name for name, is_there in zip(names, there, strict=True) if not is_there]
            if gone:
                report.removed += await self._target.commands.execute("DEL", *gone)

    async def _different(self, names: Sequence[bytes]) -> list[bytes]:
        """Return the keys of the source whose type or number of members differs on the target."""
        source, target = self._source.commands, self._target.commands
        moved = [self._moved(name) for name in names]
        kinds = await source.execute_many([("TYPE", name) for name in names], retry_safe=True)
        counted = [
            (LENGTHS.get(kind, "EXISTS"), name, other) for kind, name, other in zip(kinds, names, moved, strict=True)
        ]
        ours = await source.execute_many([(count, name) for count, name, _ in counted], retry_safe=True)
        others = await target.execute_many([("TYPE", name) for name in moved], retry_safe=True)
        same = [at for at, kind in enumerate(kinds) if others[at] == kind]
        lengths = await target.execute_many([(counted[at][0], counted[at][2]) for at in same], retry_safe=True)
        theirs = dict(zip(same, lengths, strict=True))
        doubtful = [names[at] for at in range(len(names)) if theirs.get(at) != ours[at]]
        alive = await source.execute_many([("EXISTS", name) for name in doubtful], retry_safe=True)
        return [name for name, is_there in zip(doubtful, alive, strict=True) if is_there]

    def _moved(self, name: bytes) -> bytes:
        return _move(name, self._source.tag, self._target.tag)

    def _renamed(self, name: bytes, value: Any) -> Any:  # noqa: ANN401 a reply is anything
        """Return a value with the names in it as the target has them."""
        wanted = next((one for begin, one in self._name_fields.items() if name.startswith(begin)), None)
        if wanted is None:
            return value
        fields = list(value)
        for at in range(0, len(fields), 2):
            if fields[at] == wanted:
                rows = orjson.loads(fields[at + 1])
                fields[at + 1] = orjson.dumps([[self._whole_name(row[0]), *row[1:]] for row in rows])
        return fields

    def _whole_name(self, name: str) -> str:
        plain = name.encode() if self._source.tag is None else self._source.tag.plain(name.encode())
        return (plain if self._target.tag is None else self._target.tag.name(plain)).decode()


def _move(name: bytes, source: HashTag | None, target: HashTag | None) -> bytes:
    """Return a key's name for the other store's commands: they add the first tag, a name inside it has its own."""
    begin, nested, inner = name.partition(_NESTED)
    if not nested:
        return name
    inner = _NESTED[1:] + inner
    plain = inner if source is None else source.plain(inner)
    return begin + b":" + (plain if target is None else target.name(plain))


async def _pages(commands: RedisCommands) -> AsyncIterator[tuple[list[bytes], int]]:
    """Return the names of a gateway's keys, without the store's mark, and how many others there are, page by page."""
    cursor = b"0"
    while True:
        cursor, names = await commands.execute("SCAN", cursor, "COUNT", PAGE, retry_safe=True)
        ours = [name for name in names if name.startswith(_OURS)]
        own = {SCHEMA_KEY.encode(), INCOMING.encode()}
        yield [name for name in ours if name not in own], len(names) - len(ours)
        if cursor == b"0":
            return

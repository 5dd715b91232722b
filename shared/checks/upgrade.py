"""The check of `finops upgrade-check`: which stored data this release reads. It writes nothing."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.cache import entry as cache_entry
from shared.checks.encryption import check_encryption
from shared.checks.findings import Finding, fail, ok, unstyled, warn
from shared.governance import keyspace as governance
from shared.governance.keys import model as virtual_keys
from shared.jobs import model as jobs
from shared.jobs.workers import running_workers
from shared.settings.model import Settings
from shared.store.commands import Command, RedisCommands, translated_faults
from shared.store.hash_tag import engine_tag
from shared.store.keyspace import Key
from shared.store.schema import SCHEMA, SCHEMA_KEY

MOST_KEYS: Final = 200_000
"""Keys that are looked at unless the caller asks for more: 4 s of CPU, if half of them are records."""
_PAGE: Final = 1000
_NEWEST_ENTRIES: Final = 1000
_HEAD_BYTES: Final = 31
_JSON_VERSION: Final = re.compile(rb'\{"v":(\d{1,9})[,}]')
_LISTED: Final = 3
_FIX: Final = "do not start this release on it: use the one that wrote them, or a newer one, and run this again there"


@dataclass(frozen=True, slots=True)
class RecordKind:
    """A kind of record that has a version.

    Attributes:
        pattern: Of its keys, as in their table.
        name: Plural, for people.
        newest: The latest version that this release reads.
        in_json: Whether the version begins a JSON document; else it is the field ``v`` of a hash.
    """

    pattern: str
    name: str
    newest: int = 1
    in_json: bool = False


RECORDS: Final = (
    RecordKind("finops:job:<id>", "jobs", jobs.RECORD_VERSION),
    RecordKind("finops:schedule:<id>", "schedules"),
    RecordKind("finops:operation:<id>", "bulk operations"),
    RecordKind("finops:delivery:<id>", "webhook deliveries"),
    RecordKind("finops:file:<id>", "files"),
    RecordKind("finops:batch:<id>", "batches"),
    RecordKind("finops:provider-batch:<id>", "followed batches"),
    RecordKind("finops:key:<id>", "virtual keys", virtual_keys.RECORD_VERSION, in_json=True),
    RecordKind("finops:cache:e:<scope>-<request>", "cached answers", cache_entry.VERSION, in_json=True),
    RecordKind("finops:owned:<hash>", "owners of providers' objects", in_json=True),
)
STREAMS: Final = (
    RecordKind(governance.LEDGER, "ledger entries", governance.ENTRY_VERSION),
    RecordKind(governance.AUDIT, "audit entries"),
)


@dataclass(slots=True)
class StoredData:
    """What a look at the store found.

    Attributes:
        keys: How many were looked at.
        whole: Whether these are all of ours.
        versions: Records by kind and version; a record without a version counts as of version 1.
        unknown: Names of keys of kinds that this release does not have.
    """

    keys: int = 0
    whole: bool = True
    versions: dict[str, Counter[int]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def add(self, other: "StoredData") -> None:
        """Add what was found in another shard."""
        self.keys += other.keys
        self.whole = self.whole and other.whole
        self.unknown += other.unknown
        for name, versions in other.versions.items():
            self.versions[name] += versions


async def check_upgrade(
    commands: RedisCommands,
    settings: Settings,
    version: str,
    known: re.Pattern[str],
    most_keys: int = MOST_KEYS,
    *,
    others: Sequence[RedisCommands] = (),
) -> list[Finding]:
    """Compare what a store holds with what this release reads.

    Args:
        commands: Of the store.
        settings: Of this release; its keys of encryption are tried.
        version: Of this release.
        known: What ``known_names`` returned for the tables of keys.
        most_keys: How many keys of each shard are looked at.
        others: A connection to each shard but the first.

    Raises:
        StoreConnectionError: The store does not answer.
        StoreUnavailable: The same, of a part of it.
    """
    with translated_faults():
        schema = await commands.execute("GET", SCHEMA_KEY, retry_safe=True)
        data = await look_at(commands, known, most_keys)
        for other in others:
            data.add(await look_at(other, known, most_keys))
        await _look_at_streams(commands, data)
    workers = Counter(worker.version for worker in await running_workers(commands))
    return [
        judge_schema(schema),
        *judge_records(data),
        _judge_unknown(data),
        *await check_encryption(commands, settings, others),
        _judge_workers(workers, version),
    ]


async def look_at(commands: RedisCommands, known: re.Pattern[str], most_keys: int) -> StoredData:
    """Read the names of all keys and the versions of all records, up to a number of keys."""
    data = StoredData(versions={kind.name: Counter() for kind in (*RECORDS, *STREAMS)})
    async for names in _pages(commands):
        if data.keys >= most_keys:
            data.whole = False
            break
        data.keys += len(names)
        found = [(kind, name) for name in names if (kind := kind_of(name)) is not None]
        data.unknown += [name for name in names if kind_of(name) is None and not known.fullmatch(name)]
        replies = await commands.execute_many([_read(kind, name) for kind, name in found], retry_safe=True)
        for (kind, _), reply in zip(found, replies, strict=True):
            data.versions[kind.name][_version(kind, reply)] += 1
    return data


async def _pages(commands: RedisCommands) -> AsyncIterator[list[str]]:
    """Return the names of a shard's keys, page by page; those of others keep their tags, where they are listed too."""
    cursor, plain = b"0", engine_tag().plain
    while True:
        cursor, keys = await commands.execute("SCAN", cursor, "MATCH", "finops:*", "COUNT", _PAGE, retry_safe=True)
        names = [plain(key).decode(errors="replace") for key in keys]
        yield [name for name in names if not name.startswith("finops:{")]
        if cursor == b"0":
            return


def _read(kind: RecordKind, name: str) -> Command:
    return ("GETRANGE", name, 0, _HEAD_BYTES) if kind.in_json else ("HGET", name, "v")


def _version(kind: RecordKind, reply: bytes | None) -> int:
    """The version of a record; 1 if it has none, as of one that has just expired."""
    if kind.in_json:
        found = _JSON_VERSION.match(reply or b"")
        return int(found[1]) if found else 1
    return int(reply) if reply and reply.isdigit() else 1


async def _look_at_streams(commands: RedisCommands, data: StoredData) -> None:
    for kind in STREAMS:
        newest = ("XREVRANGE", kind.pattern, "+", "-", "COUNT", _NEWEST_ENTRIES)
        for _, fields in await commands.execute(*newest, retry_safe=True):
            data.versions[kind.name][_version(RecordKind("", "", in_json=True), fields[1])] += 1


def _pattern(name: str, part: str) -> str:
    """A pattern of names, from a row of a table of keys; ``part`` is what stands for what varies."""
    return part.join(re.escape(text) for text in re.split(r"<[^>]+>", name))


_RECORD_NAMES: Final = {re.compile(_pattern(kind.pattern, "[^:]+")): kind for kind in RECORDS}


def known_names(keys: Iterable[Key]) -> re.Pattern[str]:
    """Return a pattern of all names that tables of keys have; ids of records have no colon, other parts may."""
    records = {kind.pattern for kind in RECORDS}
    patterns = (_pattern(key.pattern, "[^:]+" if key.pattern in records else ".+") for key in keys)
    return re.compile("|".join(patterns), re.DOTALL)


def kind_of(name: str) -> RecordKind | None:
    """Return the kind of record that a key of this name holds; None: it has no version."""
    return next((kind for pattern, kind in _RECORD_NAMES.items() if pattern.fullmatch(name)), None)


def judge_schema(stored: bytes | None) -> Finding:
    """Judge the mark of the store's layout; None: the store has none."""
    if stored is None:
        return ok("store schema", "the store is not marked: it is empty")
    if stored.isdigit() and int(stored) <= SCHEMA:
        return ok("store schema", f"{int(stored)}; this release reads up to {SCHEMA}")
    mark = stored[:20].decode(errors="replace")
    return fail("store schema", f"{unstyled(mark)}; this release reads up to {SCHEMA}", _FIX)


def judge_records(data: StoredData) -> Iterator[Finding]:
    """Judge the versions of each kind of record that is there."""
    for kind in (*RECORDS, *STREAMS):
        versions = data.versions[kind.name]
        total = versions.total()
        newer = {number: count for number, count in sorted(versions.items()) if number > kind.newest}
        if newer:
            found = ", ".join(f"{count:,} of version {number}" for number, count in newer.items())
            yield fail(kind.name, f"{total:,}, {found}; this release reads up to {kind.newest}", _FIX)
        elif total:
            read = " and ".join(str(number) for number in sorted(versions))
            yield ok(kind.name, f"{total:,} of version {read}, which this release reads")


def _judge_unknown(data: StoredData) -> Finding:
    looked = f"{data.keys:,} keys"
    more = "" if data.whole else "; the store has more, which --most-keys includes"
    if not data.unknown:
        return ok("keys", f"{looked}, each of a kind that this release knows{more}")
    names = ", ".join(unstyled(name)[:80] for name in sorted(data.unknown)[:_LISTED])
    problem = f"{looked}, {len(data.unknown):,} of kinds that this release does not know, as {names}{more}"
    fix = "a newer release, or a program of your own, wrote them: this one neither reads nor deletes them"
    return warn("keys", problem, fix)


def _judge_workers(workers: Mapping[str, int], version: str) -> Finding:
    others = {name: count for name, count in workers.items() if name != version}
    if not workers:
        return ok("workers", f"none runs; this release is {version}")
    listed = ", ".join(f"{count} of {unstyled(name)[:40]}" for name, count in sorted(workers.items()))
    if not others:
        return ok("workers", f"{listed}, this release")
    return ok("workers", f"{listed} run; replace them by {version} first, then the API processes")

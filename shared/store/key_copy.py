"""Reads keys of any Redis type, and returns the commands that write them elsewhere.

The types are copied by their own commands: DUMP and RESTORE work only between servers of related versions, and not from
Valkey 9 to Redis at all. Vector sets have no such commands: they are left to DUMP.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from shared.store.commands import Command, RedisCommands

INCOMING: Final = "finops:incoming"
"""A key is written under this name and gets its own by RENAME: a key that is there is whole."""
CHUNK: Final = 1000
"""Most members in one command, and most entries of a stream in one reply."""
VECTORS: Final = b"vectorset"
STREAM: Final = b"stream"

LENGTHS: Final[Mapping[bytes, str]] = {
    b"string": "STRLEN",
    b"hash": "HLEN",
    b"list": "LLEN",
    b"set": "SCARD",
    b"zset": "ZCARD",
    STREAM: "XLEN",
    VECTORS: "VCARD",
}
"""The command that counts the members of a type."""
_READS: Final[Mapping[bytes, Callable[[bytes], Command]]] = {
    b"string": lambda name: ("GET", name),
    b"hash": lambda name: ("HGETALL", name),
    b"list": lambda name: ("LRANGE", name, 0, -1),
    b"set": lambda name: ("SMEMBERS", name),
    b"zset": lambda name: ("ZRANGE", name, 0, -1, "WITHSCORES"),
    VECTORS: lambda name: ("DUMP", name),
}


def read_command(kind: bytes, name: bytes) -> Command:
    """Return the command that reads a whole key of a type; a stream is read by ``stream_commands``."""
    return _READS[kind](name)


def write_commands(kind: bytes, value: Any) -> Iterator[Command]:  # noqa: ANN401 a reply is anything
    """Return the commands that write a value as ``INCOMING``.

    Args:
        kind: Its type; neither a stream nor a vector set.
        value: The reply of ``read_command``.
    """
    if kind == b"string":
        yield "SET", INCOMING, value
    elif kind == b"hash":
        yield from (("HSET", INCOMING, *part) for part in _chunks(value, 2 * CHUNK))
    elif kind == b"zset":
        turned = [value[at ^ 1] for at in range(len(value))]  # ZADD takes the score first
        yield from (("ZADD", INCOMING, *part) for part in _chunks(turned, 2 * CHUNK))
    else:
        push = "RPUSH" if kind == b"list" else "SADD"
        yield from ((push, INCOMING, *part) for part in _chunks(value, CHUNK))


def finish_commands(name: bytes, ttl_ms: int) -> Iterator[Command]:
    """Return the commands that give ``INCOMING`` its lifetime and its name; a lifetime below 0: none."""
    if ttl_ms >= 0:
        yield "PEXPIRE", INCOMING, max(1, ttl_ms)
    yield "RENAME", INCOMING, name


async def stream_commands(source: RedisCommands, name: bytes) -> AsyncIterator[list[Command]]:
    """Read a stream with its consumer groups and what these have not acknowledged, page by page.

    Yields:
        The commands that write a page as ``INCOMING``.
    """
    about = _fields(await source.execute("XINFO", "STREAM", name, retry_safe=True))
    # A stream without entries exists by a group alone.
    yield [("XGROUP", "CREATE", INCOMING, "-", "0", "MKSTREAM"), ("XGROUP", "DESTROY", INCOMING, "-")]
    first: str | bytes = "-"
    while page := await source.execute("XRANGE", name, first, "+", "COUNT", CHUNK, retry_safe=True):
        yield [("XADD", INCOMING, entry, *fields) for entry, fields in page]
        first = b"(" + page[-1][0]
    added = about.get(b"entries-added")
    more = () if added is None else ("ENTRIESADDED", added, "MAXDELETEDID", about[b"max-deleted-entry-id"])
    yield [("XSETID", INCOMING, about[b"last-generated-id"], *more)]
    for group in map(_fields, await source.execute("XINFO", "GROUPS", name, retry_safe=True)):
        yield [("XGROUP", "CREATE", INCOMING, group[b"name"], group[b"last-delivered-id"])]
        async for claims in _pending(source, name, group[b"name"]):
            yield claims


async def _pending(source: RedisCommands, name: bytes, group: bytes) -> AsyncIterator[list[Command]]:
    first: str | bytes = "-"
    while page := await source.execute("XPENDING", name, group, first, "+", CHUNK, retry_safe=True):
        yield [
            ("XCLAIM", INCOMING, group, consumer, 0, entry, "IDLE", idle, "RETRYCOUNT", tries, "FORCE", "JUSTID")
            for entry, consumer, idle, tries in page
        ]
        first = b"(" + page[-1][0]


def _fields(flat: Sequence[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _chunks(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (values[at : at + size] for at in range(0, len(values), size))

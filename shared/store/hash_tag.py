"""Puts every key of ours into one slot of a cluster: commands leave with tagged names, callers use the plain ones.

The engine's scripts touch keys that they find while they run, which a cluster allows only within one slot, so all keys
carry one hash tag (https://valkey.io/topics/cluster-spec/#hash-tags). Names on other stores do not change.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from redis.crc import key_slot

Argument = str | bytes | bytearray | memoryview | int | float
Command = Sequence[Argument]

ENGINE_TAG = "f0d"
GUARDS = ("finops:guard:1", "finops:guard:2")
# How our names begin. arq appends ids to some of its own: its tools find a job of a cluster as `{f0d}<id>`, and the
# queue as `arq:{f0d}:queue`.
_NAME = re.compile(rb"(arq:(?:job|in-progress|result|retry):)|(?:arq|finops):")
_KEYLESS = frozenset(
    b"ACL ASKING AUTH CLIENT CLUSTER COMMAND CONFIG DBSIZE ECHO EXEC FLUSHALL FLUSHDB HELLO INFO LATENCY MULTI PING "
    b"QUIT READONLY READWRITE RESET ROLE SELECT TIME UNWATCH WAIT WAITAOF".split()
)
_ALL_KEYS = frozenset(
    b"DEL EXISTS MGET PSUBSCRIBE PUNSUBSCRIBE RENAME RENAMENX SINTER SUBSCRIBE SUNION TOUCH UNLINK UNSUBSCRIBE "
    b"WATCH".split()
)
_ALL_BUT_LAST = frozenset(b"BLPOP BRPOP BZPOPMIN BZPOPMAX".split())
_AFTER_STREAMS = frozenset(b"XREAD XREADGROUP".split())
_FROM_SECOND = frozenset(b"MEMORY OBJECT PUBSUB XGROUP XINFO".split())
# Where the number of keys is; the keys follow it.
_COUNTED = {
    b"EVAL": 2,
    b"EVALSHA": 2,
    b"ZINTERSTORE": 2,
    b"ZUNIONSTORE": 2,
    b"ZINTER": 1,
    b"ZUNION": 1,
    b"ZDIFF": 1,
    b"ZINTERCARD": 1,
}
# Commands whose replies are names of keys.
LISTING = frozenset(("KEYS", "SCAN", b"KEYS", b"SCAN"))
_SUBSCRIBED = (b"message", b"subscribe", b"unsubscribe")


class HashTag:
    """Rewrites commands for a cluster.

    Args:
        tag: The hash tag of all keys.
    """

    def __init__(self, tag: str = ENGINE_TAG) -> None:
        self._tag = b"{%s}" % tag.encode()
        self._shas: dict[bytes, bytes] = {}
        self.slot: int = key_slot(tag.encode())
        # Never written. Two declared keys of the slot, of which none exists, keep every script from running while the
        # slot's keys are moved one by one: a script that found half of its keys would leave wrong counts that stay.
        self._guards = (self.name(GUARDS[0]), self.name(GUARDS[1]))

    def name(self, key: str | bytes) -> bytes:
        """Return a key's name on the cluster; a name that has its tag stays as it is."""
        plain = _as_bytes(key)
        begin = _NAME.match(plain)
        if begin is None or plain.startswith(self._tag, begin.end()):
            return plain
        return self._begin(begin) + plain[begin.end() :]

    def plain(self, name: bytes) -> bytes:
        """Return the name that callers use."""
        begin = _NAME.match(name)
        if begin is None or not name.startswith(self._tag, begin.end()):
            return name
        return begin[0] + name[begin.end() :].removeprefix(self._tag).removeprefix(b"" if begin[1] else b":")

    def source(self, source: bytes) -> bytes:
        """Return a script with tagged names: whatever in it begins as our keys do is the name of one."""
        return _NAME.sub(self._begin, source)

    def _begin(self, name: re.Match[bytes]) -> bytes:
        return name[0] + self._tag + (b"" if name[1] else b":")

    def rewrite(self, command: Command) -> list[Argument]:
        """Return a command with tagged keys, and a script with the names in it tagged too."""
        args = _words(command)
        verb = _as_bytes(args[0])
        if verb == b"SCRIPT" or verb in _KEYLESS:
            return self._with_source(args, 2) if _is_load(args) else args
        if verb == b"SCAN":
            return [*args[:2], *(self._key(arg) for arg in args[2:])]
        if verb == b"EVAL":
            args = self._with_source(args, 1)
        elif verb == b"EVALSHA":
            args[1] = self._sha(_as_bytes(args[1]))
        for position in _positions(verb, args):
            args[position] = self._key(args[position])
        if verb in {b"EVAL", b"EVALSHA"}:
            count = int(args[2])
            args[2] = count + len(self._guards)
            args[3 + count : 3 + count] = self._guards
        return args

    def reply(self, reply: Any) -> Any:  # noqa: ANN401 a reply is anything
        """Return a subscription's message with the plain name of its channel; any other reply as it is."""
        is_message = isinstance(reply, list) and len(reply) == 3 and reply[0] in _SUBSCRIBED
        return [reply[0], self.plain(reply[1]), reply[2]] if is_message and isinstance(reply[1], bytes) else reply

    def names(self, reply: Any) -> Any:  # noqa: ANN401 a reply is anything
        """Return the reply of a command of ``LISTING`` with plain names."""
        if isinstance(reply, list):
            return [self.names(part) for part in reply]
        return self.plain(reply) if isinstance(reply, bytes) else reply

    def _key(self, key: Argument) -> Argument:
        return self.name(key) if isinstance(key, str | bytes) else key

    def _with_source(self, args: list[Argument], at: int) -> list[Argument]:
        """Tag the source of a script, and remember under which hash the server knows it."""
        plain = _as_bytes(args[at])
        tagged = self.source(plain)
        self._shas[_sha1(plain)] = _sha1(tagged)
        return [*args[:at], tagged, *args[at + 1 :]]

    def _sha(self, sha: bytes) -> bytes:
        """Return the hash of the tagged script; of one that was not seen yet, a hash that no script has."""
        return self._shas.get(sha) or _sha1(self._tag + sha)


@cache
def engine_tag() -> HashTag:
    """Return the tag of the engine's keys; one object, so that every connection knows the scripts."""
    return HashTag()


def _positions(verb: bytes, args: Sequence[Argument]) -> Iterable[int]:
    """Return where the keys are in a command's arguments."""
    if verb in _ALL_KEYS:
        return range(1, len(args))
    if verb in _ALL_BUT_LAST:
        return range(1, len(args) - 1)
    if verb in _AFTER_STREAMS:
        first = next(at for at, arg in enumerate(args) if _as_bytes(arg).upper() == b"STREAMS") + 1
        return range(first, first + (len(args) - first) // 2)
    if verb in _FROM_SECOND:
        return range(2, len(args) if verb == b"PUBSUB" else min(3, len(args)))
    if verb in _COUNTED:
        at = _COUNTED[verb]
        keys = range(at + 1, at + 1 + int(_as_bytes(args[at])))
        return (1, *keys) if verb.endswith(b"STORE") else keys
    return range(1, min(2, len(args)))


def _words(command: Command) -> list[Argument]:
    """Return a command with its name in upper case; redis-py writes names of two words as one."""
    first = command[0]
    if not isinstance(first, str | bytes):
        return list(command)
    return [*_as_bytes(first).upper().split(), *command[1:]]


def _is_load(args: Sequence[Argument]) -> bool:
    return args[0] == b"SCRIPT" and len(args) > 2 and _as_bytes(args[1]).upper() == b"LOAD"


def _as_bytes(argument: Argument) -> bytes:
    if isinstance(argument, str):
        return argument.encode()
    return bytes(argument) if isinstance(argument, bytes | bytearray | memoryview) else str(argument).encode()


def _sha1(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()

"""The fast client of the store: one connection shared by all callers of a process."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, ResponseError

from shared.store.address import mask, parse_address
from shared.store.commands import Argument, Command, raise_first_error, reply_or_error, run_script
from shared.store.errors import StoreConnectionError
from shared.store.hash_tag import LISTING
from shared.store.link import Link
from shared.store.locator import check_role, locator_of
from shared.store.primary_watch import NodeAddress
from shared.store.refusals import refusal_of
from shared.store.scripts import Script
from shared.store.shard_tags import shard_tag


def _both(names: str) -> frozenset[str | bytes]:
    return frozenset(names.split()) | frozenset(names.encode().split())


MAY_BLOCK = _both("XREAD XREADGROUP")
# A server that refuses every write is not connected to again more often than this.
REPLACE_LINK_S = 1.0
# Commands on keys that move from one server of a cluster to another wait so long, looking so often.
SLOT_MOVES_S = 2.0
SLOT_PAUSE_S = 0.05
MOVING = frozenset({"ASK", "MOVED", "TRYAGAIN"})
# They would block all other callers, or change the meaning of their commands.
UNSHAREABLE = MAY_BLOCK | _both(
    "AUTH BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN DISCARD EXEC HELLO MONITOR MULTI "
    "PSUBSCRIBE PSYNC PUNSUBSCRIBE QUIT RESET SELECT SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE SYNC UNSUBSCRIBE "
    "UNWATCH WAIT WAITAOF WATCH"
)


class MultiplexedClient:
    """`RedisCommands` on one connection: commands of one turn of the event loop are sent in one write.

    It connects when first used and again after a fault. Commands in flight at a fault fail, unless
    `retry_safe`. A cancelled caller's command is executed all the same. It belongs to the event loop
    in which it is first used.

    Args:
        url: See `parse_address`. TLS files are read now.
        timeout_s: For an answer. One that is late ends the connection: whose later answers are would be unknown.
        connect_timeout_s: For connecting, TLS, AUTH and SELECT together.
        max_in_flight: Callers beyond it wait.
        client_name: What CLIENT LIST shows.
        shard: Whose keys the commands name.

    Raises:
        ValueError: The URL is invalid.
        OSError: A TLS file cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 5.0,
        connect_timeout_s: float = 2.0,
        max_in_flight: int = 10_000,
        client_name: str = "finops",
        shard: int = 0,
    ) -> None:
        self.shard = shard
        self._address = parse_address(url)
        self._locator = locator_of(self._address, timeout_s=connect_timeout_s / 2, shard=shard)
        self._tag = shard_tag(shard, is_cluster=bool(self._address.nodes))
        self._pack = _pack if self._tag is None else self._pack_tagged
        self._tls: ssl.SSLContext | None = self._address.tls.context() if self._address.tls else None
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._max_in_flight = max_in_flight
        self._client_name = client_name
        self._link: Link | None = None
        self._retired: list[Link] = []
        self._opening: asyncio.Task[Link] | None = None
        self._closed = False
        self._primary: NodeAddress = ("", 0)

    async def execute(self, *args: Argument, retry_safe: bool = False) -> Any:  # noqa: ANN401
        """See `RedisCommands.execute`.

        Raises:
            ValueError: The command blocks, or changes the connection that others use.
        """
        packed = self._pack(args)
        link = self._link
        if link is None or not link.open:
            link = await self._usable_link()
        reply = await link.send(packed)
        if isinstance(reply, Exception):
            reply = await self._settle(link, reply, packed, 0, retry_safe=retry_safe)
        return self._tag.names(reply) if self._tag is not None and args[0] in LISTING else reply

    def begin(self, *args: Argument) -> asyncio.Future[Any]:
        """See `RedisCommands.begin`; a task is needed only while there is no connection (24 us against 6).

        Raises:
            ValueError: The command blocks, or changes the connection that others use.
        """
        link = self._link
        if link is None or not link.open:
            return asyncio.ensure_future(reply_or_error(self, args))
        return link.send(self._pack(args))

    def begin_mget(self, key: str, others: tuple[str, ...]) -> asyncio.Future[Any]:
        """Start reading several keys, as ``begin``; the others are those of many reads, and encoded once.

        To encode six names anew takes as long as all else that a look-up does here.
        """
        link = self._link
        if link is None or not link.open or self._tag is not None:
            return self.begin("MGET", key, *others)
        name = key.encode()
        count = 2 + len(others)
        return link.send(b"*%d\r\n$4\r\nMGET\r\n$%d\r\n%b\r\n%b" % (count, len(name), name, _encoded(others)))

    async def execute_many(self, commands: Sequence[Command], *, retry_safe: bool = False) -> list[Any]:
        """See `RedisCommands.execute_many`; here nobody's commands come between them.

        Raises:
            ValueError: A command blocks, or changes the connection that others use.
        """
        if not commands:
            return []
        packed = b"".join([self._pack(command) for command in commands])
        link = await self._usable_link()
        replies = await link.send(packed, len(commands))
        moved = not isinstance(replies, Exception) and any(self._has_moved(link, reply) for reply in replies)
        if isinstance(replies, Exception) or (moved and retry_safe):
            fault = replies if isinstance(replies, Exception) else StoreConnectionError("the primary has moved")
            replies = await self._settle(link, fault, packed, len(commands), retry_safe=retry_safe)
        raise_first_error(replies)
        return list(replies)

    async def script(
        self, script: Script, keys: Sequence[str | bytes], args: Sequence[Argument] = (), *, retry_safe: bool = False
    ) -> Any:  # noqa: ANN401
        """See `RedisCommands.script`."""
        return await run_script(self, script, keys, args, retry_safe=retry_safe)

    async def aclose(self) -> None:
        """Close the connection; what is in flight fails with StoreConnectionError. A second call does nothing."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._locator.watch is not None:  # now, as what connects follows it
            await self._locator.watch.aclose()
        for link in (*self._retired, *filter(None, (self._link,))):
            await link.end("the connection to the store was closed")

    async def _settle(self, link: Link, fault: Exception, packed: bytes, replies: int, *, retry_safe: bool) -> Any:  # noqa: ANN401
        """Resend a `retry_safe` command after a connection failure, and one that a demoted server refused.

        Raises every other error.
        """
        reply: Any = fault
        lost = retry_safe and isinstance(fault, StoreConnectionError)
        if lost or self._has_moved(link, fault):
            usable = await self._usable_link()
            reply = await usable.send(packed, replies)
        if self._tag is not None and not replies:
            reply = await self._until_slot_settles(reply, packed)
        raise_first_error([reply])
        return reply

    async def _until_slot_settles(self, reply: Any, packed: bytes) -> Any:  # noqa: ANN401
        """Send a command again while its keys move between servers of a cluster; refused, it was not executed."""
        until = asyncio.get_running_loop().time() + SLOT_MOVES_S
        while _is_moving(reply) and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(SLOT_PAUSE_S)
            link = await self._usable_link()
            reply = await link.send(packed)
            self._has_moved(link, reply)
        return reply

    def _pack_tagged(self, args: Command) -> bytes:
        """Encode a command with the hash tag in its keys; reject one that must not go over the shared connection."""
        assert self._tag is not None  # noqa: S101 - set by the constructor
        try:
            tagged = self._tag.rewrite(args)
        except (IndexError, TypeError, ValueError) as error:
            raise DataError("a command is a name and arguments that are text, bytes or numbers") from error
        return _pack(cast("Command", tagged))

    def _has_moved(self, link: Link, reply: object) -> bool:
        """Retire the link if a reply says that its server is no longer the primary; tell whether to send again."""
        refusal = refusal_of(reply) if isinstance(reply, ResponseError) else None
        if refusal is None or not refusal.moved:
            return False
        if self._link is link:
            if link.age_s < REPLACE_LINK_S:
                return False
            self._link = None
            self._retired = [old for old in self._retired if old.fault is None] + [link]
            link.retire(str(refusal))
        return True

    async def _usable_link(self) -> Link:
        """Return a link that accepts a command now, connecting if necessary.

        Raises:
            StoreConnectionError: Connecting failed, or the link ended while waiting for room.
        """
        link = self._link
        if link is None or link.fault is not None:
            link = await self._connect()
        await link.until_open()
        return link

    async def _connect(self) -> Link:
        """Connect, or wait with others for the same connection."""
        if self._closed:
            raise StoreConnectionError("the client is closed")
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        opening = self._opening
        # Waiting on the task rather than for it: one caller's cancellation is not the others'.
        await asyncio.wait([opening])
        if opening.cancelled():
            raise StoreConnectionError("the client was closed")
        link = opening.result()
        if link.fault is not None:
            raise StoreConnectionError(link.fault)
        return link

    async def _open(self) -> Link:
        """Open a link; a failed one carries its fault instead of raising it."""
        loop = asyncio.get_running_loop()
        link = Link(loop, timeout_s=self._timeout_s, max_in_flight=self._max_in_flight)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._reach(link)
                await self._introduce(link)
        except TimeoutError:
            link.fail(f"{self._location} did not answer within {self._connect_timeout_s:g} s")
        except (OSError, UnicodeError, StoreConnectionError) as error:
            link.fail(f"no connection to {self._location}: {error}")
        except BaseException:
            link.fail("connecting was given up")
            raise
        finally:
            self._opening = None
        self._link = link
        return link

    @property
    def _location(self) -> str:
        return f"the store at {mask(self._address.url)}"

    async def _reach(self, link: Link) -> None:
        loop, address = asyncio.get_running_loop(), self._address
        if address.path is not None:
            await loop.create_unix_connection(lambda: link, address.path)
            return
        host, port = self._primary = await self._locator.find()
        if self._locator.watch is not None:
            self._locator.watch.follow(self._leave)
        transport, _ = await loop.create_connection(lambda: link, host, port, ssl=self._tls)
        # Detects a peer that vanished silently, also on an idle connection.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def _leave(self, primary: NodeAddress) -> None:
        """End the connection to a server that is no longer the primary; what is in flight there would be lost."""
        if self._link is not None and primary != self._primary:
            self._link.fail(f"{self._location} has another primary now")

    async def _introduce(self, link: Link) -> None:
        """Authenticate and select the database, in RESP2; the answers also prove that a server is there."""
        address = self._address
        commands: list[Command] = [("CLIENT", "SETNAME", self._client_name)]
        if address.username or address.password:
            user = (address.username,) if address.username else ()
            commands.insert(0, ("AUTH", *user, address.password or ""))
        if address.db:
            commands.append(("SELECT", address.db))
        if self._locator.finds_primary:
            commands.append(("ROLE",))
        replies = await link.send(b"".join(_pack(command, shared=False) for command in commands), len(commands))
        raise_first_error([replies])
        for command, reply in zip(commands, replies, strict=True):
            if command[0] == "ROLE":
                check_role(reply)
            # The client name is optional: a server may forbid it. A connection error means that it is not ready.
            elif command[0] != "CLIENT" or isinstance(reply, RedisConnectionError):
                _raise_refusal(str(command[0]), reply)


@lru_cache(maxsize=1024)
def _encoded(names: tuple[str, ...]) -> bytes:
    """Encode arguments of a command."""
    return b"".join([b"$%d\r\n%b\r\n" % (len(name), name) for name in map(str.encode, names)])


def _is_moving(reply: object) -> bool:
    refusal = refusal_of(reply) if isinstance(reply, ResponseError) else None
    return refusal is not None and refusal.code in MOVING


def _raise_refusal(name: str, reply: object) -> None:
    if isinstance(reply, Exception):
        raise StoreConnectionError(f"{name} was refused: {reply}") from reply


def _pack(args: Command, *, shared: bool = True) -> bytes:
    """Encode a command; reject one that must not go over the shared connection."""
    try:
        name = args[0].upper()  # type: ignore[union-attr]  # a number is answered below
        if shared and name in UNSHAREABLE and _holds_up_others(name, args):
            raise ValueError(f"{name!r} needs a connection of its own")
        packed: bytes = hiredis.pack_command(tuple(args))  # type: ignore[arg-type] # its stub knows one-tuples only
    except (TypeError, AttributeError, IndexError) as error:
        raise DataError("a command is a name and arguments that are text, bytes or numbers") from error
    except UnicodeEncodeError as error:
        raise DataError("an argument holds text that has no UTF-8 form") from error
    return packed


def _holds_up_others(name: str | bytes, args: Command) -> bool:
    if name not in MAY_BLOCK:
        return True
    tokens = [arg.upper() if isinstance(arg, bytes) else str(arg).upper().encode() for arg in args]
    end = tokens.index(b"STREAMS") if b"STREAMS" in tokens else len(tokens)
    return b"BLOCK" in tokens[:end]

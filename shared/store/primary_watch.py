"""Hears of failovers, so that connections to the old primary end at once.

Without it, a primary that is frozen or cut off is left when its answer is late: after 5 s, and by a subscription after
20 s. What is heard is a hint: the address is asked for before each connection anyway.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from redis.asyncio import Redis
from redis.exceptions import RedisError

NodeAddress = tuple[str, int]
Leave = Callable[[NodeAddress], None]

# https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/#pubsub-messages
SWITCHED = "+switch-master"
RETRY_S = 1.0
READ_S = 30.0


class PrimaryWatch(Protocol):
    """Tells whoever follows the address of the primary."""

    def follow(self, leave: Leave) -> None:
        """Call a function with the new primary's address after each failover; once for each function.

        Args:
            leave: Ends a connection to any other address. Must not raise.
        """
        ...

    async def aclose(self) -> None:
        """Forget who follows; ``follow`` begins anew."""
        ...


class SentinelWatch:
    """Subscribes to every Sentinel while somebody follows.

    Args:
        sentinels: Their hosts and ports.
        service: The primary's name.
        arguments: Of redis-py's connections to them: names, passwords, TLS.
    """

    def __init__(self, sentinels: tuple[NodeAddress, ...], service: str, arguments: Mapping[str, Any]) -> None:
        self._sentinels = sentinels
        self._service = service
        self._arguments = {**arguments, "socket_timeout": None, "socket_keepalive": True}
        self._followers: set[Leave] = set()
        self._clients: list[Redis] = []
        self._tasks: list[asyncio.Task[None]] = []

    def follow(self, leave: Leave) -> None:
        """See ``PrimaryWatch.follow``."""
        self._followers.add(leave)
        if not self._tasks:
            self._clients = [Redis(host=host, port=port, **self._arguments) for host, port in self._sentinels]
            self._tasks = [asyncio.create_task(self._listen(client)) for client in self._clients]

    async def aclose(self) -> None:
        """Unsubscribe, and see ``PrimaryWatch.aclose``."""
        self._followers.clear()
        tasks, self._tasks = self._tasks, []
        clients, self._clients = self._clients, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(client.aclose() for client in clients), return_exceptions=True)

    async def _listen(self, client: Redis) -> None:
        while True:
            with suppress(RedisError, OSError):  # a Sentinel that is away; the others say the same
                await self._read(client)
            await asyncio.sleep(RETRY_S)

    async def _read(self, client: Redis) -> None:
        async with client.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(SWITCHED)
            while True:
                message = await subscription.get_message(timeout=READ_S)
                if message is not None:
                    self._notify(message["data"])

    def _notify(self, data: bytes) -> None:
        """Read ``<name> <old host> <old port> <new host> <new port>``; anything else says nothing."""
        words = data.decode(errors="replace").split()
        if len(words) != 5 or words[0] != self._service or not words[4].isdecimal():
            return
        for leave in tuple(self._followers):
            leave((words[3], int(words[4])))


class ClusterWatch:
    """Tells all connections of an event loop to a cluster what the first of them finds.

    A cluster announces nothing to clients. The connection with the shortest time limit is the first to ask for the
    primary again; those that wait without one hear of it here.

    Args:
        cluster: What tells one primary's cluster from another: its URL and a slot.
    """

    def __init__(self, cluster: tuple[str, int]) -> None:
        self._cluster = cluster
        self._followers: set[Leave] = set()

    def follow(self, leave: Leave) -> None:
        """See ``PrimaryWatch.follow``."""
        self._followers.add(leave)
        _WATCHES.setdefault(asyncio.get_running_loop(), set()).add(self)

    def found(self, primary: NodeAddress) -> None:
        """Note where the primary is."""
        for watch in tuple(_WATCHES.get(asyncio.get_running_loop(), ())):
            if watch._cluster == self._cluster:  # noqa: SLF001 - of this class
                for leave in tuple(watch._followers):  # noqa: SLF001
                    leave(primary)

    async def aclose(self) -> None:
        """See ``PrimaryWatch.aclose``."""
        self._followers.clear()
        _WATCHES.get(asyncio.get_running_loop(), set()).discard(self)


_WATCHES: WeakKeyDictionary[asyncio.AbstractEventLoop, set[ClusterWatch]] = WeakKeyDictionary()

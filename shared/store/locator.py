"""Finds the server to connect to: a fixed address, the primary that Sentinels name, or that of a cluster's slot."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError, ResponseError

from shared.store.address import Address
from shared.store.errors import StoreConnectionError
from shared.store.primary_watch import ClusterWatch, NodeAddress, PrimaryWatch, SentinelWatch
from shared.store.shard_tags import cluster_tag


class Locator(Protocol):
    """Answers where the primary is; asked before each connection."""

    @property
    def finds_primary(self) -> bool:
        """Whether the address is looked up, so that the server's role has to be checked."""
        ...

    @property
    def watch(self) -> PrimaryWatch | None:
        """What hears of a new primary; None: nothing does."""
        ...

    async def find(self) -> NodeAddress:
        """Return the host and port of the primary.

        Raises:
            StoreConnectionError: No node answers, or none names a living primary.
        """
        ...


def locator_of(address: Address, *, timeout_s: float = 0.5, shard: int = 0) -> Locator:
    """Return what finds the primary of an address.

    Args:
        address: Where the store is, or its Sentinels, or nodes of its cluster.
        timeout_s: For all Sentinels or nodes together.
        shard: Whose keys are wanted; on a cluster, shards may be on different primaries.
    """
    if address.sentinels:
        return SentinelLocator(address, timeout_s)
    if address.nodes:
        return ClusterLocator(address, timeout_s, cluster_tag(shard).slot)
    return FixedLocator(address)


class FixedLocator:
    """The address as it is configured.

    Args:
        address: A host and a port.
    """

    finds_primary = False
    watch = None

    def __init__(self, address: Address) -> None:
        self._address = address

    async def find(self) -> NodeAddress:
        """See ``Locator.find``."""
        return self._address.host, self._address.port


class _JoinedLookup(ABC):
    """Answers all who ask at the same time by one look-up.

    Each of a pool's 50 connections to a primary that failed would ask all 9 nodes: 450 connections at once, of which
    none was answered in time, so that work went on up to 7 s after an election instead of 0.5 s.
    """

    _running: asyncio.Task[NodeAddress] | None = None

    async def find(self) -> NodeAddress:
        """See ``Locator.find``."""
        running = self._running
        if running is None or running.done() or running.get_loop() is not asyncio.get_running_loop():
            running = self._running = asyncio.create_task(self._look_up())
            running.add_done_callback(_note_failure)
        await asyncio.wait([running])  # on the task, not for it: one caller's cancellation is not the others'
        return running.result()

    @abstractmethod
    async def _look_up(self) -> NodeAddress:
        """Ask for the primary; see ``Locator.find``."""


class SentinelLocator(_JoinedLookup):
    """Asks Sentinels.

    All Sentinels are asked at once and the newest configuration counts: after a failover, one that was cut off or has
    just started still names the old primary.

    Args:
        address: The Sentinels.
        timeout_s: For all Sentinels together.
    """

    finds_primary = True

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self.watch = SentinelWatch(address.sentinels, address.service, self._sentinel_arguments())

    async def _look_up(self) -> NodeAddress:
        address = self._address
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            address.sentinels, sentinel_kwargs=self._sentinel_arguments()
        )
        try:
            states = await asyncio.gather(*(self._ask(client) for client in sentinel.sentinels))
        finally:
            await asyncio.shield(_end((), sentinel.sentinels))
        found = [state for state in states if not isinstance(state, str)]
        alive = [state for state in found if sentinel.check_master_state(dict(state), address.service)]
        if not alive:
            reasons = "; ".join(sorted({state for state in states if isinstance(state, str)})) or "it is down"
            raise StoreConnectionError(f"no Sentinel names a primary of {address.service!r}: {reasons}")
        newest = max(alive, key=lambda state: int(state["config-epoch"]))
        return str(newest["ip"]), int(newest["port"])

    async def _ask(self, client: Any) -> Mapping[str, Any] | str:  # noqa: ANN401 redis-py's mixin has no types
        """Return what a Sentinel knows of the primary, or why it does not say."""
        try:
            async with asyncio.timeout(self._timeout_s):
                state: Mapping[str, Any] = await client.sentinel_master(self._address.service)
        except ResponseError as error:
            return f"it answered: {error}"
        except (RedisError, OSError, TimeoutError):
            return "no answer"
        return state

    def _sentinel_arguments(self) -> dict[str, Any]:
        address = self._address
        arguments: dict[str, Any] = {"socket_timeout": self._timeout_s, "socket_connect_timeout": self._timeout_s}
        if address.sentinel_password:
            arguments |= {"username": address.sentinel_username, "password": address.sentinel_password}
        return arguments | (address.tls.arguments() if address.tls else {})


class ClusterLocator(_JoinedLookup):
    """Asks the nodes of a cluster for the primary of a slot.

    All known nodes are asked at once, and what most of them name counts: a node that was cut off still names the old
    primary. redis-py's own discovery believes the first node that answers, and builds a table of all 16,384 slots.
    Nodes that the answers mention are asked too the next time, so that those of the URL may go.

    Args:
        address: The nodes to begin with.
        timeout_s: For all nodes together; once most agree, the others are not waited for.
        slot: The slot of the keys.
    """

    finds_primary = True

    def __init__(self, address: Address, timeout_s: float, slot: int) -> None:
        self.watch = ClusterWatch((address.url, slot))
        self._address = address
        self._timeout_s = timeout_s
        self._known = frozenset(address.nodes)
        self._slot = slot
        self._arguments: dict[str, Any] = {
            "username": address.username,
            "password": address.password,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            **(address.tls.arguments() if address.tls else {}),
        }

    async def _look_up(self) -> NodeAddress:
        nodes = self._known
        clients = [Redis(host=host, port=port, **self._arguments) for host, port in nodes]
        asked = [asyncio.create_task(self._ask(client, node)) for client, node in zip(clients, nodes, strict=True)]
        named: Counter[NodeAddress] = Counter()
        reasons: set[str] = set()
        try:
            for answer in asyncio.as_completed(asked):
                primary = await answer
                if isinstance(primary, str):
                    reasons.add(primary)
                    continue
                named[primary] += 1
                if named[primary] > len(nodes) // 2:
                    break
        finally:
            await asyncio.shield(_end(asked, clients))
        if not named:
            raise StoreConnectionError(f"no node of the cluster names a primary: {'; '.join(sorted(reasons))}")
        found, votes = named.most_common(1)[0]
        if votes * 2 > named.total():
            self.watch.found(found)
        return found

    async def _ask(self, client: Redis, node: NodeAddress) -> NodeAddress | str:
        """Return what a node takes for the primary of our slot, or why it does not say."""
        try:
            async with asyncio.timeout(self._timeout_s):
                ranges = await client.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
        except (RedisError, OSError, TimeoutError) as error:
            return f"{node[0]}:{node[1]}: {str(error) or 'no answer'}"
        # Each range: first and last slot, its primary, its replicas; an unknown host is the one that was asked.
        # https://valkey.io/commands/cluster-slots/
        servers = {(first, last): [_server(one, node[0]) for one in all_] for first, last, *all_ in ranges}
        self._known |= frozenset(server for found in servers.values() for server in found)
        for (first, last), (primary, *_) in servers.items():
            if first <= self._slot <= last:
                return primary
        return "our slot has no primary"


def _note_failure(lookup: asyncio.Task[NodeAddress]) -> None:
    """Mark a failure as noticed: callers may all have been cancelled."""
    if not lookup.cancelled():
        lookup.exception()


async def _end(asked: Iterable[asyncio.Task[Any]], clients: Iterable[Redis]) -> None:
    """Close clients. Shield it: a closing that is cancelled before it has begun leaves a socket open."""
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    await asyncio.gather(*(client.aclose() for client in clients), return_exceptions=True)


def _server(entry: Sequence[Any], asked: str) -> NodeAddress:
    host = (entry[0] or b"").decode()
    return (host if host not in {"", "?"} else asked), int(entry[1])


def check_role(reply: object) -> None:
    """Reject a server that is no primary; one that may not say is trusted.

    Args:
        reply: The reply of ROLE.

    Raises:
        StoreConnectionError: It is a replica: a failover is not complete.
    """
    if isinstance(reply, list) and reply and reply[0] != b"master":
        raise StoreConnectionError("the server is a replica; a failover is not complete")

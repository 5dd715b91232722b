"""Connections to the store through redis-py, with timeouts on every operation."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection, Connection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.typing import EncodableT

from shared.store.address import Address, mask, parse_address
from shared.store.commands import translated_faults
from shared.store.errors import StoreConnectionError
from shared.store.hash_tag import LISTING, HashTag
from shared.store.locator import Locator, check_role, locator_of
from shared.store.primary_watch import NodeAddress, PrimaryWatch
from shared.store.refusals import is_moved
from shared.store.shard_tags import shard_tag

if TYPE_CHECKING:
    from arq.connections import ArqRedis

__all__ = ["StoreFacts", "connect", "connect_arq", "describe", "mask"]

PINGS = 5
CONNECT_RETRIES = 2


def connect(
    url: str,
    *,
    connect_timeout_s: float = 2.0,
    timeout_s: float | None = 5.0,
    health_check_interval_s: int = 30,
    max_connections: int = 64,
    client_name: str = "finops",
    shard: int = 0,
) -> Redis:
    """Create a client, which connects on first use. Close it with `aclose`.

    Establishing a connection is retried, as nothing has been sent yet; a command never is, as it may
    have been executed.

    Args:
        url: See `parse_address`.
        connect_timeout_s: Per attempt to connect.
        timeout_s: For an answer. A blocking command or a subscription needs a longer one, or None.
        health_check_interval_s: A connection idle for longer is tried with PING before use.
        max_connections: Callers beyond it wait for one, `connect_timeout_s` at most.
        client_name: What CLIENT LIST shows.
        shard: Whose keys the commands name.

    Raises:
        ValueError: The URL is invalid.
    """
    return Redis.from_pool(
        _make_pool(
            parse_address(url),
            shard,
            socket_connect_timeout=connect_timeout_s,
            socket_timeout=timeout_s,
            health_check_interval=health_check_interval_s,
            max_connections=max_connections,
            timeout=connect_timeout_s,
            client_name=client_name,
        )
    )


def connect_arq(url: str, **limits: Any) -> "ArqRedis":  # noqa: ANN401 those of `connect`
    """Create arq's client with JSON instead of its default, pickle, which executes code from stored keys.

    Args:
        url: See `parse_address`.
        limits: The keyword arguments of `connect`.

    Raises:
        ValueError: The URL is invalid.
    """
    from arq.connections import ArqRedis  # noqa: PLC0415 - for workers alone: 40 ms of an API's start

    client = ArqRedis(
        connect(url, **limits).connection_pool, job_serializer=orjson.dumps, job_deserializer=orjson.loads
    )
    client.auto_close_connection_pool = True
    return client


class _StoreConnection(AbstractConnection):
    """A connection to the primary: where it is, is asked at each connecting.

    Four things that redis-py 5.3 does otherwise:

    - It sends PING before it says who it is, and tries a failed PING again on a new connection, which sends PING
      first: without end, when a server takes connections and is silent. An introduction is not health-checked here.
    - It stays connected to a server that has become a replica. Here the connection is replaced before its next use.
    - It does not connect to a server that forbids CLIENT SETNAME. The name is a courtesy here.
    - It sends by ``asyncio.wait_for``, which before Python 3.12 loses a cancellation that comes just as the write ends:
      the task goes on, and whoever waits for its end waits for ever. (https://github.com/python/cpython/issues/86296)

    On a cluster, keys get the engine's hash tag on their way out; channels and listed names lose it on their way in.
    """

    has_moved = False
    asked_names = False
    locator: Locator | None = None
    tag: HashTag | None = None

    async def on_connect(self) -> None:
        self.has_moved = False
        self.next_health_check = asyncio.get_running_loop().time() + self.health_check_interval
        name, self.client_name = self.client_name, None
        try:
            await super().on_connect()
        finally:
            self.client_name = name
        if name:
            await self._ask("CLIENT", "SETNAME", name)
        if self.locator is not None and self.locator.finds_primary:
            try:
                check_role(await self._ask("ROLE"))
            except StoreConnectionError as error:
                raise RedisConnectionError(str(error)) from error

    async def _ask(self, *command: str) -> object:
        await self.send_command(*command, check_health=False)
        try:
            return await self.read_response()
        except ResponseError:  # an ACL may forbid it
            return None

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        """Send packed commands, and connect before if necessary.

        Raises:
            RedisConnectionError: The connection is lost.
            RedisTimeoutError: It does not take them within ``socket_timeout``.
        """
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call]
        elif check_health:
            await self.check_health()  # type: ignore[no-untyped-call]
        packed = command.encode() if isinstance(command, str) else command
        assert self._writer is not None  # noqa: S101 - connected
        try:
            async with asyncio.timeout(self.socket_timeout):
                self._writer.writelines([packed] if isinstance(packed, bytes) else packed)
                await self._writer.drain()
        except BaseException as error:
            await self.disconnect(nowait=True)
            if isinstance(error, TimeoutError):
                raise RedisTimeoutError("Timeout writing to socket") from None
            if isinstance(error, OSError):
                raise RedisConnectionError(f"writing to the store failed: {error}") from error
            raise

    def pack_command(self, *args: EncodableT) -> list[bytes]:
        """Encode a command; redis-py packs each of several with it too."""
        self.asked_names = self.tag is not None and args[0] in LISTING
        packed: list[bytes] = super().pack_command(*(args if self.tag is None else self.tag.rewrite(args)))
        return packed

    async def read_response(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 redis-py's reply
        try:
            reply = await super().read_response(*args, **options)
            if self.tag is None:
                return reply
            return self.tag.names(reply) if self.asked_names else self.tag.reply(reply)
        except ResponseError as error:
            self.has_moved = self.has_moved or is_moved(error)
            raise

    async def can_read_destructive(self) -> bool:
        """Tell whether the connection cannot be used again; redis-py's pools ask and then connect anew."""
        return self.has_moved or bool(await super().can_read_destructive())  # type: ignore[no-untyped-call]


class _Tcp(_StoreConnection, Connection):
    def __init__(self, *, locator: Locator, tag: HashTag | None, **arguments: Any) -> None:  # noqa: ANN401 redis-py's
        super().__init__(**arguments)
        self.locator = locator
        self.tag = tag

    async def _connect(self) -> None:
        assert self.locator is not None  # noqa: S101 - set by the constructor
        self.host, self.port = await self.locator.find()
        if self.locator.watch is not None:
            self.locator.watch.follow(self._leave)
        await super()._connect()  # type: ignore[no-untyped-call]

    def _leave(self, primary: NodeAddress) -> None:
        """End the connection to a server that is no longer the primary: whoever waits for it gets an error."""
        if self._writer is not None and primary != (self.host, self.port):
            self._writer.transport.abort()


class _TlsOverTcp(_Tcp, SSLConnection):
    pass


class _SocketFile(_StoreConnection, UnixDomainSocketConnection):
    def __init__(self, *, tag: HashTag | None, **arguments: Any) -> None:  # noqa: ANN401 redis-py's
        super().__init__(**arguments)
        self.tag = tag


class _Pool(BlockingConnectionPool):
    """A pool whose connections hear of failovers until it is closed."""

    watch: PrimaryWatch | None = None

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if self.watch is not None and inuse_connections:
            await self.watch.aclose()


def _make_pool(address: Address, shard: int, **limits: Any) -> BlockingConnectionPool:  # noqa: ANN401
    # Not after a timeout: waiting for a silent server once is long enough.
    retry = Retry(
        ExponentialBackoff(cap=0.5, base=0.05),
        CONNECT_RETRIES,
        supported_errors=(RedisConnectionError, ConnectionError, FileNotFoundError),  # type: ignore[arg-type]
    )
    location = _location(address, shard)
    pool = _Pool(
        db=address.db,
        username=address.username,
        password=address.password,
        decode_responses=False,
        retry=retry,
        retry_on_error=[],  # commands; `retry` above is for connecting and health checks
        **location,
        **limits,
    )
    pool.watch = location["locator"].watch if "locator" in location else None
    return pool


def _location(address: Address, shard: int) -> dict[str, Any]:
    """Return redis-py's connection arguments for the address."""
    tag = shard_tag(shard, is_cluster=bool(address.nodes))
    if address.path is not None:
        return {"connection_class": _SocketFile, "path": address.path, "tag": tag}
    location: dict[str, Any] = {
        "host": address.host,
        "port": address.port,
        "socket_keepalive": True,
        "locator": locator_of(address, shard=shard),
        "tag": tag,
    }
    if address.tls is None:
        return {"connection_class": _Tcp, **location}
    tls = address.tls.arguments()
    del tls["ssl"]  # redis-py's word for the class
    return {"connection_class": _TlsOverTcp, **tls, **location}


@dataclass(frozen=True)
class StoreFacts:
    """Version and configuration of a store; None where it does not report them.

    Attributes:
        flavour: `redis`, `valkey`, or `unknown`.
        version: Of that flavour, `(7, 2, 4)`; empty when unknown.
        persistent: Whether it writes an append-only file or snapshots.
        appendfsync: `always`, `everysec` or `no`; None without an append-only file.
        max_memory_bytes: 0 means no limit.
        replicas: Connected ones.
        latency_ms: Of five PINGs, one after the other.
        vector_search: Commands by which it finds near vectors: ``VSIM``, ``FT.SEARCH``; None: it has none.
    """

    flavour: str
    version: tuple[int, ...]
    persistent: bool | None
    appendfsync: str | None
    max_memory_bytes: int | None
    eviction_policy: str | None
    used_memory_bytes: int | None
    latency_ms: tuple[float, ...]
    is_cluster: bool
    role: str | None
    replicas: int | None = None
    vector_search: str | None = None


async def describe(redis: Redis) -> StoreFacts:
    """Query a store's version and configuration; what it forbids or lacks stays unknown.

    Raises:
        StoreConnectionError: It does not answer.
    """
    with translated_faults():
        latency_ms = [await _time_ping(redis) for _ in range(PINGS)]
        info = await _read_info(redis)
        settings = await _read_settings(redis)
        vector_search = await _find_vector_search(redis)
    flavour = "valkey" if "valkey_version" in info else "redis" if "redis_version" in info else "unknown"
    appending = _yes(info.get("aof_enabled"))
    return StoreFacts(
        flavour=flavour,
        version=_read_version(info.get(f"{flavour}_version", "")),
        persistent=appending if appending or "save" not in settings else settings["save"] != "",
        appendfsync=settings.get("appendfsync") if appending else None,
        max_memory_bytes=_number(info.get("maxmemory")),
        eviction_policy=_text(info.get("maxmemory_policy")),
        used_memory_bytes=_number(info.get("used_memory")),
        latency_ms=tuple(latency_ms),
        is_cluster=bool(_yes(info.get("cluster_enabled"))),
        role=_text(info.get("role")),
        replicas=_number(info.get("connected_slaves")),
        vector_search=vector_search,
    )


async def _find_vector_search(redis: Redis) -> str | None:
    for name, read in (("VSIM", ("VCARD", "finops:none")), ("FT.SEARCH", ("FT._LIST",))):
        try:
            await redis.execute_command(*read)  # type: ignore[no-untyped-call]
        except ResponseError:
            continue
        return name
    return None


async def _time_ping(redis: Redis) -> float:
    started = time.perf_counter()
    await redis.ping()
    return (time.perf_counter() - started) * 1000


async def _read_info(redis: Redis) -> Mapping[str, object]:
    try:
        info: Mapping[str, object] = await redis.info()
    except ResponseError:
        return {}
    return info


async def _read_settings(redis: Redis) -> Mapping[str, str]:
    """Read settings with CONFIG; managed services often forbid it."""
    try:
        found = {**await redis.config_get("appendfsync"), **await redis.config_get("save")}
    except ResponseError:
        return {}
    return {_decode(name): _decode(value) for name, value in found.items()}


def _decode(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _read_version(value: object) -> tuple[int, ...]:
    return tuple(int(part) for part in str(value).split(".") if part.isdigit())


def _yes(value: object) -> bool | None:
    return None if value is None else bool(value)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)

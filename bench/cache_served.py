"""What the cache of answers costs and spares over sockets, and what callers see when its store dies.

    python bench/cache_served.py [--seconds 2] [--rounds 5] [--store-killed] [--keep]

The gateway is one process on one core; its callers, a provider that answers at once and the store share the other.
64 connections, each with one call at a time; CPU is the least of windows that take turns, latency and rate are medians.
"""

import argparse
import asyncio
import itertools
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import uvloop

from bench import api_server, machine, redis_servers, samples
from bench.cache import STORED, fresh, known
from bench.records import quantile
from bench.report import Report, number, table
from bench.store_server import StoreServer

CONNECTIONS = 64
API_CORE, OTHER_CORE = {0}, {1}
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(samples.ANSWER),
    samples.ANSWER,
)
CACHE = """
[cache]
mode = "exact"
url = "{url}"
lookup_timeout_s = {timeout_s}
"""
PLAIN, CACHED = "without cache", "with it"
KINDS: dict[str, tuple[str, int, Callable[[int], bytes]]] = {
    "no cache": (PLAIN, CONNECTIONS, fresh()),
    "bypass (`no-store`)": (CACHED, CONNECTIONS, fresh("Cache-Control: no-store")),
    "miss": (CACHED, CONNECTIONS, fresh("x-bf-cache-no-store: true")),
    "miss, answer stored": (CACHED, CONNECTIONS, fresh()),
    "hit": (CACHED, CONNECTIONS, known(STORED)),
    "no cache, 1 connection": (PLAIN, 1, fresh()),
    "hit, 1 connection": (CACHED, 1, known(STORED)),
}
PAUSE_S = 0.005
BEFORE_S, AWAY_S, BACK_S = 4.0, 4.0, 4.0


class Exchange(asyncio.Protocol):
    """One end of a connection: cuts what arrives into messages with a ``content-length``."""

    def __init__(self, arrived: Callable[["Exchange", bytes], None]) -> None:
        self._arrived = arrived
        self._data = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._data) < end + 4 + size:
                return
            message, self._data = self._data[:end], self._data[end + 4 + size :]
            self._arrived(self, message)


class Seen(NamedTuple):
    """One answer: when it came, event loop seconds, how long it took, whether it was a hit, and its status."""

    at: float
    took_s: float
    hit: bool
    status: int


async def provider() -> tuple[asyncio.Server, int]:
    """A provider that answers at once, and its port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Exchange(lambda caller, _head: caller.transport.write(ANSWER)), "127.0.0.1", 0
    )
    return server, server.sockets[0].getsockname()[1]


async def load(
    port: int, request: Callable[[int], bytes], seconds: float, *, connections: int = CONNECTIONS, pause_s: float = 0.0
) -> list[Seen]:
    """Call on every connection, one call after the other; return all answers."""
    loop, seen = asyncio.get_running_loop(), []
    until = loop.time() + seconds

    async def call(number: int) -> None:
        answered = asyncio.Event()
        heads: list[bytes] = []

        def arrived(_exchange: Exchange, head: bytes) -> None:
            heads.append(head)
            answered.set()

        transport, _ = await loop.create_connection(lambda: Exchange(arrived), "127.0.0.1", port)
        while loop.time() < until:
            sent_at = loop.time()
            transport.write(request(number))
            await answered.wait()
            answered.clear()
            head = heads.pop()
            now = loop.time()
            seen.append(Seen(now, now - sent_at, b"finops; hit" in head, int(head[9:12])))
            if pause_s:
                await asyncio.sleep(pause_s)
        transport.close()

    await asyncio.gather(*map(call, range(connections)))
    return seen


def _settings(upstream: int, cache: str = "") -> str:
    return samples.CONFIG.format(upstream=upstream, key="k") + cache


async def costs(store: StoreServer, seconds: float, rounds: int) -> list[list[str]]:
    """A row for each kind of call: CPU of the gateway and the store, latency, and the ratio to a call without cache."""
    server, upstream = await provider()
    cached = CACHE.format(url=store.url, timeout_s=5)
    with ExitStack() as stack:
        apis = {
            PLAIN: stack.enter_context(api_server.api(store, API_CORE, _settings(upstream))),
            CACHED: stack.enter_context(api_server.api(store, API_CORE, _settings(upstream, cached))),
        }
        found: dict[str, list[tuple[float, ...]]] = {name: [] for name in KINDS}
        for turn, (name, (which, connections, request)) in itertools.product(range(rounds + 1), KINDS.items()):
            api = apis[which]
            if is_hit(name):
                await load(api.port, request, 0.2)
            own_s, store_s = machine.cpu_s(api.pid), machine.cpu_s(store.process.pid)
            seen = await load(api.port, request, seconds, connections=connections)
            own_s, store_s = machine.cpu_s(api.pid) - own_s, machine.cpu_s(store.process.pid) - store_s
            _check(name, seen)
            if turn:  # the first warms up
                took = sorted(each.took_s for each in seen)
                found[name].append(
                    (own_s / len(seen) * 1e6, store_s / len(seen) * 1e6, quantile(took, 0.5) * 1e3, len(seen) / seconds)
                )
    server.close()
    rows = []
    for name, windows in found.items():
        same = "no cache, 1 connection" if KINDS[name][1] == 1 else "no cache"
        base = min(own for own, *_ in found[same])
        owns, kept, p50s, rates = zip(*windows, strict=True)
        cells = [min(kept), statistics.median(p50s), statistics.median(rates)]
        rows.append(
            [name, number(min(owns)), f"{min(owns) - base:+.1f}", f"{min(owns) / base:.2f}", *map(number, cells)]
        )
    return rows


def is_hit(name: str) -> bool:
    return name.startswith("hit")


def _check(name: str, seen: list[Seen]) -> None:
    failed = [each for each in seen if each.status != 200]
    wrong = [each for each in seen if each.hit is not is_hit(name)]
    if failed or wrong:
        raise SystemExit(f"{name}: {len(failed)} of {len(seen)} failed, {len(wrong)} were served the wrong way")


async def store_killed(store: StoreServer, directory: Path) -> list[list[str]]:
    """What callers of stored answers see while the cache's own store is killed, and when it is back."""
    server, upstream = await provider()
    own = redis_servers.Server(directory / "cache", "--save", "", "--appendonly", "no").start()
    settings = _settings(upstream, CACHE.format(url=own.url, timeout_s=0.05))
    loop = asyncio.get_running_loop()
    marks: dict[str, float] = {}
    try:
        with api_server.api(store, API_CORE, settings) as api:
            await load(api.port, known(STORED), 0.5)
            calling = asyncio.create_task(load(api.port, known(STORED), BEFORE_S + AWAY_S + BACK_S, pause_s=PAUSE_S))
            await asyncio.sleep(BEFORE_S)
            marks["killed"] = loop.time()
            own.kill()
            await asyncio.sleep(AWAY_S)
            own.start()
            marks["back"] = loop.time()
            seen = await calling
    finally:
        own.kill()
    server.close()
    return _phases(seen, marks["killed"], marks["back"])


def _phases(seen: list[Seen], killed: float, back: float) -> list[list[str]]:
    phases = {
        "before": [each for each in seen if each.at < killed],
        "store killed": [each for each in seen if killed <= each.at < back],
        "store back": [each for each in seen if each.at >= back],
    }
    hits_after = min((each.at - back for each in phases["store back"] if each.hit), default=float("nan"))
    rows = []
    for name, many in phases.items():
        took = sorted(each.took_s for each in many)
        rows.append(
            [
                name, str(len(many)), str(sum(each.status != 200 for each in many)),
                f"{sum(each.hit for each in many) / max(1, len(many)):.0%}",
                number(quantile(took, 0.5) * 1e3), number(quantile(took, 0.99) * 1e3), number(took[-1] * 1e3),
                number(hits_after) if name == "store back" else "",
            ]
        )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2, help="length of a window")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--server", default="redis-server", help="a Redis or Valkey server")
    parser.add_argument("--store-killed", action="store_true", help="only kill the store under load")
    parser.add_argument("--keep", action="store_true", help="make the tables the current ones in RESULTS.md")
    options = parser.parse_args()
    store = StoreServer(options.server, cores=OTHER_CORE)
    report = Report(
        "Cache of answers: store killed" if options.store_killed else "Cache of answers, over sockets",
        [machine.shape(), store.version, f"load average {machine.load():.1f}"],
    )
    machine.end_with_parent(OTHER_CORE)()
    try:
        with (
            tempfile.TemporaryDirectory() as directory,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            if options.store_killed:
                rows = runner.run(store_killed(store, Path(directory)))
                head = ["", "calls", "failed", "hits", "p50 ms", "p99 ms", "max ms", "first hit after s"]
                report.section("The cache's store killed and started again under load", table(head, rows))
            else:
                rows = runner.run(costs(store, options.seconds, options.rounds))
                head = ["", "gateway CPU us", "more", "ratio", "store CPU us", "p50 ms", "calls/s"]
                report.section(f"A call, at {CONNECTIONS} connections unless one is named", table(head, rows))
    finally:
        store.close()
    if options.keep:
        report.keep()


if __name__ == "__main__":
    main()

"""What the cache of answers costs and spares inside our process: CPU of a call without it, of a miss and of a hit.

    python bench/cache.py [--batches 150] [--server redis-server] [--keep]

Both sockets of a call are transports that keep what is written (``bench/socketless.py``); the store is a server of its own, over
a real socket. Figures are our process's CPU time, the least of many batches; the kinds take turns, so that a busy machine disturbs
all of them alike. Compare the ratios.
"""

import argparse
import asyncio
import gc
import itertools
import logging
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import orjson
import uvloop
from uvicorn.server import ServerState

from api import server
from api.app import create_app
from bench import machine, redis_servers, samples, socketless
from bench.report import Report, number, table
from bench.socketless import SETTINGS, Inside
from shared.cache.identity import request_hash
from shared.cache.store import Slot
from shared.providers.transport.dial import Dialer
from shared.settings.model import Settings
from shared.store.multiplexed import MultiplexedClient
from shared.telemetry.logs import configure

AT_ONCE = 64
NUMBERS = itertools.count()
Request = Callable[[int], bytes]


class Kind(NamedTuple):
    """One row: a mode of the cache, and the requests of a batch, by the caller's number."""

    name: str
    mode: str
    request: Request


def request(text: str, *lines: str) -> bytes:
    body = orjson.loads(samples.request("mock/gpt-4o"))
    body["messages"][-1]["content"] = text
    sent = orjson.dumps(body)
    head = ["POST /openai/chat/completions HTTP/1.1", "Host: 127.0.0.1:8080", "Content-Type: application/json", *lines]
    return "\r\n".join([*head, f"Content-Length: {len(sent)}", "", ""]).encode() + sent


def fresh(*lines: str) -> Request:
    """Requests that differ from all before."""
    return lambda _caller: request(f"What is the answer to question number {next(NUMBERS)} of this list?", *lines)


def known(text: str) -> Request:
    """Requests that differ by caller alone."""
    return lambda caller: request(text % caller)


FLOOR = "key and MGET alone"
STORED = "What is the answer to stored question number %d?"
LIMITED = "x-bf-vk: sk-bf-limited"
KINDS = (
    Kind("off", "off", fresh()),
    Kind("off, a key with a limit", "off", fresh(LIMITED)),
    Kind("on, but not for this call (`no-store`)", "exact", fresh("Cache-Control: no-store")),
    Kind("exact: miss", "exact", fresh("x-bf-cache-no-store: true")),
    Kind("exact: miss, a key with a limit", "exact", fresh(LIMITED, "x-bf-cache-no-store: true")),
    Kind("exact: miss, and its answer stored", "exact", fresh()),
    Kind("exact: hit", "exact", known(STORED)),
    Kind("near: miss", "near", fresh("x-bf-cache-no-store: true")),
    Kind("near: hit", "near", known("hi, what is the answer to stored question number %d please")),
)


async def batch(found: Inside, kind: Kind) -> float:
    """CPU of one call, us."""
    requests = [kind.request(caller) for caller in range(AT_ONCE)]
    found.left = AT_ONCE
    found.done.clear()
    begun = time.process_time()
    for caller, sent in zip(found.callers, requests, strict=True):
        caller.data_received(sent)
    await found.done.wait()
    took = time.process_time() - begun
    await asyncio.sleep(0.05)  # what is stored is written
    return took / AT_ONCE * 1e6


async def floor(client: MultiplexedClient) -> float:
    """CPU of the least that a look-up can be, us: the key of a request that is parsed, and an MGET in a shared write."""
    asked = [orjson.loads(request(str(next(NUMBERS))).partition(b"\r\n\r\n")[2]) for _ in range(AT_ONCE)]
    begun = time.process_time()
    pending = []
    for fields in asked:
        equal = request_hash("chat.completions", "mock/gpt-4o", "", fields)
        pending.append(client.begin("MGET", *Slot(f"scope-{equal}", "scope", "", "mock/gpt-4o").keys()))
    for reply in pending:
        await reply
    return (time.process_time() - begun) / AT_ONCE * 1e6


async def measure(url: str, batches: int) -> dict[str, float]:
    """The least CPU of a call of each kind, us."""
    async with AsyncExitStack() as stack:
        systems = {mode: await _system(stack, url, mode) for mode in ("off", "exact", "near")}
        dials = {id(system): system for system in systems.values()}
        client = MultiplexedClient(url)
        stack.push_async_callback(client.aclose)
        await client.execute("PING")
        found: dict[str, list[float]] = {}
        gc.collect()
        gc.freeze()
        gc.disable()
        for _ in range(batches):
            found.setdefault(FLOOR, []).append(await floor(client))
            for kind in KINDS:
                current = systems[kind.mode]
                with mock.patch.object(Dialer, "dial", _dial_of(dials[id(current)])):
                    if kind.name.endswith(": hit"):
                        await batch(current, kind._replace(request=known(STORED)))
                    found.setdefault(kind.name, []).append(await batch(current, kind))
        gc.enable()
        return {name: min(values) for name, values in found.items()}


def _dial_of(system: Inside):
    return lambda _self, *arguments: system.dial(*arguments)


async def _system(stack: AsyncExitStack, url: str, mode: str) -> Inside:
    cache = {"mode": mode, "lookup_timeout_s": 5}
    limit = {"requests": 1_000_000_000, "window": "1m"}
    keys = {"limited": {"value": "sk-bf-limited", "rate_limit": limit}}
    tables = {"redis": {"url": url}, "cache": cache, "virtual_keys": keys, "auth": {"require_virtual_key": False}}
    settings = Settings.model_validate({**SETTINGS, **tables})
    app = create_app(settings)
    nowhere = stack.enter_context(open(os.devnull, "w"))
    configure(settings.log, "api", nowhere)
    logging.getLogger("finops").setLevel(logging.INFO)
    config = server.server_config(app, settings)
    await stack.enter_async_context(app.router.lifespan_context(app))
    config.load()
    state = ServerState()
    with mock.patch.object(socketless, "AT_ONCE", AT_ONCE):
        return Inside(lambda: config.http_protocol_class(config, state, {}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=150)
    parser.add_argument("--server", help="path of a redis-server or valkey-server; default: the installed one")
    parser.add_argument("--keep", action="store_true", help="make the table the current one in RESULTS.md")
    options = parser.parse_args()
    binary = options.server or redis_servers.find_binary()
    with (
        tempfile.TemporaryDirectory() as directory,
        mock.patch.object(redis_servers, "find_binary", return_value=binary),
    ):
        with redis_servers.server(Path(directory) / "store") as store:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found = runner.run(measure(store.url, options.batches))
            about = store.ask("INFO", "server")
    floor_us = found.pop(FLOOR)
    rows = []
    for name, us in found.items():
        off = found["off, a key with a limit" if name.endswith("limit") else "off"]
        rows.append([name, number(us), f"{us - off:+.1f}", f"{us / off:.2f}"])
    rows.append([FLOOR, number(floor_us), "", ""])
    version = about.get("valkey_version") or about["redis_version"]
    name = "Valkey" if "valkey_version" in about else "Redis"
    report = Report("Cache of answers, inside our process", [machine.shape(), f"load average {machine.load():.1f}"])
    report.section(f"CPU of a call, {name} {version.partition('.')[0]}", table(["", "us", "more", "ratio"], rows))
    if options.keep:
        report.keep()


if __name__ == "__main__":
    main()

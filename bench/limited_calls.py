"""Whole calls over sockets with limits and without, in turns: the gateway on one core, everything else on the other."""

import statistics
import sys
from functools import partial
from pathlib import Path

from bench import machine, samples
from bench.gateways import SCOPE_KEY, Gateway, Launch, running
from bench.load import Traffic
from bench.report import number, ratio
from bench.store_server import StoreServer
from bench.systems import HERE

CORE, OTHER_CORE = {0}, {1}
RATE = 150
"""Calls a second: what one core of a slow machine serves without a queue, so that latency is the call's own."""
CONFIG = (
    samples.CONFIG
    + """
max_output = 4096
[teams.search]
budget = {{ limit_usd = 1000000.0, window = "1M" }}
[virtual_keys.plain]
value = "sk-bf-plain"
[virtual_keys.limited]
value = "sk-bf-limited"
team = "search"
budget = {{ limit_usd = 1000000.0, window = "1d" }}
rate_limit = {{ requests = 1000000000, tokens = 1000000000000, window = "1m" }}
"""
)
LIMITED = "x-bf-vk: sk-bf-limited"
KINDS: dict[str, tuple[str, ...]] = {
    "a key without limits": ("x-bf-vk: sk-bf-plain",),
    "a key with four limits": (LIMITED,),
    "four limits and a run's budget": (LIMITED, "x-bf-run-id: agent-7", "x-bf-run-budget-usd: 1000000"),
}
HEAD = ("", "gateway CPU us", "store CPU us", "p50 ms", "p99 ms", "failed")


def limited_calls(store: StoreServer, seconds: float, rounds: int) -> list[list[str]]:
    """A row for each kind of call: medians of its windows, and their ratio to a call without limits."""
    traffic = Traffic(OTHER_CORE)
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in KINDS}
    failed = dict.fromkeys(KINDS, 0)
    us = Gateway("finops", partial(_api, store.url), model="mock/gpt-4o")
    try:
        with running(us, traffic.port, CORE) as here:
            body = samples.request(us.model)
            for at in range(rounds + 1):  # the first warms up
                for name, headers in KINDS.items():
                    command = {"do": "paced", "port": here.port, "head": us.request_head("", *headers), "body": body}
                    own_s, store_s = here.cpu_s(), machine.cpu_s(store.process.pid)
                    seen = traffic.run({**command, "rate": RATE, "seconds": seconds})
                    calls = RATE * (seconds + 1) / 1e6
                    own, kept = here.cpu_s() - own_s, machine.cpu_s(store.process.pid) - store_s
                    failed[name] += seen["failed"]
                    if at:
                        found[name].append((own / calls, kept / calls, seen["p50"], seen["p99"]))
    finally:
        traffic.close()
    medians = {name: [statistics.median(each) for each in zip(*rows, strict=True)] for name, rows in found.items()}
    bases = medians["a key without limits"]
    return [
        [name, *_cells(values, bases, compared=values is not bases), str(failed[name])]
        for name, values in medians.items()
    ]


def _cells(values: list[float], bases: list[float], *, compared: bool) -> list[str]:
    own, store, p50, p99 = values
    own_ratio, p50_ratio = (ratio(own, bases[0]), ratio(p50, bases[2])) if compared else ("", "")
    return [number(own) + own_ratio, number(store), number(p50) + p50_ratio, number(p99)]


def _api(store_url: str, directory: Path, port: int, upstream: int) -> Launch:
    config = directory / "finops.toml"
    config.write_text(CONFIG.format(upstream=upstream, key=SCOPE_KEY))
    argv = [sys.executable, "-m", "api", "--port", str(port), "--redis-url", store_url, "--config", str(config)]
    return Launch(argv, {"PYTHONPATH": str(HERE.parent)}, port)

"""How many instructions a call and a streamed event take inside our process: a figure that a busy machine cannot disturb.

    python -m bench.instructions                              # three minutes; needs valgrind
    python -m bench.instructions --against /path/to/checkout  # another checkout too, with the packages of this one
    python -m bench.instructions --kinds call "cache: hit"    # some of the rows

Time differs by 10 % from run to run; instructions differ by less than 1 %, because of what runs in the background. The
application is that of ``socketless.py``: no system calls for requests, which come on top. The store is a server of its own.
"""

import argparse
import asyncio
import gc
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
WARM_UP = 6
WRITTEN_S = 0.05


class Kind(NamedTuple):
    """One row.

    Attributes:
        tables: Of the configuration.
        lines: Headers of its requests.
        differ: Whether no two requests are equal; else all callers send the same one.
        over: The row that it is compared with.
    """

    tables: dict[str, Any]
    lines: tuple[str, ...] = ()
    differ: bool = False
    over: str = "call, with a store"


CACHED = {"cache": {"mode": "exact", "lookup_timeout_s": 60}}
LIMITED = {"virtual_keys": {"limited": {"value": "sk-bf-limited", "rate_limit": {"requests": 10**9, "window": "1m"}}}}
NOT_STORED, KEY = "x-bf-cache-no-store: true", "x-bf-vk: sk-bf-limited"
KINDS = {
    "call": Kind({}, over="call"),
    "event": Kind({}, over="event"),
    "call, with a store": Kind({"cache": {"mode": "off"}}),
    "submit": Kind({"cache": {"mode": "off"}}, ("x-bf-async: 1",)),
    "cache: bypass (`no-store`)": Kind(CACHED, ("cache-control: no-store",), differ=True),
    "cache: miss": Kind(CACHED, (NOT_STORED,), differ=True),
    "cache: miss, and its answer stored": Kind(CACHED, differ=True),
    "cache: hit": Kind(CACHED),
    "call, a key with a limit": Kind(LIMITED, (KEY,)),
    "cache: miss, a key with a limit": Kind(CACHED | LIMITED, (KEY, NOT_STORED), True, "call, a key with a limit"),
    "cache: hit, a key with a limit": Kind(CACHED | LIMITED, (KEY,), over="call, a key with a limit"),
}
FLOOR = "key and MGET alone"


async def count(name: str, batches: int, store: str) -> None:
    """Run inside valgrind: have it count some batches of calls, or of events."""
    from bench import samples
    from bench.socketless import application, request_bytes

    if name == FLOOR:
        await _count_floor(batches, store)
    kind, numbers = KINDS[name], itertools.count(1_000_000)
    tables = {**kind.tables, "auth": {"require_virtual_key": False}, "redis": {"url": store}} if kind.tables else {}
    head = "".join([f"{line}\r\n" for line in (*kind.lines, "Host:")]).removesuffix("\r\n").encode()

    def request() -> bytes:
        seed = {"seed": next(numbers) if kind.differ else 0} if kind.tables else {}
        return request_bytes(samples.request("mock/gpt-4o", **seed)).replace(b"Host:", head, 1)

    async with application(tables) as inside:
        requests = [[request() for _ in inside.callers] for _ in range(WARM_UP + 1 + batches)]
        for _ in range(WARM_UP):
            await _calls(inside, requests.pop())
        if name == "event":
            await inside.calls(request_bytes(samples.request("mock/gpt-4o", stream=True)))
            for _ in range(20):
                await asyncio.sleep(0)
        await _counted(batches, inside.events if name == "event" else lambda: _calls(inside, requests.pop()))


async def _calls(inside: Any, requests: list[bytes]) -> None:
    """One call of every caller; what is stored of the answers is written before the next."""
    inside.left = len(requests)
    inside.done.clear()
    for caller, sent in zip(inside.callers, requests, strict=True):
        caller.data_received(sent)
    await inside.done.wait()
    await asyncio.sleep(WRITTEN_S)


async def _count_floor(batches: int, store: str) -> None:
    """Count the least that a look-up can be: the key of a request that is parsed, and an MGET in a shared write."""
    import orjson

    from bench import samples
    from bench.socketless import AT_ONCE
    from shared.cache.identity import request_hash
    from shared.cache.store import Slot
    from shared.store.multiplexed import MultiplexedClient

    client = MultiplexedClient(store)
    await client.execute("PING")
    parsed = [orjson.loads(samples.request("mock/gpt-4o", seed=seed)) for seed in range(AT_ONCE)]

    async def batch() -> None:
        pending = []
        for fields in parsed:
            equal = request_hash("chat.completions", "mock/gpt-4o", "", fields)
            pending.append(client.begin("MGET", *Slot(f"scope-{equal}", "scope", "", "mock/gpt-4o").keys()))
        for reply in pending:
            await reply

    await _counted(batches, batch)


async def _counted(batches: int, batch: Callable[[], Any]) -> None:
    gc.collect()
    gc.freeze()
    gc.disable()
    _control("--instr=on")
    await batch()  # the first translates the code
    _control("--zero")
    for _ in range(batches):
        await batch()
    _control("--dump")
    os._exit(0)  # the open streams would be waited for


def _control(order: str) -> None:
    subprocess.run(["callgrind_control", order, str(os.getpid())], check=True, stdout=subprocess.DEVNULL)


def counted(root: Path, kind: str, batches: int, store: str) -> float:
    """Return the instructions of one call or event of a checkout."""
    from bench.socketless import AT_ONCE

    with tempfile.TemporaryDirectory(prefix="finops-bench-") as directory:
        command = [
            "valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={directory}/counts",
            sys.executable, __file__, "--inner", kind, "--batches", str(batches), "--store", store,
        ]  # fmt: skip
        environ = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": "0"}
        subprocess.run(command, cwd=root, env=environ, check=True, stderr=subprocess.DEVNULL)
        totals = [
            int(n)
            for file in Path(directory).iterdir()
            for n in re.findall(r"^totals: (\d+)", file.read_text(), re.MULTILINE)
        ]
    return max(totals) / batches / AT_ONCE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--batches", type=int, default=20, help="of 32 calls or events each")
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--keep", action="store_true", help="make the table the current one in RESULTS.md")
    parser.add_argument("--kinds", nargs="+", choices=(*KINDS, FLOOR), metavar="KIND", help="only these rows")
    parser.add_argument("--inner", help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        sys.path.insert(0, os.getcwd())
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(count(options.inner, options.batches, options.store))
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed")
    from bench import machine, redis_servers
    from bench.report import Report, number, ratio, table

    report = Report("Instructions", [machine.shape()])
    roots = [ROOT, *([options.against.resolve()] if options.against else [])]
    head = ["", "this checkout", *(["the other one"] if options.against else []), "of a call"]
    rows = []
    first: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory, redis_servers.server(Path(directory) / "store") as store:
        for name in options.kinds or (*KINDS, FLOOR):
            found = [counted(root, name, options.batches, store.url) for root in roots]
            first[name] = found[0]
            base = first.get(KINDS[name].over if name in KINDS else Kind({}).over)
            row = [name, *(number(value) + ratio(value, found[0]) for value in found)]
            rows.append([*row, f"{found[0] - base:+,.0f} ({found[0] / base:.3f}x)" if base else ""])
    report.section("Inside our process", table(head, rows))
    if options.keep:
        report.keep()
    return 0


if __name__ == "__main__":
    sys.exit(main())

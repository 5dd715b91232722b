"""What traces cost a synchronous call: neighbouring batches with and without, in alternation.

    python -m bench.tracing [--blocks 30] [--rounds 5] [--keep]    # two minutes

The application without sockets (`bench/socketless.py`), once per variant in one process; spans go to a receiver in a process
of its own. A block is 25 batches of 32 calls of each variant, in turns. Its time is the CPU time of the event loop's
thread; what other threads take (the export) is added for each call.
"""

import argparse
import asyncio
import contextlib
import gc
import multiprocessing
import statistics
import time
from collections import defaultdict
from multiprocessing.connection import Connection

import uvloop

from bench import machine, samples
from bench.report import Report, number, table
from bench.socketless import AT_ONCE, application, request_bytes

OFF = "off"
PHASES: tuple[dict[str, float | None], ...] = (
    {OFF: None, "off, a second time: the noise": None, "1 % sampled": 0.01},
    {OFF: None, "all sampled": 1.0},
)
"""Variants that are measured in alternation, with the share that is sampled; the last one is the only one that exports."""
BATCHES = 25
WARM_UP = 20

Blocks = dict[str, list[tuple[float, float]]]
"""For each variant: us of a call, beside those of a call without traces in the same block."""


async def _accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def collector(ready: Connection) -> None:
    """Accept whatever is exported, until killed."""

    async def serve() -> None:
        listening = await asyncio.start_server(_accept, "127.0.0.1", 0)
        ready.send(listening.sockets[0].getsockname()[1])
        await listening.serve_forever()

    asyncio.run(serve())


def _of_other_threads() -> float:
    return time.process_time() - time.thread_time()


async def alternate(phase: dict[str, float | None], url: str, blocks: int) -> tuple[Blocks, float]:
    """Measure the variants of a phase.

    Returns:
        The blocks, and the CPU time of other threads for a call of the last variant, us.
    """
    body = request_bytes(samples.request("mock/gpt-4o"))
    found: Blocks = defaultdict(list)
    async with contextlib.AsyncExitStack() as stack:
        insides = {}
        for name, share in phase.items():
            telemetry = {} if share is None else {"telemetry": {"otlp_endpoint": url, "sample_ratio": share}}
            insides[name] = await stack.enter_async_context(application(telemetry))
            for _ in range(WARM_UP):
                await insides[name].calls(body)
        gc.collect()
        begun = _of_other_threads()
        names = list(insides)
        for block in range(blocks):
            names = names[1:] + names[:1] if block % 2 else names[::-1]
            took = dict.fromkeys(names, 0.0)
            for _ in range(BATCHES):
                for name in names:
                    took[name] += await insides[name].calls(body) / BATCHES
            for name, call_us in took.items():
                found[name].append((call_us, took[OFF]))
        others_us = (_of_other_threads() - begun) / (blocks * BATCHES * AT_ONCE) * 1e6
    return found, others_us


def row(name: str, pairs: list[tuple[float, float]], others_us: float) -> list[str]:
    """A variant: a call, and pair by pair how much more than without traces."""
    more_us = [call_us - off_us for call_us, off_us in pairs]
    low, middle, high = statistics.quantiles(more_us, n=4)
    off_us = statistics.median(off_us for _, off_us in pairs)
    cells = [name, number(statistics.median(call_us for call_us, _ in pairs))]
    if name == OFF:
        return [*cells, "", "", "", ""]
    whole = (off_us + middle + others_us) / off_us
    return [
        *cells,
        f"{middle:+.2f}",
        f"{low:+.2f} to {high:+.2f}",
        number(others_us) if others_us else "",
        f"{whole:.3f}x",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="make it the current table in RESULTS.md")
    options = parser.parse_args()
    receiving, sending = multiprocessing.Pipe(duplex=False)
    receiver = multiprocessing.get_context("spawn").Process(target=collector, args=(sending,), daemon=True)
    receiver.start()
    url, load = f"http://127.0.0.1:{receiving.recv()}", machine.load()
    pairs: Blocks = defaultdict(list)
    others: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for phase in PHASES:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found, others_us = runner.run(alternate(phase, url, options.blocks))
            for name, blocks in found.items():
                pairs[name] += blocks
            others[list(phase)[-1]].append(others_us)
    receiver.kill()
    receiver.join()
    rows = [
        row(name, blocks, statistics.median(others[name]) if name in others else 0.0) for name, blocks in pairs.items()
    ]
    calls = options.rounds * options.blocks * BATCHES * AT_ONCE
    report = Report(
        "Inside our process, without sockets",
        [
            machine.shape(),
            f"load average {load:.1f}",
            f"{calls:,} calls of each in {options.rounds} rounds, in alternation",
        ],
    )
    head = ["traces", "us/call", "more, us, median of pairs", "middle half", "other threads, us/call", "all of it"]
    report.section("What traces cost a synchronous call", table(head, rows))
    if options.keep:
        report.keep()


if __name__ == "__main__":
    main()

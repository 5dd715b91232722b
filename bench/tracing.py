"""What traces cost a synchronous call: neighbouring batches with and without, in alternation.

    python -m bench.tracing [--blocks 30] [--rounds 5] [--keep]    # two minutes

The application without sockets (`bench/socketless.py`), once per variant in one process; spans go to a receiver in a process
of its own. A block is 25 batches of 32 calls of each variant, in turns; its figure is the median of the batches, as CPU time
of the event loop's thread. What other threads take (the export) is added for each call.
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

OFF, FEW, ALL = "off", "1 % sampled", "all sampled"
PHASES: tuple[dict[str, float | None], ...] = (
    {OFF: None, "off, a second time: the noise": None, FEW: 0.01},
    {OFF: None, ALL: 1.0},
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
            took: dict[str, list[float]] = {name: [] for name in phase}
            for _ in range(BATCHES):
                for name in names:
                    took[name].append(await insides[name].calls(body))
            for name, batches in took.items():
                found[name].append((statistics.median(batches), statistics.median(took[OFF])))
        others_us = (_of_other_threads() - begun) / (blocks * BATCHES * AT_ONCE) * 1e6
    return found, others_us


def more(pairs: list[tuple[float, float]]) -> list[float]:
    """How much more each block took than without traces, us a call: the quartiles."""
    return statistics.quantiles([call_us - off_us for call_us, off_us in pairs], n=4)


def rows(pairs: Blocks, others_us: dict[str, float]) -> list[list[str]]:
    """A row for each variant, and one in which the sampled calls of 1 % are counted with all that they cost."""
    off_us = statistics.median(off_us for _, off_us in pairs[OFF])
    found = [[OFF, number(off_us), "", "", "", ""]]
    for name in dict.fromkeys(name for phase in PHASES for name in phase if name != OFF):
        low, middle, high = more(pairs[name])
        threads_us = others_us.get(name, 0.0)
        call_us = statistics.median(call_us for call_us, _ in pairs[name])
        spread = f"{low:+.2f} to {high:+.2f}"
        whole = f"{(off_us + middle + threads_us) / off_us:.3f}x"
        found.append([name, number(call_us), f"{middle:+.2f}", spread, number(threads_us) if threads_us else "", whole])
    # The median of a block leaves most sampled calls out; the hundredth one is added with all that it costs, export included.
    sampled_us = 0.01 * (more(pairs[ALL])[1] + others_us[ALL])
    whole_us = more(pairs[FEW])[1] + sampled_us
    name = "1 % sampled, the sampled ones' share added"
    found.append([name, number(off_us + whole_us), f"{whole_us:+.2f}", "", "", f"{(off_us + whole_us) / off_us:.3f}x"])
    return found


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
                found, of_others_us = runner.run(alternate(phase, url, options.blocks))
            for name, blocks in found.items():
                pairs[name] += blocks
            others[list(phase)[-1]].append(of_others_us)
    receiver.kill()
    receiver.join()
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
    others_us = {name: statistics.median(values) for name, values in others.items()}
    report.section("What traces cost a synchronous call", table(head, rows(pairs, others_us)))
    if options.keep:
        report.keep()


if __name__ == "__main__":
    main()

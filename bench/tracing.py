"""What traces cost a synchronous call: the least of many batches, in turns in one run.

    python -m bench.tracing [--calls 12800] [--rounds 7] [--keep]    # a minute

The application without sockets (`bench/socketless.py`); spans go to a receiver in a process of its own.
"""

import argparse
import asyncio
import contextlib
import gc
import multiprocessing
import time
from multiprocessing.connection import Connection

import uvloop

from bench import machine, samples
from bench.report import Report, number, ratio, table
from bench.socketless import AT_ONCE, application, request_bytes

SHARES = {"off": None, "1 % sampled": 0.01, "all sampled": 1.0}
WARM_UP = 20


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


async def cost(calls: int, url: str, share: float | None) -> tuple[float, float]:
    """The least time of a call, and the CPU of the process for one, us."""
    telemetry = {} if share is None else {"telemetry": {"otlp_endpoint": url, "sample_ratio": share}}
    body = request_bytes(samples.request("mock/gpt-4o"))
    async with application(telemetry) as inside:
        for _ in range(WARM_UP):
            await inside.calls(body)
        gc.collect()
        begun = time.process_time()
        batches = [await inside.calls(body) for _ in range(calls // AT_ONCE)]
        return min(batches), (time.process_time() - begun) / (len(batches) * AT_ONCE) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=12_800)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keep", action="store_true", help="make it the current table in RESULTS.md")
    options = parser.parse_args()
    receiving, sending = multiprocessing.Pipe(duplex=False)
    receiver = multiprocessing.get_context("spawn").Process(target=collector, args=(sending,), daemon=True)
    receiver.start()
    url, load = f"http://127.0.0.1:{receiving.recv()}", machine.load()
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(options.rounds):
        for name, share in SHARES.items():
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found.setdefault(name, []).append(runner.run(cost(options.calls, url, share)))
    receiver.kill()
    least = {name: tuple(map(min, zip(*values, strict=True))) for name, values in found.items()}
    off_us, off_cpu_us = least["off"]
    rows = [[name, number(us) + ratio(us, off_us), number(cpu_us)] for name, (us, cpu_us) in least.items()]
    # In the least batch of few sampled calls none is; the hundredth one is added with all that it costs, export included.
    mean_us = least["1 % sampled"][0] + 0.01 * (least["all sampled"][1] - off_cpu_us)
    rows.append(["1 % sampled, the sampled ones' share added", number(mean_us) + ratio(mean_us, off_us), ""])
    report = Report(
        "Inside our process, without sockets",
        [machine.shape(), f"load average {load:.1f}", f"{options.rounds} rounds of {options.calls:,} calls, in turns"],
    )
    head = ["traces", "us/call", "CPU us/call, export included"]
    report.section("What traces cost a synchronous call: the least of many batches", table(head, rows))
    if options.keep:
        report.keep()


if __name__ == "__main__":
    main()

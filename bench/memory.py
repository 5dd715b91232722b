"""How many bytes of the store a job takes by the size of its bodies, with and without compression, and what it leaves.

    python -m bench.memory [--jobs 1000] [--keep]

Request bodies and results are pieces of this project's own documentation as chat messages, each another one. A server
of our own on a free port of 127.0.0.1 is emptied before each size; what it takes is its growth by jobs. What is left an
hour after is what stays when every key is gone that expires by then: places in the lists of jobs, which forget expired
jobs as they are read. Ledger entries are not in it.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import orjson
import redis

from bench import machine
from bench.redis_servers import Server, find_binary, server
from bench.report import Report, table
from shared.jobs.bodies import Bodies, BodyPolicy
from shared.jobs.model import NewJob, Outcome, State
from shared.jobs.queue import JobQueue, QueueLimits
from shared.jobs.store import JobStore
from shared.store.multiplexed import MultiplexedClient

DOCS = Path(__file__).resolve().parent.parent / "docs"
SIZES = (1, 5, 10, 50)
COMPRESSED = BodyPolicy(compress_min_bytes=2048)
KIB = 1024
HOUR_OF_JOBS = 1000 * 3600
HOUR_MS = 3600 * 1000


def bodies(size: int, count: int) -> list[bytes]:
    """Return chat bodies of a size in KiB, no two alike."""
    text = "\n".join(page.read_text() for page in sorted(DOCS.glob("[0-9]*.md")))
    step = max(1, (len(text) - size * KIB) // count)
    pieces = [text[at * step : at * step + size * KIB] for at in range(count)]
    return [orjson.dumps({"messages": [{"role": "user", "content": piece}]})[: size * KIB] for piece in pieces]


def used(store: Server) -> int:
    """Return the bytes that the server uses for data."""
    info = store.ask("INFO", "memory")
    assert isinstance(info, dict)
    return int(info["used_memory_dataset"])


def expire(store: Server) -> None:
    """Delete every key that would expire within an hour."""
    with redis.Redis(port=store.port) as client:
        keys = list(client.scan_iter(count=1000))
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.pttl(key)
        for key, left_ms in zip(keys, pipeline.execute(), strict=True):
            if 0 <= left_ms <= HOUR_MS:
                pipeline.delete(key)
        pipeline.execute()


async def measure(store: Server, policy: BodyPolicy, size: int, count: int) -> tuple[float, float, float]:
    """Return the bytes of a queued job, of one that has ended with a result of the same size, and an hour after that."""
    store.ask("FLUSHALL")
    commands = MultiplexedClient(store.url)
    queue = JobQueue(commands, QueueLimits(lease_s=600), bodies=policy)
    jobs, packer = JobStore(commands, policy), Bodies(commands, policy)
    texts = bodies(size, count)
    await queue.submit(NewJob(id="job-0", request_type="chat.completions", model="m", payload=b"{}"))
    before = await asyncio.to_thread(used, store)
    for number, text in enumerate(texts[1:], 1):
        await queue.submit(NewJob(id=f"job-{number}", request_type="chat.completions", model="m", payload=text))
    queued = (await asyncio.to_thread(used, store) - before) / count
    while claims := (await queue.claim("w", 32)).claims:
        for claim in claims:
            outcome = Outcome(state=State.COMPLETED, status_code=200, result=texts[int(claim.id[4:] or 0)])
            await jobs.finish(claim, await packer.pack_result(claim, outcome))
    ended = (await asyncio.to_thread(used, store) - before) / count
    await asyncio.to_thread(expire, store)
    left = (await asyncio.to_thread(used, store) - before) / count
    await commands.aclose()
    return queued, ended, left


async def rows(store: Server, count: int) -> Sequence[Sequence[str]]:
    """Return a row of the table per size."""
    found = []
    await measure(store, BodyPolicy(), 1, count)  # what only the first jobs of a server take
    for size in SIZES:
        plain = await measure(store, BodyPolicy(), size, count)
        packed = await measure(store, COMPRESSED, size, count)
        gibibytes = (plain[1] * HOUR_OF_JOBS / KIB**3, packed[1] * HOUR_OF_JOBS / KIB**3)
        found.append(
            [f"{size}", *(f"{value / KIB:.1f}" for value in (plain[0], packed[0], plain[1], packed[1]))]
            + [f"{value:.0f}" for value in gibibytes]
            + [f"{max(plain[2], packed[2]):.0f}"]
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--jobs", type=int, default=1000, help="of each size")
    parser.add_argument("--keep", action="store_true", help="make the table the current one in RESULTS.md")
    options = parser.parse_args()
    report = Report("Memory", [machine.shape(), f"server: {find_binary()}", f"load {machine.load():.1f}"])
    with tempfile.TemporaryDirectory() as directory, server(Path(directory) / "server") as store:
        found = asyncio.run(rows(store, options.jobs))
    head = [
        "body, KiB",
        "queued, KiB",
        "compressed",
        "ended, KiB",
        "compressed",
        "an hour at 1,000/s, GiB",
        "compressed",
        "left an hour after its end, bytes",
    ]
    report.section("Bytes a job", table(head, found))
    if options.keep:
        report.keep()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What every system under test shares: the job, how it is noted, and how jobs are sent.

A system is a small program with two commands, run with that system's own interpreter::

    python X.py work URL RECORDS CONCURRENCY             a worker, until a signal
    python X.py burst URL COUNT SENDERS SLEEP_S TAG      as fast as it goes
    python X.py paced URL PER_SECOND SECONDS SLEEP_S TAG open loop, at a rate

A job carries the time when it was sent (CLOCK_MONOTONIC, one clock for all processes of a machine), how long to sleep, and its
tag. It notes its start and, if it slept, its end, as one small append to a file.
"""

import asyncio
import json
import os
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

RECORD = struct.Struct("<ddqq")
START, END, BOTH = 0, 1, 2

Send = Callable[[float, float, int], Awaitable[Any]]
Open = Callable[[str], Awaitable[tuple[Send, Callable[[], Awaitable[None]]]]]

_file = _pid = -1


def open_records(path: str) -> None:
    global _file, _pid
    _pid = os.getpid()
    _file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(sent: float, tag: int, kind: int) -> None:
    os.write(_file, RECORD.pack(sent, time.monotonic(), tag, _pid << 2 | kind))


async def job(sent: float, sleep_s: float, tag: int) -> None:
    """What every system runs."""
    if sleep_s <= 0:
        note(sent, tag, BOTH)
        return
    note(sent, tag, START)
    await asyncio.sleep(sleep_s)
    note(sent, tag, END)


def main(open_client: Open, work: Callable[[str, int], None], *, loop_factory: Any = None) -> None:
    command, url, *rest = sys.argv[1:]
    if command == "work":
        open_records(rest[0])
        work(url, int(rest[1]))
        return
    with asyncio.Runner(loop_factory=loop_factory or uv_loop()) as runner:
        runner.run(_send(open_client, command, url, rest))


def uv_loop() -> Any:
    try:
        import uvloop

        return uvloop.new_event_loop
    except ImportError:
        return None


async def _send(open_client: Open, command: str, url: str, rest: list[str]) -> None:
    send, close = await open_client(url)
    await send(time.monotonic(), 0.0, -1)  # connections and scripts are not what is measured
    if command == "burst":
        count, senders, sleep_s, tag = int(rest[0]), int(rest[1]), float(rest[2]), int(rest[3])
        seconds = await burst(send, count, senders, sleep_s, tag)
    else:
        rate, during, sleep_s, tag = float(rest[0]), float(rest[1]), float(rest[2]), int(rest[3])
        count, seconds = await paced(send, rate, during, sleep_s, tag)
    print(json.dumps({"count": count, "seconds": seconds}), flush=True)
    await close()


async def burst(send: Send, count: int, senders: int, sleep_s: float, tag: int) -> float:
    numbers = iter(range(count))

    async def one_sender() -> None:
        for number in numbers:
            await send(time.monotonic(), sleep_s, tag or number)

    begun = time.monotonic()
    await asyncio.gather(*(one_sender() for _ in range(senders)))
    return time.monotonic() - begun


async def paced(send: Send, rate: float, during: float, sleep_s: float, tag: int) -> tuple[int, float]:
    begun = time.monotonic()
    tasks: set[asyncio.Task[Any]] = set()
    total = int(rate * during)
    for number in range(total):
        # Not quite even, so that no phase of anybody's polling is favoured.
        at = begun + (number + (number * 0.6180339887 % 1.0)) / rate
        if (wait := at - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.ensure_future(send(time.monotonic(), sleep_s, tag or number))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(tasks)
    return total, time.monotonic() - begun

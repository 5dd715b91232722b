"""FinOps as in ``ours.py``, and its worker also works on bulk operations; jobs of low priority stay in the queue."""

import asyncio
import gc
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import common
import ours
import uvloop

from shared.jobs.model import Priority
from shared.jobs.operations import OperationStore
from shared.jobs.scripts import engine_scripts
from shared.jobs.store import JobStore
from shared.store.multiplexed import MultiplexedClient
from worker.leased_worker import LeasedWorker, WorkerOptions
from worker.operation_turns import OperationTurns
from worker.turn_loop import TurnLoop


async def serve(url: str, concurrency: int) -> None:
    priorities = (Priority.HIGH, Priority.NORMAL)
    options = WorkerOptions(concurrency=concurrency, limits=ours.LIMITS, grace_s=1, priorities=priorities)
    worker = LeasedWorker.connect(url, ours.run, options)
    commands = MultiplexedClient(url)
    # A cancel submits nothing and asks for no key.
    turns = OperationTurns(OperationStore(commands), JobStore(commands), None, None, ended=lambda *_: None)
    loop = asyncio.create_task(TurnLoop(turns.take_turn).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    gc.collect()
    gc.freeze()  # as worker/main.py
    await worker.serve()
    loop.cancel()
    await commands.aclose()


def work(url: str, concurrency: int) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(url, concurrency))


if __name__ == "__main__":
    engine_scripts()
    common.main(ours.open_client, work)

"""taskiq with taskiq-redis, results kept; ``TASKIQ_BROKER=stream``: the broker that acknowledges, else the list."""

import asyncio
import os
import signal

import common
from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

KIND = RedisStreamBroker if os.environ.get("TASKIQ_BROKER") == "stream" else ListQueueBroker


def _broker(url):
    broker = KIND(url).with_result_backend(RedisAsyncResultBackend(url, result_ex_time=3600))

    @broker.task(task_name="bench_job")
    async def bench_job(sent: float, sleep_s: float, tag: int) -> str:
        await common.job(sent, sleep_s, tag)
        return "done"

    return broker, bench_job


async def open_client(url):
    broker, bench_job = _broker(url)
    await broker.startup()

    async def send(sent, sleep_s, tag):
        await bench_job.kiq(sent, sleep_s, tag)

    return send, broker.shutdown


def work(url, concurrency):
    async def serve():
        broker, _ = _broker(url)
        broker.is_worker_process = True
        await broker.startup()
        task = asyncio.ensure_future(run_receiver_task(broker, max_async_tasks=concurrency))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await asyncio.wait([task])
        await broker.shutdown()

    with asyncio.Runner(loop_factory=common.uv_loop()) as runner:
        runner.run(serve())


if __name__ == "__main__":
    common.main(open_client, work)

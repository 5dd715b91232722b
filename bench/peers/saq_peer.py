"""saq."""

import asyncio

import common
import orjson
from saq import Queue, Worker


def _queue(url):
    return Queue.from_url(url, dump=lambda value: orjson.dumps(value).decode(), load=orjson.loads)


async def bench_job(ctx, *, sent, sleep_s, tag):
    await common.job(sent, sleep_s, tag)
    return "done"


async def open_client(url):
    queue = _queue(url)
    await queue.connect()

    async def send(sent, sleep_s, tag):
        await queue.enqueue("bench_job", sent=sent, sleep_s=sleep_s, tag=tag, timeout=300)

    return send, queue.disconnect


def work(url, concurrency):
    async def serve():
        worker = Worker(_queue(url), functions=[bench_job], concurrency=concurrency)
        await worker.queue.connect()
        await worker.start()
        await worker.queue.disconnect()

    with asyncio.Runner(loop_factory=common.uv_loop()) as runner:
        runner.run(serve())


if __name__ == "__main__":
    common.main(open_client, work)

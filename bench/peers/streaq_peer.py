"""streaq."""

import common
from streaq import Worker


def _worker(url, concurrency=100):
    worker = Worker(redis_url=url, concurrency=concurrency, anyio_kwargs={"use_uvloop": True})

    @worker.task(name="bench_job", timeout=300)
    async def bench_job(sent: float, sleep_s: float, tag: int) -> str:
        await common.job(sent, sleep_s, tag)
        return "done"

    return worker, bench_job


async def open_client(url):
    worker, bench_job = _worker(url)
    await worker.__aenter__()

    async def send(sent, sleep_s, tag):
        await bench_job.enqueue(sent, sleep_s, tag)

    async def close():
        await worker.__aexit__(None, None, None)

    return send, close


def work(url, concurrency):
    worker, _ = _worker(url, concurrency)
    worker.run_sync()


if __name__ == "__main__":
    common.main(open_client, work)

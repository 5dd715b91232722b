"""arq 0.28 as it comes; ``ARQ_TUNED=1``: polls every 10 ms, orjson, uvloop, no log of each job."""

import asyncio
import os

import common
import orjson
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

TUNED = os.environ.get("ARQ_TUNED") == "1"
WIRE = {"job_serializer": orjson.dumps, "job_deserializer": orjson.loads} if TUNED else {}


async def bench_job(ctx, sent, sleep_s, tag):
    await common.job(sent, sleep_s, tag)
    return "done"


async def open_client(url):
    pool = await create_pool(RedisSettings.from_dsn(url), **WIRE)

    async def send(sent, sleep_s, tag):
        await pool.enqueue_job("bench_job", sent, sleep_s, tag)

    return send, pool.aclose


def work(url, concurrency):
    loop = common.uv_loop()() if TUNED else asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    options = {"poll_delay": 0.01, "log_results": False} if TUNED else {}
    Worker(
        functions=[func(bench_job, name="bench_job")],
        redis_settings=RedisSettings.from_dsn(url),
        max_jobs=concurrency,
        **options,
        **WIRE,
    ).run()


if __name__ == "__main__":
    common.main(open_client, work)

"""The floor: bare Redis, nothing kept, nothing retried; a list with BLPOP or (``FLOOR=stream``) a stream read in batches."""

import asyncio
import os
import signal

import common
import orjson
from redis.asyncio import Redis

STREAM = os.environ.get("FLOOR") == "stream"


async def open_client(url):
    redis = Redis.from_url(url)

    async def send(sent, sleep_s, tag):
        body = orjson.dumps([sent, sleep_s, tag])
        if STREAM:
            await redis.xadd("floor", {"b": body})
        else:
            await redis.rpush("floor", body)

    return send, redis.aclose


async def _read_list(redis, room):
    while True:
        await room.acquire()
        _, body = await redis.blpop("floor", timeout=0)
        yield None, body


async def _read_stream(redis, room):
    while True:
        replies = await redis.xreadgroup("g", "c%d" % os.getpid(), {"floor": ">"}, count=100, block=1000)
        done = []
        for _, rows in replies or []:
            for row_id, fields in rows:
                await room.acquire()
                yield row_id, fields[b"b"]
                done.append(row_id)
        if done:
            await redis.xack("floor", "g", *done)


async def _serve(url, concurrency):
    redis = Redis.from_url(url)
    room = asyncio.Semaphore(concurrency)
    tasks = set()
    if STREAM:
        try:
            await redis.xgroup_create("floor", "g", id="0", mkstream=True)
        except Exception:
            pass
    async for _, body in (_read_stream if STREAM else _read_list)(redis, room):
        sent, sleep_s, tag = orjson.loads(body)
        if sleep_s <= 0:
            await common.job(sent, sleep_s, tag)
            room.release()
            continue
        task = asyncio.create_task(common.job(sent, sleep_s, tag))
        tasks.add(task)
        task.add_done_callback(lambda t: (tasks.discard(t), room.release()))


def work(url, concurrency):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with asyncio.Runner(loop_factory=common.uv_loop()) as runner:
        runner.run(_serve(url, concurrency))


if __name__ == "__main__":
    common.main(open_client, work)

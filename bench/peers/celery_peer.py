"""celery, solo pool, Redis broker and results; its client blocks, so it sends one at a time."""

import time

import common
from celery import Celery

app = Celery("bench")
app.conf.update(task_ignore_result=False, worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)


@app.task(name="bench_job")
def bench_job(sent, sleep_s, tag):
    if sleep_s <= 0:
        common.note(sent, tag, common.BOTH)
        return "done"
    common.note(sent, tag, common.START)
    time.sleep(sleep_s)
    common.note(sent, tag, common.END)
    return "done"


def _configure(url):
    app.conf.broker_url = url
    app.conf.result_backend = url


async def open_client(url):
    _configure(url)

    async def send(sent, sleep_s, tag):
        bench_job.delay(sent, sleep_s, tag)

    async def close():
        app.close()

    return send, close


def work(url, concurrency):
    _configure(url)
    app.worker_main(["worker", "-P", "solo", "--loglevel", "ERROR", "--without-gossip", "--without-mingle"])


if __name__ == "__main__":
    common.main(open_client, work)

"""From the outbox, written with each outcome, to deliveries: every entry becomes one job, however often it is read."""

import asyncio
import logging
from collections.abc import Mapping

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared.errors import GatewayError
from shared.jobs.keys import WEBHOOK_OUTBOX
from shared.jobs.model import NewJob
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from shared.wire.webhook import event_id
from worker.webhooks import DELIVERY, WebhookDelivery

log = logging.getLogger("finops.webhooks")

GROUP = "relay"
OWNER = "~webhooks"
BATCH = 100
BLOCK_MS = 5_000
ABANDONED_MS = 30_000
PAUSE_S = 1.0
DELIVERY_TTL_S = 3600


class Outbox:
    """Reads the outbox together with every other worker, and takes over what a dead one left unread.

    Args:
        redis: A client of its own: it blocks.
        name: The worker's, unique.
    """

    def __init__(self, redis: Redis, queue: JobQueue, store: JobStore, delivery: WebhookDelivery, name: str) -> None:
        self._redis = redis
        self._queue = queue
        self._store = store
        self._delivery = delivery
        self._name = name

    async def run(self) -> None:
        """Relay until cancelled; the store's outages are waited out."""
        ready = False
        while True:
            try:
                if not ready:
                    await self._join()
                    ready = True
                await self._relay(await self._abandoned())
                await self._relay(await self._next())
            except (RedisError, OSError, GatewayError) as error:
                ready = False
                log.warning("outbox waits for the store", extra={"reason": type(error).__name__})
                await asyncio.sleep(PAUSE_S)

    async def _join(self) -> None:
        try:
            await self._redis.xgroup_create(WEBHOOK_OUTBOX, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _abandoned(self) -> list[tuple[bytes, Mapping[bytes, bytes]]]:
        reply = await self._redis.xautoclaim(
            WEBHOOK_OUTBOX, GROUP, self._name, min_idle_time=ABANDONED_MS, start_id="0", count=BATCH
        )
        return [entry for entry in reply[1] if entry[1]]

    async def _next(self) -> list[tuple[bytes, Mapping[bytes, bytes]]]:
        reply = await self._redis.xreadgroup(GROUP, self._name, {WEBHOOK_OUTBOX: ">"}, count=BATCH, block=BLOCK_MS)
        return list(reply[0][1]) if reply else []

    async def _relay(self, entries: list[tuple[bytes, Mapping[bytes, bytes]]]) -> None:
        for entry_id, fields in entries:
            job_id, webhook, state = (fields[name].decode() for name in (b"job", b"webhook", b"state"))
            at_ms = int(entry_id.split(b"-")[0])
            request_type = fields.get(b"type", b"").decode()
            if not request_type:
                job = await self._store.get(job_id)
                request_type = job.request_type if job else ""
            if self._delivery.wants(webhook, job_id, request_type, state):
                said = {"job": job_id, "webhook": webhook, "state": state, "request_type": request_type, "at_ms": at_ms}
                await self._queue.submit(_delivery_job(said))
            await self._redis.xack(WEBHOOK_OUTBOX, GROUP, entry_id)
            await self._redis.xdel(WEBHOOK_OUTBOX, entry_id)


def _delivery_job(said: Mapping[str, object]) -> NewJob:
    """The same entry makes the same job, so an entry that is relayed twice is delivered once."""
    return NewJob(
        id=event_id(str(said["job"]), str(said["state"])),
        owner=OWNER,
        request_type=DELIVERY,
        model="",
        payload=orjson.dumps(said),
        ttl_s=DELIVERY_TTL_S,
        max_queued=1_000_000,
    )

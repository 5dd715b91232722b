"""Turns outcomes and alerts into webhook deliveries: one job per entry and webhook, however often it is read.

Both are streams, written by the same scripts that record the outcome or the spending.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared.errors import GatewayError
from shared.governance.forecasts.alerts import alert_of
from shared.governance.keyspace import ALERTS
from shared.jobs.keys import WEBHOOK_OUTBOX
from shared.jobs.model import NewJob
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from shared.surfaces.webhook import alert_event, event_id
from worker.webhooks import DELIVERY, WebhookDelivery

log = logging.getLogger("finops.webhooks")

STREAMS: Final = (WEBHOOK_OUTBOX, ALERTS)
GROUP = "relay"
OWNER = "~webhooks"
BATCH = 100
BLOCK_MS = 5_000
ABANDONED_MS = 30_000
PAUSE_S = 1.0
DELIVERY_TTL_S = 3600

Entry = tuple[bytes, Mapping[bytes, bytes]]


class Outbox:
    """Reads the streams in one consumer group with all workers, and takes over the entries of dead ones.

    Args:
        redis: A dedicated client, because reads block.
        name: The worker's unique name.
        count: Called with the kind of each alert.
    """

    def __init__(
        self,
        redis: Redis,
        queue: JobQueue,
        store: JobStore,
        delivery: WebhookDelivery,
        name: str,
        *,
        count: Callable[[str], None] | None = None,
    ) -> None:
        self._count = count
        self._redis = redis
        self._queue = queue
        self._store = store
        self._delivery = delivery
        self._name = name

    async def run(self) -> None:
        """Relay entries until cancelled; store outages are waited out."""
        ready = False
        while True:
            try:
                if not ready:
                    await self._join()
                    ready = True
                for stream in STREAMS:
                    await self._relay(stream, await self._abandoned(stream))
                for name, entries in await self._next():
                    await self._relay(name.decode(), entries)
            except (RedisError, OSError, GatewayError) as error:
                ready = False
                log.warning("the outbox is waiting for the store", extra={"reason": type(error).__name__})
                await asyncio.sleep(PAUSE_S)

    async def _join(self) -> None:
        for stream in STREAMS:
            try:
                await self._redis.xgroup_create(stream, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    async def _abandoned(self, stream: str) -> Sequence[Entry]:
        reply = await self._redis.xautoclaim(
            stream, GROUP, self._name, min_idle_time=ABANDONED_MS, start_id="0", count=BATCH
        )
        return [entry for entry in reply[1] if entry[1]]

    async def _next(self) -> Sequence[tuple[bytes, Sequence[Entry]]]:
        unread: Any = dict.fromkeys(STREAMS, ">")
        reply: Sequence[tuple[bytes, Sequence[Entry]]] = await self._redis.xreadgroup(
            GROUP, self._name, unread, count=BATCH, block=BLOCK_MS
        )
        return reply

    async def _relay(self, stream: str, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if stream == ALERTS:
                await self._relay_alert(entry)
                await self._redis.xack(stream, GROUP, entry[0])  # the entry stays in the stream, to be listed
            else:
                await self._relay_outcome(entry)
                await self._redis.xack(stream, GROUP, entry[0])
                await self._redis.xdel(stream, entry[0])

    async def _relay_outcome(self, entry: Entry) -> None:
        entry_id, fields = entry
        job_id, webhook, state = (fields[name].decode() for name in (b"job", b"webhook", b"state"))
        at_ms = int(entry_id.split(b"-")[0])
        request_type = fields.get(b"type", b"").decode()
        if not request_type:
            job = await self._store.get(job_id)
            request_type = job.request_type if job else ""
        if self._delivery.subscribes(webhook, job_id, request_type, state):
            payload = {"job": job_id, "webhook": webhook, "state": state, "request_type": request_type, "at_ms": at_ms}
            await self._queue.submit(_delivery_job(event_id(job_id, state), payload))

    async def _relay_alert(self, entry: Entry) -> None:
        alert = alert_of(*entry)
        event = alert_event(alert.to_dict())
        for webhook in self._delivery.subscribers(alert.kind):
            payload = {"job": alert.id, "webhook": webhook, "event": event}
            await self._queue.submit(_delivery_job(event_id(alert.id, webhook), payload))
        if self._count is not None:
            self._count(alert.kind)


def _delivery_job(job_id: str, payload: Mapping[str, object]) -> NewJob:
    """Build the delivery job; its id is derived from the entry, so that an entry relayed twice is delivered once."""
    return NewJob(
        id=job_id,
        owner=OWNER,
        request_type=DELIVERY,
        model="",
        payload=orjson.dumps(payload),
        ttl_s=DELIVERY_TTL_S,
        max_queued=1_000_000,
    )

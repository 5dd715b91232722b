"""Turns outcomes and alerts into webhook deliveries: one per entry and webhook, however often it is read.

Both are streams, written by the same scripts that record the outcome or the spending.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared.errors import GatewayError
from shared.governance.forecasts.alerts import alert_of
from shared.governance.keyspace import ALERTS
from shared.jobs import keys
from shared.jobs.keys import WEBHOOK_OUTBOX
from shared.surfaces.webhook import alert_event
from shared.webhooks.events import delivery_of_alert, delivery_of_outcome
from worker.outage import OutageLog
from worker.webhooks import WebhookDelivery

log = logging.getLogger("finops.webhooks")

STREAMS: Final = (WEBHOOK_OUTBOX, ALERTS)
GROUP = "relay"
BATCH = 100
BLOCK_MS = 5_000
ABANDONED_MS = 30_000
PAUSE_S = 1.0

Entry = tuple[bytes, Mapping[bytes, bytes]]


class Outbox:
    """Reads the streams in one consumer group with all workers, and takes over the entries of dead ones.

    Args:
        redis: A dedicated client, because reads block.
        delivery: Holds the deliveries, and knows who subscribes to what.
        name: The worker's unique name.
        count: Called with the kind of each alert.
        wake: Called when deliveries were added.
        outage: Logs outages of the store, for several loops.
        shard: Whose outbox it is; alerts are in shard 0.
    """

    def __init__(
        self,
        redis: Redis,
        delivery: WebhookDelivery,
        name: str,
        *,
        count: Callable[[str], None] | None = None,
        wake: Callable[[], None] | None = None,
        outage: OutageLog | None = None,
        shard: int = 0,
    ) -> None:
        self._shard = shard
        self._streams = STREAMS if shard == 0 else (WEBHOOK_OUTBOX,)
        self._outage = outage or OutageLog()
        self._count = count
        self._wake = wake
        self._redis = redis
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
                    self._outage.back()
                for stream in self._streams:
                    await self._relay(stream, await self._abandoned(stream))
                for name, entries in await self._next():
                    await self._relay(name.decode(), entries)
            except (RedisError, OSError, GatewayError) as error:
                ready = False
                self._outage.away(error)
                await asyncio.sleep(PAUSE_S)

    async def _join(self) -> None:
        for stream in self._streams:
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
        unread: Any = dict.fromkeys(self._streams, ">")
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
        job_id, target, state = (fields[name].decode() for name in (b"job", b"webhook", b"state"))
        at_ms = int(entry_id.split(b"-")[0])
        request_type, owner = await self._described(job_id, fields)
        if self._delivery.subscribes(target, job_id, request_type, state):
            webhook, url = self._delivery.split(target)
            about = (job_id, state, request_type, at_ms)
            # Entries of two shards may have the same id.
            entry_name = entry_id.decode() if self._shard == 0 else f"{entry_id.decode()}-{self._shard}"
            new = delivery_of_outcome(entry_name, *about, owner=owner, webhook=webhook, url=url)
            await self._delivery.add(new)
            self._added()

    async def _described(self, job_id: str, fields: Mapping[bytes, bytes]) -> tuple[str, str]:
        """Return a job's request type and owner, from its record where the entry lacks them."""
        request_type, owner = fields.get(b"type"), fields.get(b"owner")
        if request_type is None or owner is None:
            record: Any = self._redis.hmget(keys.job(job_id), ["type", "owner"])
            recorded_type, recorded_owner = await record
            request_type = recorded_type if request_type is None else request_type
            owner = recorded_owner if owner is None else owner
        return (request_type or b"").decode(), (owner or b"").decode()

    async def _relay_alert(self, entry: Entry) -> None:
        alert = alert_of(*entry)
        if alert.muted:
            return
        event = alert_event(alert.to_dict())
        for webhook in self._delivery.receivers(alert):
            url = self._delivery.url_of(webhook)
            await self._delivery.add(delivery_of_alert(entry[0].decode(), event, webhook, url))
            self._added()
        if self._count is not None:
            self._count(alert.kind)

    def _added(self) -> None:
        if self._wake is not None:
            self._wake()

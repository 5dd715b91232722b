"""The deliveries' own lane: claims due deliveries and attempts them, beside the jobs and independent of their queue."""

import asyncio
import logging
import time
from typing import Protocol

from redis.exceptions import RedisError

from shared import clock
from shared.errors import GatewayError
from shared.webhooks.model import ClaimedDeliveries, DeliveryClaim
from shared.webhooks.store import DeliveryStore, Finish
from worker.outage import OutageLog
from worker.webhooks import WebhookDelivery

log = logging.getLogger("finops.webhooks")

IDLE_S = 1.0
"""Longest time between two claims: how late a delivery starts that another process has added."""
CLAIM_AT_ONCE = 16  # about 1 ms of the store in one piece
GRACE_S = 3.0
WRITE_FOR_S = 60.0


class DeliveryMetrics(Protocol):
    """Receives what happens in the lane."""

    def delivery_attempted(self, seconds: float, result: str) -> None:
        """Record an attempt: ``delivered``, ``failed`` for good, ``pending``: to be retried, or ``lost``."""

    def deliveries_stored(self, pending: int, disabled: int) -> None:
        """Set how many deliveries are pending and how many endpoints disabled, of all workers."""


class DeliveryLane:
    """Attempts deliveries until cancelled; an unavailable store is waited for.

    Args:
        delivery: Makes the attempts.
        concurrency: Attempts at once.
        metrics: Receives counts.
        outage: Logs outages of the store, for several loops.
    """

    def __init__(
        self,
        delivery: WebhookDelivery,
        concurrency: int,
        metrics: DeliveryMetrics,
        outage: OutageLog | None = None,
    ) -> None:
        self._outage = outage or OutageLog()
        self._delivery = delivery
        self._store: DeliveryStore = delivery.store
        self._concurrency = concurrency
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._running: dict[asyncio.Task[None], DeliveryClaim] = {}

    def wake(self) -> None:
        """Claim now: a delivery was added."""
        self._wake.set()

    async def run(self) -> None:
        """Claim and attempt until cancelled."""
        failures = 0
        while True:
            self._wake.clear()
            try:
                claimed = await self._store.claim(min(self._concurrency - len(self._running), CLAIM_AT_ONCE))
            except (GatewayError, RedisError, OSError) as error:
                self._outage.away(error)
                await asyncio.sleep(clock.back_off_s(failures))
                failures += 1
                continue
            if failures:
                self._outage.back()
            failures = 0
            self._metrics.deliveries_stored(claimed.pending, claimed.disabled)
            self._start(claimed)
            await self._until_due(claimed)

    def _start(self, claimed: ClaimedDeliveries) -> None:
        for claim in claimed.claims:
            task = asyncio.create_task(self._attempt(claim), name=f"finops-delivery-{claim.id}")
            self._running[task] = claim
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._wake.set()  # its slot is free, and its endpoint's turn may have come

    async def _until_due(self, claimed: ClaimedDeliveries) -> None:
        """Wait until there may be something to claim, and room for it."""
        room = len(self._running) < self._concurrency
        wait_s = 0.0 if claimed.claims else min(IDLE_S, claimed.next_s)
        if room and wait_s <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(wait_s if room else IDLE_S):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _attempt(self, claim: DeliveryClaim) -> None:
        started = time.perf_counter()
        try:
            finish = await self._delivery.attempt(claim)
        except (GatewayError, RedisError):
            finish = Finish("released")
        except Exception:
            log.exception("a delivery could not be attempted", extra={"delivery": claim.id})
            finish = Finish("failed", reason="internal_error")
        result = await self._write(claim, finish)
        self._metrics.delivery_attempted(time.perf_counter() - started, result)
        log.info("webhook attempted", extra={"delivery": claim.id, "result": result, "reason": finish.reason})

    async def _write(self, claim: DeliveryClaim, finish: Finish) -> str:
        """Write the end of an attempt, through short outages; after them the lease ends and the event is sent again."""
        give_up_at = time.monotonic() + WRITE_FOR_S
        failures = 0
        while True:
            try:
                return await self._store.finish(claim, finish)
            except (GatewayError, RedisError, OSError):
                if time.monotonic() > give_up_at:
                    return "lost"
                await asyncio.sleep(clock.back_off_s(failures))
                failures += 1

    async def aclose(self) -> None:
        """Let attempts end for a moment, cancel the others and give their deliveries back."""
        if self._running:
            await asyncio.wait(list(self._running), timeout=GRACE_S)
        left = dict(self._running)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(list(left))
        for claim in left.values():
            try:
                await self._store.finish(claim, Finish("released"))
            except (GatewayError, RedisError, OSError):
                return  # their leases end, and another worker sends them

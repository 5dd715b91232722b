"""The store of deliveries: a lane of its own beside the job queue, and the history that it leaves."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from shared.errors import DeliveryNotFound, InvalidRequest
from shared.settings.model import DeliverySettings
from shared.store.commands import RedisCommands
from shared.webhooks import keys
from shared.webhooks.model import (
    Attempt,
    ClaimedDeliveries,
    Delivery,
    DeliveryClaim,
    NewDelivery,
    Status,
    Verdict,
    attempt_of,
)
from shared.webhooks.scripts import scripts_on

LEASE_MARGIN_S = 5.0
MAX_PIECES = 600
_FIELDS = ("event", "job", "webhook", "url", "owner", "status", "reason", "created_ms", "seq")


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries to list; empty: any."""

    status: str = ""
    webhook: str = ""
    job_id: str = ""
    event: str = ""

    @property
    def index(self) -> str:
        """A list that holds every match, the one that is likely to be the shortest."""
        if self.job_id:
            return keys.by_job(self.job_id)
        if self.status in {Status.PENDING, Status.FAILED}:
            return keys.by_status(self.status)
        if self.webhook:
            return keys.by_webhook(self.webhook)
        if self.event:
            return keys.by_event(self.event)
        return keys.by_status(self.status) if self.status else keys.ALL


@dataclass(frozen=True, slots=True)
class Finish:
    """How an attempt ended.

    Attributes:
        verdict: What becomes of the delivery; ``released``: no attempt was made.
        attempt: The attempt, for the history.
        delay_s: Until the next attempt, of ``retry``.
        counts: Whether the endpoint failed, for its circuit.
        reason: Why it was not delivered.
    """

    verdict: Verdict
    attempt: Attempt | None = None
    delay_s: float = 0.0
    counts: bool = False
    reason: str = ""


class DeliveryStore:
    """Adds, leases, ends and lists deliveries. Any store failure is ``StoreUnavailable``."""

    def __init__(self, commands: RedisCommands, settings: DeliverySettings) -> None:
        self._scripts = scripts_on(commands)
        self._settings = settings

    async def add(self, new: NewDelivery) -> str:
        """Add a delivery.

        Returns:
            ``added``; ``known``: it was added before; ``refused``: recorded as failed, because too many are pending.
        """
        reply = await self._scripts.run(
            "add",
            (
                *(new.id, new.entry, new.endpoint, new.group, new.owner, new.webhook, new.url, new.event, new.event_id),
                *(new.job_id, new.body, new.label, "1" if new.manual else "0", keys.digest(new.webhook)),
                keys.digest(new.job_id) if new.job_id else "",
                *(_ms(self._settings.keep_s), self._settings.max_pending),
            ),
            retry_safe=True,
        )
        return bytes(reply).decode()

    async def claim(self, most: int) -> ClaimedDeliveries:
        """Lease due deliveries, one endpoint after the other in turn."""
        settings = self._settings
        lease_s = settings.timeout_s + LEASE_MARGIN_S
        args = (most, _ms(lease_s), settings.max_per_endpoint, settings.max_per_key)
        claims, next_ms, pending, disabled = await self._scripts.run(
            "claim", (*args, _ms(settings.retry_for_s), _ms(settings.keep_s))
        )
        return ClaimedDeliveries(tuple(_claim(row) for row in claims), int(next_ms) / 1000, pending, disabled)

    async def finish(self, claim: DeliveryClaim, finish: Finish) -> str:
        """End an attempt.

        Returns:
            ``delivered``, ``failed`` or ``pending``; ``lost``: the lease had ended, nothing was written.
        """
        attempt = orjson.dumps(asdict(finish.attempt)) if finish.attempt else b""
        reply = await self._scripts.run(
            "finish",
            (
                *(claim.id, claim.token, finish.verdict, attempt, _ms(finish.delay_s), "1" if finish.counts else "0"),
                *(finish.reason, _ms(self._settings.keep_s), _ms(self._settings.disable_after_s)),
            ),
        )
        return bytes(reply).decode()

    async def get(self, delivery_id: str) -> Delivery:
        """Fetch a delivery.

        Raises:
            DeliveryNotFound: There is none with this id.
        """
        found = await self._read([delivery_id]) if keys.is_delivery_id(delivery_id) else []
        if not found:
            raise DeliveryNotFound(delivery_id)
        return found[0]

    async def redeliver(self, delivery_id: str) -> Delivery:
        """Send an event again, whatever became of it; a pending one is attempted at once.

        Raises:
            DeliveryNotFound: There is none with this id.
        """
        if not keys.is_delivery_id(delivery_id) or not await self._scripts.run(
            "redeliver", (delivery_id,), retry_safe=True
        ):
            raise DeliveryNotFound(delivery_id)
        return await self.get(delivery_id)

    async def find(self, only: DeliveryFilter, *, after: str = "", limit: int = 20) -> tuple[list[Delivery], bool]:
        """List deliveries, newest first.

        Args:
            only: Which ones.
            after: Id of the last delivery of the previous page.
            limit: Most deliveries.

        Returns:
            The deliveries, and whether there are more.

        Raises:
            InvalidRequest: The cursor is not a delivery, or one that has expired.
        """
        below = await self._sequence(after) if after else "+inf"
        found: list[str] = []
        for _ in range(MAX_PIECES):
            args = (only.index, below, limit + 1 - len(found), only.status, only.webhook, only.job_id, only.event)
            reply = await self._scripts.run("list", args, retry_safe=True)
            below, ids = bytes(reply[0]).decode(), reply[1:]
            found += [bytes(item).decode() for item in ids]
            if not below or len(found) > limit:
                break
        return await self._read(found[:limit]), len(found) > limit

    async def disabled(self) -> list[str]:
        """Return the names or origins of disabled endpoints, at most a hundred."""
        ids = await self._scripts.execute("ZRANGE", keys.DISABLED, 0, 99, retry_safe=True)
        labels = await self._scripts.execute_many([("HGET", keys.endpoint(item.decode()), "label") for item in ids])
        return [label.decode() for label in labels if label]

    async def pending(self) -> int:
        """Return the number of pending deliveries."""
        return int(await self._scripts.execute("ZCARD", keys.by_status(Status.PENDING), retry_safe=True))

    async def _sequence(self, delivery_id: str) -> str:
        seq = None
        if keys.is_delivery_id(delivery_id):
            seq = await self._scripts.execute("HGET", keys.delivery(delivery_id), "seq", retry_safe=True)
        if seq is None:
            raise InvalidRequest(
                "after must be the id of a delivery. It may have expired: start again without after.", param="after"
            )
        return bytes(seq).decode()

    async def _read(self, ids: Sequence[str]) -> list[Delivery]:
        commands = [
            command
            for item in ids
            for command in (
                ("HMGET", keys.delivery(item), *_FIELDS),
                ("LRANGE", keys.attempts(item), 0, -1),
            )
        ]
        replies = await self._scripts.execute_many(commands) if commands else []
        rows = zip(ids, replies[::2], replies[1::2], strict=True)
        return [_delivery(item, fields, attempts) for item, fields, attempts in rows if fields[5] is not None]


def _claim(row: Sequence[Any]) -> DeliveryClaim:
    identity, token, webhook, url, owner, event_id = (bytes(value or b"").decode() for value in row[:6])
    return DeliveryClaim(identity, token, webhook, url, owner, event_id, bytes(row[6] or b""), int(row[7]) / 1000)


def _delivery(identity: str, fields: Sequence[bytes | None], attempts: Sequence[bytes]) -> Delivery:
    event, job_id, webhook, url, owner, status, reason, created_ms = ((value or b"").decode() for value in fields[:8])
    return Delivery(
        id=identity,
        event=event,
        job_id=job_id,
        webhook=webhook,
        url=url,
        owner=owner,
        status=Status(status),
        reason=reason,
        created_ms=int(created_ms),
        attempts=tuple(attempt_of(orjson.loads(attempt)) for attempt in attempts),
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)

"""Attempts to deliver webhook events: outcomes of jobs and batches, alerts, and tests."""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
import orjson

from shared import clock
from shared.governance.forecasts.alerts import Alert
from shared.jobs.model import Claim, Outcome, State
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.surfaces.webhook import event_type, native_event_type, signed_headers
from shared.webhooks.events import delivery_of_alert, delivery_of_outcome
from shared.webhooks.model import Attempt, DeliveryClaim, NewDelivery
from shared.webhooks.secrets import WebhookSecrets
from shared.webhooks.slack import as_received
from shared.webhooks.store import DeliveryStore, Finish
from worker.event_sender import EventSender
from worker.public_address import PrivateAddress

log = logging.getLogger("finops.webhooks")

DELIVERY: Final = "webhook.delivery"
"""Request type of the jobs that deliveries were in releases before their own lane; such jobs may still be queued."""
FIRST_DELAY_S = 5.0
MAX_DELAY_S = 4 * 3600.0
GONE = 410
UNSIGNED: Final = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Receiver:
    """The receiver of an event; without secrets, events are not signed."""

    url: str
    secrets: tuple[str, ...]
    private: bool


class WebhookDelivery:
    """Attempts deliveries, and knows which webhook wants which event.

    Args:
        settings: The effective configuration.
        commands: The store, which holds deliveries and secrets.
    """

    def __init__(self, settings: Settings, commands: RedisCommands) -> None:
        self._settings = settings
        self._limits = settings.webhooks_delivery
        self._secrets = WebhookSecrets(commands, settings)
        self._sender = EventSender(concurrency=self._limits.concurrency, timeout_s=self._limits.timeout_s)
        self.store = DeliveryStore(commands, self._limits)

    def subscribes(self, webhook: str, job_id: str, request_type: str, state: str) -> bool:
        """Tell whether a webhook is subscribed to such events; a URL without a configured webhook gets all."""
        configured = self._settings.webhooks.get(webhook)
        if configured is None:
            return True
        return not {event_type(state), native_event_type(job_id, request_type, state)}.isdisjoint(configured.events)

    def subscribers(self, event: str) -> list[str]:
        """Return the names of the webhooks subscribed to an event."""
        return [name for name, webhook in self._settings.webhooks.items() if event in webhook.events]

    def receivers(self, alert: Alert) -> Sequence[str]:
        """Return the names of the webhooks that an alert goes to: those of its rule, else the subscribers."""
        rule = self._settings.alerts.get(alert.rule)
        wanted = rule.webhooks if rule else alert.webhooks
        own = [name for name in wanted if name in self._settings.webhooks]
        return own or self.subscribers(alert.kind)

    async def add(self, new: NewDelivery) -> None:
        """Add a delivery, in the format of its receiver."""
        await self.store.add(as_received(new, self._settings.webhooks.get(new.webhook)))

    def url_of(self, webhook: str) -> str:
        """Return a configured webhook's URL; empty: it is no longer configured."""
        configured = self._settings.webhooks.get(webhook)
        return configured.url if configured else ""

    async def run(self, claim: Claim) -> Outcome:
        """Move a delivery that an earlier release queued as a job to the deliveries' own lane."""
        payload: dict[str, Any] = orjson.loads(claim.payload)
        webhook, url = self.split(payload["webhook"])
        if "event" in payload:
            new = delivery_of_alert(claim.id, payload["event"], webhook, url)
        else:
            about = (payload["job"], payload["state"], payload["request_type"], payload["at_ms"])
            new = delivery_of_outcome(claim.id, *about, owner="", webhook=webhook, url=url)
        await self.add(new)
        return Outcome(state=State.COMPLETED, status_code=200, result=b"{}")

    def split(self, webhook: str) -> tuple[str, str]:
        """Split a job's webhook into the name of a configured one, or empty, and the URL."""
        return ("", webhook) if "://" in webhook else (webhook, self.url_of(webhook))

    async def attempt(self, claim: DeliveryClaim) -> Finish:
        """Attempt one delivery.

        Returns:
            ``delivered`` on 2xx; ``failed`` on 410, on an address that is not public, and when the time to retry is
            over; else ``retry``.
        """
        receiver = await self._receiver(claim)
        if receiver is None:
            return Finish("failed", reason="webhook_not_configured")
        at, started = clock.now(), time.perf_counter()
        status, answer, error, counts = None, "", "", True
        try:
            headers = signed_headers(receiver.secrets, claim.event_id, claim.body, at) if receiver.secrets else UNSIGNED
            answered = await self._sender.send(receiver.url, claim.body, headers, private=receiver.private)
            status, answer = answered.status, answered.answer
        except TimeoutError:
            error = "timeout"
        except PrivateAddress:
            error, counts = "address_not_public", False
        except (httpx.InvalidURL, ValueError):
            error, counts = "invalid_url_or_secret", False
        except (httpx.HTTPError, OSError) as reason:
            error = "timeout" if isinstance(reason, httpx.TimeoutException) else "unreachable"
        attempt = Attempt(
            at_ms=round(at.timestamp() * 1000),
            status=status,
            duration_ms=round((time.perf_counter() - started) * 1000),
            answer=answer,
            error=error,
        )
        return self._judge(claim, attempt, counts=counts)

    def _judge(self, claim: DeliveryClaim, attempt: Attempt, *, counts: bool) -> Finish:
        if attempt.status is not None and 200 <= attempt.status < 300:
            return Finish("delivered", attempt)
        reason = attempt.error or f"status_{attempt.status}"
        delay_s = next_delay_s(claim.age_s)
        if not counts or attempt.status == GONE:
            return Finish("failed", attempt, counts=counts, reason=reason)
        if claim.age_s + delay_s > self._limits.retry_for_s:
            log.warning("webhook delivery abandoned", extra={"delivery": claim.id, "reason": reason})
            return Finish("failed", attempt, counts=True, reason="given_up")
        return Finish("retry", attempt, delay_s=delay_s, counts=True, reason=reason)

    async def _receiver(self, claim: DeliveryClaim) -> Receiver | None:
        """Resolve a webhook by the current configuration; None: the name is no longer configured."""
        anywhere = self._settings.server.allow_private_network
        if not claim.webhook:
            return Receiver(claim.url, (await self._secrets.of_key(claim.owner),), anywhere)
        configured = self._settings.webhooks.get(claim.webhook)
        if configured is None:
            return None
        secrets = await self._secrets.of_webhook(claim.webhook)
        return Receiver(configured.url, secrets, configured.allow_private_network or anywhere)

    async def aclose(self) -> None:
        """Close the connections to receivers."""
        await self._sender.aclose()


def next_delay_s(age_s: float) -> float:
    """Return the seconds to the next attempt: half of the event's age, between five seconds and four hours."""
    return min(max(FIRST_DELAY_S, math.ceil(age_s / 2)), MAX_DELAY_S)

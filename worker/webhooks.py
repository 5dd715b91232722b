"""Delivers webhook events: outcomes of jobs and batches, and alerts.

A delivery is a job itself: leased, deferred between tries, ended exactly once.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import orjson

from shared.errors import InternalError, UpstreamFailure
from shared.jobs.callback_secret import callback_secret
from shared.jobs.model import Claim, Deferral, Outcome, State
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.surfaces.webhook import event_body, event_id, event_type, native_event_type, signed_headers
from worker.public_address import PrivateAddress, resolve_public

log = logging.getLogger("finops.webhooks")

DELIVERY = "webhook.delivery"
TIMEOUT_S = 10.0
FIRST_DELAY_S = 5.0
MAX_DELAY_S = 4 * 3600.0
GIVE_UP_S = 72 * 3600.0
GONE = 410


@dataclass(frozen=True, slots=True)
class Receiver:
    """The receiver of an event."""

    url: str
    secret: str
    private: bool


class WebhookDelivery:
    """Delivers one event per run.

    Args:
        commands: The store, which holds the secret for callbacks to URLs without a configured webhook.
    """

    def __init__(self, settings: Settings, commands: RedisCommands) -> None:
        self._settings = settings
        self._commands = commands
        self._client: httpx.AsyncClient | None = None

    def subscribes(self, webhook: str, job_id: str, request_type: str, state: str) -> bool:
        """Tell whether a webhook is subscribed to such events; a URL without a configured webhook gets all."""
        configured = self._settings.webhooks.get(webhook)
        if configured is None:
            return True
        return not {event_type(state), native_event_type(job_id, request_type, state)}.isdisjoint(configured.events)

    def subscribers(self, event: str) -> list[str]:
        """Return the names of the webhooks subscribed to an event."""
        return [name for name, webhook in self._settings.webhooks.items() if event in webhook.events]

    async def run(self, claim: Claim) -> Outcome | Deferral:
        """Attempt one delivery.

        Returns:
            A completed outcome on 2xx; a failed one on 410 or after three days; otherwise a deferral.
        """
        payload = orjson.loads(claim.payload)
        try:
            status = await self._post(payload)
        except PrivateAddress:
            return _failed(InternalError("The webhook's host does not resolve to a public address."))
        except (httpx.HTTPError, OSError) as error:
            status = 0
            log.info("webhook unreachable", extra={"about": payload["job"], "reason": type(error).__name__})
        if 200 <= status < 300:
            return Outcome(state=State.COMPLETED, status_code=200, result=b"{}")
        age_s = (claim.started_ms - claim.created_ms) / 1000
        delay_s = next_delay_s(age_s)
        if status == GONE or age_s + delay_s > GIVE_UP_S:
            log.warning("webhook delivery abandoned", extra={"about": payload["job"], "status": status})
            return _failed(
                UpstreamFailure(f"The webhook did not accept the event (last status: {status or 'no answer'}).")
            )
        return Deferral(delay_s=delay_s, reason="webhook_unanswered")

    async def _post(self, payload: Mapping[str, Any]) -> int:
        receiver = await self._receiver(payload["webhook"])
        if receiver is None:
            return GONE
        identity, body = _event(payload)
        headers = signed_headers(receiver.secret, identity, body)
        parts = urlsplit(receiver.url)
        url, extensions = receiver.url, {}
        if not receiver.private:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            address = await resolve_public(parts.hostname or "", port)
            netloc = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            url = urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
            headers["host"] = parts.netloc
            extensions = {"sni_hostname": parts.hostname}
        answer = await self._http().post(url, content=body, headers=headers, extensions=extensions)
        return answer.status_code

    async def _receiver(self, webhook: str) -> Receiver | None:
        """Resolve a webhook's name or URL by the current configuration; None: the name is no longer configured."""
        configured = self._settings.webhooks.get(webhook)
        if configured is not None:
            private = configured.allow_private_network or self._settings.server.allow_private_network
            return Receiver(configured.url, configured.secret.get_secret_value(), private)
        if "://" not in webhook:
            return None
        return Receiver(webhook, await callback_secret(self._commands), self._settings.server.allow_private_network)

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)
        return self._client

    async def aclose(self) -> None:
        """Close the connections to receivers."""
        if self._client is not None:
            await self._client.aclose()


def next_delay_s(age_s: float) -> float:
    """Return the seconds to the next attempt: half of the event's age, between five seconds and four hours."""
    return min(max(FIRST_DELAY_S, math.ceil(age_s / 2)), MAX_DELAY_S)


def _event(payload: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return id and body of the event of a delivery: the alert that it carries, or the end of a job."""
    event = payload.get("event")
    if event is not None:
        return event["id"], orjson.dumps(event)
    at = datetime.fromtimestamp(payload["at_ms"] / 1000, UTC)
    return event_id(payload["job"], payload["state"]), event_body(
        payload["job"], payload["request_type"], payload["state"], at
    )


def _failed(error: InternalError | UpstreamFailure) -> Outcome:
    return Outcome(state=State.FAILED, status_code=error.status, error=error.envelope()["error"])

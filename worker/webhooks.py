"""Tells webhooks how jobs ended, and of alerts.

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
    """Who is told."""

    url: str
    secret: str
    private: bool


class WebhookDelivery:
    """Delivers one event per run.

    Args:
        commands: Where the secret for callbacks to unnamed URLs is kept.
    """

    def __init__(self, settings: Settings, commands: RedisCommands) -> None:
        self._settings = settings
        self._commands = commands
        self._client: httpx.AsyncClient | None = None

    def wants(self, webhook: str, job_id: str, request_type: str, state: str) -> bool:
        """Whether the webhook asked for such events; an unnamed URL gets all."""
        configured = self._settings.webhooks.get(webhook)
        if configured is None:
            return True
        return not {event_type(state), native_event_type(job_id, request_type, state)}.isdisjoint(configured.events)

    def wanting(self, event: str) -> list[str]:
        """The webhooks that asked for such events."""
        return [name for name, said in self._settings.webhooks.items() if event in said.events]

    async def run(self, claim: Claim) -> Outcome | Deferral:
        """Try once.

        Returns:
            Completed on 2xx; otherwise when to try again, or, after three days or a 410, failed.
        """
        said = orjson.loads(claim.payload)
        try:
            status = await self._post(said)
        except PrivateAddress:
            return _failed(InternalError("The webhook's address is not public."))
        except (httpx.HTTPError, OSError) as error:
            status = 0
            log.info("webhook unreachable", extra={"about": said["job"], "reason": type(error).__name__})
        if 200 <= status < 300:
            return Outcome(state=State.COMPLETED, status_code=200, result=b"{}")
        age_s = (claim.started_ms - claim.created_ms) / 1000
        delay_s = next_delay_s(age_s)
        if status == GONE or age_s + delay_s > GIVE_UP_S:
            log.warning("webhook given up", extra={"about": said["job"], "status": status})
            return _failed(UpstreamFailure(f"The webhook answered {status or 'nothing'}."))
        return Deferral(delay_s=delay_s, reason="webhook_unanswered")

    async def _post(self, said: Mapping[str, Any]) -> int:
        receiver = await self._receiver(said["webhook"])
        if receiver is None:
            return GONE
        identity, body = _event(said)
        headers = signed_headers(receiver.secret, identity, body)
        parts = urlsplit(receiver.url)
        url, extensions = receiver.url, {}
        if not receiver.private:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            address = await resolve_public(parts.hostname or "", port)
            place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            url = urlunsplit((parts.scheme, place, parts.path or "/", parts.query, ""))
            headers["host"] = parts.netloc
            extensions = {"sni_hostname": parts.hostname}
        answer = await self._http().post(url, content=body, headers=headers, extensions=extensions)
        return answer.status_code

    async def _receiver(self, webhook: str) -> Receiver | None:
        """Who a name or URL means today; None: the name is configured no more."""
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
    """Seconds to the next try: each wait is half of all that went before, from five seconds to four hours."""
    return min(max(FIRST_DELAY_S, math.ceil(age_s / 2)), MAX_DELAY_S)


def _event(said: Mapping[str, Any]) -> tuple[str, bytes]:
    """Id and body of what a delivery tells: the event that it carries, or that of a job's end."""
    event = said.get("event")
    if event is not None:
        return event["id"], orjson.dumps(event)
    at = datetime.fromtimestamp(said["at_ms"] / 1000, UTC)
    return event_id(said["job"], said["state"]), event_body(said["job"], said["request_type"], said["state"], at)


def _failed(error: InternalError | UpstreamFailure) -> Outcome:
    return Outcome(state=State.FAILED, status_code=error.status, error=error.envelope()["error"])

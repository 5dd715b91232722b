"""The Redis keys of webhook deliveries: their table, and functions that build their names."""

import hashlib
import re

from shared.store.keyspace import Key

KEYS: tuple[Key, ...] = (
    Key("finops:delivery:<id>", "hash", "7 days while pending, then as configured", "an event and its delivery"),
    Key("finops:delivery:<id>:attempts", "list", "as the delivery; 50 entries", "when, status, time and answer"),
    Key("finops:endpoint:<endpoint>", "hash", "30 days, refreshed", "the circuit of a receiver of events"),
    Key("finops:endpoint:<endpoint>:waiting", "sorted set", "30 days, refreshed", "its deliveries, by when due"),
    Key("finops:deliveries:due", "sorted set", "permanent, empties itself", "endpoints, by when one is due"),
    Key("finops:deliveries:leases", "sorted set", "permanent, empties itself", "running attempts, by end of lease"),
    Key("finops:deliveries:counts", "hash", "permanent, empties itself", "running and pending, per key and endpoint"),
    Key("finops:deliveries:clock", "hash", "permanent, one", "sequence and fencing numbers"),
    Key("finops:deliveries:disabled", "sorted set", "permanent, 10,000 ids", "disabled endpoints"),
    Key("finops:deliveries:all", "sorted set", "permanent, 100,000 ids", "deliveries by age"),
    Key("finops:deliveries:status:<status>", "sorted set", "permanent, 100,000 ids", "the same, by status"),
    Key("finops:deliveries:webhook:<webhook>", "sorted set", "30 days, refreshed; 100,000 ids", "those of a webhook"),
    Key("finops:deliveries:event:<event>", "sorted set", "30 days, refreshed; 100,000 ids", "those of a type"),
    Key("finops:deliveries:job:<job>", "sorted set", "14 days or more; 1,000 ids", "those of a job"),
    Key("finops:webhooks:secret", "string", "permanent, one", "signs callbacks of calls without a virtual key"),
    Key("finops:webhooks:secret:<key>", "string", "permanent, one per key", "signs a virtual key's callbacks to URLs"),
    Key("finops:webhooks:rotated:<webhook>", "hash", "permanent, one per webhook", "the rotated secret of a webhook"),
)

ALL = "finops:deliveries:all"
DISABLED = "finops:deliveries:disabled"
KEYLESS_SECRET = "finops:webhooks:secret"  # noqa: S105 - a key's name
_ID = re.compile(r"evt_[0-9a-f]{32}\Z", re.ASCII)


def is_delivery_id(text: str) -> bool:
    """Tell whether a text has the form of a delivery's id; anything else must not become part of a key."""
    return _ID.match(text) is not None


def delivery(delivery_id: str) -> str:
    """The record of a delivery."""
    return f"finops:delivery:{delivery_id}"


def attempts(delivery_id: str) -> str:
    """The attempts of a delivery."""
    return f"finops:delivery:{delivery_id}:attempts"


def endpoint(endpoint_id: str) -> str:
    """The state of an endpoint."""
    return f"finops:endpoint:{endpoint_id}"


def by_status(status: str) -> str:
    """The list of deliveries in a status."""
    return f"finops:deliveries:status:{status}"


def by_webhook(webhook: str) -> str:
    """The list of deliveries of a webhook; empty: of URLs."""
    return f"finops:deliveries:webhook:{digest(webhook)}"


def by_event(event: str) -> str:
    """The list of deliveries of events of a type."""
    return f"finops:deliveries:event:{event}"


def by_job(job_id: str) -> str:
    """The list of deliveries of a job or batch."""
    return f"finops:deliveries:job:{digest(job_id)}"


def key_secret(key_id: str) -> str:
    """The secret that signs a virtual key's callbacks; the id is hashed, whatever it holds."""
    return f"{KEYLESS_SECRET}:{digest(key_id)}"


def rotated_secret(webhook: str) -> str:
    """The rotated secret of a configured webhook."""
    return f"finops:webhooks:rotated:{digest(webhook)}"


def digest(text: str) -> str:
    """Shorten a text to 32 hexadecimal characters."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]

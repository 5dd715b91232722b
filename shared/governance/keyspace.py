"""Every Redis key of governance; the documentation's table is printed from ``KEYS``, as that of the job engine."""

from typing import NamedTuple


class StoreKey(NamedTuple):
    """One kind of key: its name (parts in angle brackets vary), Redis type, when it goes, and what it is for."""

    pattern: str
    kind: str
    lifetime: str
    purpose: str

    @property
    def permanent(self) -> bool:
        """Whether the key may exist without an expiry."""
        return self.lifetime.startswith("permanent")


KEYS: tuple[StoreKey, ...] = (
    StoreKey("finops:meter:<kind>:<scope>:<window>:<start>", "hash", "its window + 1 hour", "used and held of a limit"),
    StoreKey("finops:meter:<kind>:<scope>:rolling:<window>", "hash", "the window + 1 hour", "the same, per slice"),
    StoreKey("finops:hold:<id>", "hash", "its deadline + 1 day", "what a call or job has reserved, and where"),
    StoreKey("finops:holds", "sorted set", "permanent, empties itself", "open reservations by their deadline"),
    StoreKey("finops:books", "hash", "permanent, one", "how long entries are kept, and which thresholds are told"),
    StoreKey("finops:ledger", "stream", "permanent, bounded", "one entry per outcome"),
    StoreKey("finops:usage:h:<hour>", "hash", "35 days (configurable)", "sums per group of an hour"),
    StoreKey("finops:usage:d:<day>", "hash", "400 days (configurable)", "sums per group of a day"),
    StoreKey("finops:writer:<process>", "string", "1 hour", "the last batch that a process booked"),
    StoreKey("finops:alerts", "stream", "permanent, 10,000 entries", "thresholds of budgets, unusual spending"),
    StoreKey("finops:alerted:<percent>:<meter>", "string", "the window + 1 hour", "a threshold is told once"),
    StoreKey("finops:alerted:anomaly:<key>:<day>", "string", "2 days", "unusual spending is told once a day"),
    StoreKey("finops:alerts:watch", "string", "ledger.anomaly_check_s", "a worker looks for unusual spending"),
    StoreKey("finops:key:<id>", "string", "permanent, one per key", "a virtual key: what it may use and spend"),
    StoreKey("finops:key:<id>:values", "set", "permanent, one per key", "the hashes of the values it has had"),
    StoreKey("finops:key:<name>:made", "string", "permanent, one per key", "a value was made for a configured key"),
    StoreKey("finops:keyhash:<hash>", "string", "permanent, or the grace period", "the key that a value belongs to"),
    StoreKey("finops:keys", "sorted set", "permanent, one", "virtual keys by age"),
    StoreKey("finops:keys:changed", "channel", "-", "ids of virtual keys that changed"),
    StoreKey("finops:audit", "stream", "permanent, 100,000 entries", "what administrators did"),
)

LEDGER = "finops:ledger"
ALERTS = "finops:alerts"
ALERT_WATCH = "finops:alerts:watch"
AUDIT = "finops:audit"
BOOKS = "finops:books"
KEY_SET = "finops:keys"
KEYS_CHANGED = "finops:keys:changed"


def key_record(key_id: str) -> str:
    """A virtual key's record."""
    return f"finops:key:{key_id}"


def key_values(key_id: str) -> str:
    """The names of the entries of all values that a key has had."""
    return f"finops:key:{key_id}:values"


def key_made(name: str) -> str:
    """Says that a configured key without a value was given one."""
    return f"finops:key:{name}:made"


def key_hash(digest: str) -> str:
    """The entry that leads from a value's hash to its key."""
    return f"finops:keyhash:{digest}"


def usage_hour(hour: str) -> str:
    """The sums of an hour, ``2026-11-22T21``."""
    return f"finops:usage:h:{hour}"


def usage_day(day: str) -> str:
    """The sums of a day, ``2026-11-22``."""
    return f"finops:usage:d:{day}"


def meter(kind: str, scope: str, window: str, start_ms: int) -> str:
    """A meter of a window of the calendar."""
    return f"finops:meter:{kind}:{scope}:{window}:{start_ms}"

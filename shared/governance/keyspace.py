"""Every Redis key of governance; the documentation's table is generated from ``KEYS``."""

from shared.store.keyspace import Key

KEYS: tuple[Key, ...] = (
    Key("finops:meter:<kind>:<scope>:<window>:<start>", "hash", "its window + 1 hour", "used and held of a limit"),
    Key("finops:meter:<kind>:<scope>:rolling:<window>", "hash", "the window + 1 hour", "the same, per slice"),
    Key("finops:values:<kind>:<scope>:<window>:<start>", "string", "its window + 1 hour", "values with a meter each"),
    Key("finops:run:<owner>:<run>", "hash", "30 days after its last use", "a run's budget, what it used and holds"),
    Key("finops:runs", "sorted set", "30 days after the last use, 100,000 entries", "runs by their last use"),
    Key("finops:raises", "hash", "the end of the last raise", "budgets that are raised for a time"),
    Key(
        "finops:hold:<id>",
        "hash",
        "10 minutes after it is settled; its deadline + 1 day",
        "what a call or job has reserved, and where",
    ),
    Key("finops:provider-batch:<id>", "hash", "9 days", "a provider's batch that is followed until it is booked"),
    Key("finops:provider-batches", "sorted set", "permanent, empties itself", "those batches, by the next look"),
    Key("finops:batch-view:<provider>:<id>", "hash", "30 days", "what callers see of a provider's batch under rescue"),
    Key("finops:prices", "hash", "permanent, one", "published prices that replace the package's"),
    Key("finops:holds", "sorted set", "permanent, empties itself", "open reservations by their deadline"),
    Key("finops:books", "hash", "permanent, one", "how long entries are kept, and which thresholds raise alerts"),
    Key("finops:ledger", "stream", "permanent, 1,000,000 entries", "cost entries, one per outcome"),
    Key("finops:usage:h:<hour>", "hash", "35 days (configurable)", "sums per group of an hour"),
    Key("finops:usage:d:<day>", "hash", "400 days (configurable)", "sums per group of a day"),
    Key("finops:usage:h:<hour>:groups", "hash", "as the sums", "how many groups of the hour's sums each key added"),
    Key("finops:usage:d:<day>:groups", "hash", "as the sums", "the same of the day"),
    Key(
        "finops:bookings",
        "stream",
        "permanent, empties itself",
        "of a shard other than 0: changes of limits and ledger",
    ),
    Key("finops:shards:booked", "hash", "permanent, 63 fields", "the last of these that was booked, by shard"),
    Key(
        "finops:shards:carrier",
        "string",
        "2 s, renewed",
        "of a shard other than 0: the worker that carries its bookings",
    ),
    Key("finops:writer:<process>", "string", "1 hour", "the last batch that a process booked"),
    Key("finops:alerts", "stream", "permanent, 10,000 entries", "thresholds of budgets, unusual spending"),
    Key("finops:alerted:<percent>:<meter>", "string", "the window + 1 hour", "a threshold alerts once"),
    Key("finops:alerted:anomaly:<key>:<day>", "string", "2 days", "unusual spending alerts once a day"),
    Key("finops:alerts:watch", "string", "ledger.anomaly_check_s", "a worker looks for unusual spending"),
    Key("finops:key:<id>", "string", "permanent, one per key", "a virtual key: what it may use and spend"),
    Key("finops:key:<id>:values", "set", "permanent, one per key", "the hashes of the values it has had"),
    Key("finops:key:<name>:made", "string", "permanent, one per key", "a value was made for a configured key"),
    Key("finops:keyhash:<hash>", "string", "permanent, or the grace period", "the key that a value belongs to"),
    Key("finops:keys", "sorted set", "permanent, one", "virtual keys by age"),
    Key("finops:keys:deleted", "string", "permanent, one", "a virtual key was deleted: one is still required"),
    Key("finops:keys:changed", "channel", "-", "ids of virtual keys that changed"),
    Key("finops:session:<hash>", "string", "12 hours", "a console session: who is signed in"),
    Key("finops:session-ticket:<hash>", "string", "2 minutes", "a one-time way into the console"),
    Key("finops:token:<id>", "string", "the token's end", "an API token: name, role and the hash of its value"),
    Key("finops:tokens", "sorted set", "permanent, 1,000 entries", "API tokens by their end"),
    Key("finops:audit", "stream", "permanent, 100,000 entries", "what administrators did"),
)

ENTRY_VERSION = 1
"""Of the ledger's entries; readers leave out entries of a later one."""

NAMES_IN_HASHES = {b"finops:hold:": b"meters"}
"""Fields whose JSON holds names of keys, which carry the hash tag on a cluster, by how their hash's name begins."""

RUNS = "finops:runs"
HOLDS = "finops:holds"
PROVIDER_BATCHES = "finops:provider-batches"
PRICES = "finops:prices"
RAISES = "finops:raises"
LEDGER = "finops:ledger"
ALERTS = "finops:alerts"
ALERT_WATCH = "finops:alerts:watch"
AUDIT = "finops:audit"
BOOKS = "finops:books"
BOOKINGS = "finops:bookings"
CARRIER = "finops:shards:carrier"
TOKENS = "finops:tokens"
KEY_SET = "finops:keys"
KEYS_DELETED = "finops:keys:deleted"
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


def run(owner: str, run_id: str) -> str:
    """The budget and the counters of a run."""
    return f"finops:run:{owner}:{run_id}"


def session(digest: str) -> str:
    """A console session, by the hash of its token."""
    return f"finops:session:{digest}"


def session_ticket(digest: str) -> str:
    """A one-time way into the console, by its hash."""
    return f"finops:session-ticket:{digest}"


def token(token_id: str) -> str:
    """An API token's record."""
    return f"finops:token:{token_id}"


def followed_batch(batch_id: str) -> str:
    """A provider's batch that is followed."""
    return f"finops:provider-batch:{batch_id}"


def batch_view(provider: str, batch_id: str) -> str:
    """What callers see of a provider's batch that is rescued."""
    return f"finops:batch-view:{provider}:{batch_id}"


def usage_hour(hour: str) -> str:
    """The sums of an hour, ``2026-11-22T21``."""
    return f"finops:usage:h:{hour}"


def usage_day(day: str) -> str:
    """The sums of a day, ``2026-11-22``."""
    return f"finops:usage:d:{day}"


def meter(kind: str, scope: str, window: str, start_ms: int) -> str:
    """A meter of a window of the calendar."""
    return f"finops:meter:{kind}:{scope}:{window}:{start_ms}"

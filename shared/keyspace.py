"""The union of all tables of Redis keys; the documentation and the tests read it."""

from shared.alerts import keys as alerts
from shared.batches import keys as batches
from shared.cache import keyspace as cache
from shared.governance import keyspace as governance
from shared.inference import keys as inference
from shared.jobs import keys as jobs
from shared.patience import keys as patience
from shared.providers.health import keys as health
from shared.schedules import keys as schedules
from shared.store import probe, reloads, schema, shards
from shared.store.keyspace import Key
from shared.webhooks import keys as webhooks

KEYS_BY_OWNER: dict[str, tuple[Key, ...]] = {
    "jobs": jobs.KEYS,
    "schedules": schedules.KEYS,
    "patience": patience.KEYS,
    "batches": batches.KEYS,
    "inference": inference.KEYS,
    "health": health.KEYS,
    "governance": governance.KEYS,
    "cache": cache.KEYS,
    "store": (*probe.KEYS, *reloads.KEYS, *schema.KEYS, *shards.KEYS),
    "webhooks": webhooks.KEYS,
    "alerts": alerts.KEYS,
}
"""The tables by their owner."""

ALL_KEYS: tuple[Key, ...] = tuple(key for table in KEYS_BY_OWNER.values() for key in table)

"""Checks of the job store."""

import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from shared import clock
from shared.checks.alerts import check_alerts
from shared.checks.cache import judge_cache
from shared.checks.encryption import check_encryption
from shared.checks.findings import Finding, fail, ok, unstyled, warn
from shared.checks.growth import check_growth
from shared.checks.parts import check_inside
from shared.checks.queue import check_queue
from shared.checks.rights import check_rights
from shared.checks.shards import check_shards_of, other_shards
from shared.errors import StoreUnavailable
from shared.governance.ledger.reports import Reports, UsageQuery
from shared.jobs import keys
from shared.settings.model import Settings
from shared.store.address import names_cluster
from shared.store.commands import PooledCommands, RedisCommands, translated_faults
from shared.store.connection import StoreFacts, connect, describe, mask
from shared.store.errors import StoreConnectionError
from shared.store.hash_tag import engine_tag
from shared.store.requirements import CLUSTER_FIX, CLUSTER_MODE
from shared.store.schema import NewerSchema, UnfinishedMigration, check_schema
from shared.webhooks.store import DeliveryStore

_REFUSED = ("Authentication required", "WRONGPASS", "invalid username-password", "NOAUTH", "AUTH failed")
OLDEST = {"redis": (7, 0), "valkey": (7, 2)}
# The first releases of each branch without CVE-2025-49844: scripts of whoever may run them escape the Lua interpreter.
FIXED = {
    "redis": ((7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
    "valkey": ((7, 2, 11), (8, 0, 6), (8, 1, 4)),
}
FSYNC_FROM = (7, 2)  # WAITAOF: https://redis.io/docs/latest/commands/waitaof/
SLOW_MS = 5.0
TOO_SLOW_MS = 50.0
SKEW_S = 1.0
FULL = 0.8
UNPRICED_DAYS = 7
LISTED = 10
MEBIBYTE = 1024 * 1024


async def check_store(url: str, settings: Settings) -> list[Finding]:
    """Check the store: reachability, version, persistence, latency, clock, workers and unpriced calls."""
    try:
        redis = connect(url)
    except ValueError as error:
        return [fail("store", str(error), "correct FINOPS_REDIS_URL or [redis] url")]
    try:
        facts = await describe(redis)
        skew_s = await _clock_skew(redis)
        workers = await _count_workers(redis)
        unpriced = await find_unpriced(PooledCommands(redis))
        rights = await check_rights(PooledCommands(redis), settings)
        webhooks = await find_disabled_endpoints(PooledCommands(redis), settings)
        alerts = await check_alerts(PooledCommands(redis), settings)
        queue = await check_queue(PooledCommands(redis))
        schema = await _check_schema(PooledCommands(redis))
        inside = await check_inside(PooledCommands(redis), settings.ledger, clock.now())
        async with other_shards(url, settings) as others:
            schema += await check_shards_of(PooledCommands(redis), others, settings)
            encryption = await check_encryption(PooledCommands(redis), settings, others)
        # The memory of several shards is that of several servers.
        growth = await check_growth(PooledCommands(redis), facts, settings.jobs) if settings.redis.shards == 1 else []
    except (StoreConnectionError, StoreUnavailable) as error:
        return [_unusable(url, unstyled(str(error)))]
    finally:
        await redis.aclose()
    return [
        ok("store", mask(url)),
        *_judge(facts, settings),
        *growth,
        *schema,
        rights,
        _judge_skew(skew_s),
        _judge_workers(workers),
        unpriced,
        webhooks,
        *inside,
        *encryption,
        *queue,
        *alerts,
    ]


def _unusable(url: str, reason: str) -> Finding:
    """Describe why the store cannot be used: a refused password or user, else no answer."""
    if any(text in reason for text in _REFUSED):
        fix = "correct the user name and password in its URL: redis://:password@host or redis://user:password@host"
        return fail("store", f"{mask(url)} refuses the password: {reason}", fix)
    problem = f"{mask(url)} does not answer: {reason.removeprefix('the store does not answer: ')}"
    return fail("store", problem, "start Redis there, or correct the URL; nothing can be queued until then")


def _judge(facts: StoreFacts, settings: Settings) -> Iterator[Finding]:
    yield _judge_version(facts)
    yield _judge_role(facts)
    if facts.is_cluster:
        yield _judge_cluster(settings)
    yield from _judge_replicas(facts, settings)
    yield from _judge_persistence(facts, settings)
    yield _judge_eviction(facts, allowed=settings.redis.allow_eviction)
    yield _judge_memory(facts, settings)
    yield from judge_cache(facts, settings.cache)
    yield _judge_latency(facts)


def _judge_cluster(settings: Settings) -> Finding:
    if settings.redis.url is None or not names_cluster(settings.redis.url.get_secret_value()):
        return fail("store mode", CLUSTER_MODE, CLUSTER_FIX)
    if settings.redis.shards > 1:
        return ok("store mode", f"cluster; {settings.redis.shards} shards, each in a slot of its own")
    return ok("store mode", f"cluster; all keys are in slot {engine_tag().slot}, on one primary")


def _judge_version(facts: StoreFacts) -> Finding:
    version = f"{facts.flavour} {'.'.join(map(str, facts.version)) or 'of unknown version'}"
    oldest = OLDEST.get(facts.flavour)
    if oldest is None or not facts.version:
        return warn(
            "store version", version, "the server is unknown; Redis 7 or Valkey 7.2 and newer are known to work"
        )
    if facts.version < oldest:
        return fail("store version", version, f"upgrade to {facts.flavour} {'.'.join(map(str, oldest))} or newer")
    fixed = first_fixed(facts.flavour, facts.version)
    if fixed is not None:
        return warn(
            "store version",
            f"{version}: its Lua interpreter is vulnerable (CVE-2025-49844) unless the distribution mended it",
            f"upgrade to {facts.flavour} {'.'.join(map(str, fixed))} or newer",
        )
    return ok("store version", version)


def first_fixed(flavour: str, version: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Return the first release without CVE-2025-49844 on a version's branch or the next one; None: it has the fix."""
    for fixed in FIXED[flavour]:
        if version[:2] <= fixed[:2]:
            return fixed if version < fixed else None
    return None


async def _check_schema(commands: RedisCommands) -> list[Finding]:
    try:
        await check_schema(commands)
    except UnfinishedMigration as error:
        return [fail("store schema", str(error), "run the same `finops store migrate` again")]
    except NewerSchema as error:
        return [fail("store schema", str(error), "upgrade this installation of finops")]
    return []


def _judge_role(facts: StoreFacts) -> Finding:
    if facts.role not in {None, "master"}:
        return fail("store role", f"a {facts.role}: it refuses writes", "use the URL of the primary")
    return ok("store role", "primary" if facts.role else "unknown")


def _judge_persistence(facts: StoreFacts, settings: Settings) -> Iterator[Finding]:
    check = "store persistence"
    if facts.appendfsync is not None:
        yield ok(check, f"append-only file, fsync {facts.appendfsync}")
    elif facts.persistent is None:
        yield warn(check, "unknown", "make sure that appendonly is yes: without it a restart loses accepted jobs")
    elif facts.persistent:
        yield warn(
            check,
            "snapshots, no append-only file",
            "set appendonly yes: a crash loses all jobs since then",
        )
    else:
        yield fail(
            check,
            "none: a restart loses every job",
            "set appendonly yes (by CONFIG SET, and in its file)",
        )
    if settings.jobs.durability == "fsync" and (facts.version < FSYNC_FROM or facts.appendfsync is None):
        yield fail(
            "durability",
            'jobs.durability = "fsync" has no effect on this store',
            "use Redis or Valkey 7.2 with appendonly yes",
        )


def _judge_replicas(facts: StoreFacts, settings: Settings) -> Iterator[Finding]:
    if settings.jobs.durability != "replicated":
        return
    wanted, found = settings.jobs.min_replicas, facts.replicas
    if found is None:
        yield warn("durability", "the number of replicas is unknown", f"make sure that {wanted} are connected")
    elif found < wanted:
        problem = f"{found} replicas are connected, jobs.min_replicas is {wanted}: every submit is refused"
        yield fail("durability", problem, "start replicas, or lower jobs.min_replicas")
    else:
        yield ok("durability", f"{found} replicas are connected, {wanted} must confirm a job")


def _judge_eviction(facts: StoreFacts, *, allowed: bool = False) -> Finding:
    policy = facts.eviction_policy
    if policy is None:
        return warn("store eviction", "unknown", "make sure that maxmemory-policy is noeviction")
    if policy == "noeviction":
        return ok("store eviction", policy)
    fix = "CONFIG SET maxmemory-policy noeviction: any other policy deletes accepted jobs when memory is short"
    if allowed:
        return warn("store eviction", f"{policy}, allowed by redis.allow_eviction", fix)
    return fail("store eviction", policy, f"{fix}; API and workers do not start, unless redis.allow_eviction is true")


def _judge_memory(facts: StoreFacts, settings: Settings) -> Finding:
    used, limit = facts.used_memory_bytes, facts.max_memory_bytes
    if used is None:
        return warn("store memory", "unknown", "monitor it outside FinOps")
    if not limit:
        return ok("store memory", f"{used / MEBIBYTE:.0f} MiB used, no limit")
    usage = f"{used / MEBIBYTE:.0f} of {limit / MEBIBYTE:.0f} MiB used"
    if settings.jobs.max_stored_mb * MEBIBYTE > limit and "max_stored_mb" in settings.jobs.model_fields_set:
        fix = "lower jobs.max_stored_mb below maxmemory: a full store refuses everybody's jobs"
        return warn("store memory", f"{usage}; one caller may fill it, with {settings.jobs.max_stored_mb:g} MiB", fix)
    if used < FULL * limit:
        return ok("store memory", usage)
    return warn("store memory", usage, "raise maxmemory, or shorten jobs.result_ttl_s: a full store refuses new jobs")


def _judge_latency(facts: StoreFacts) -> Finding:
    typical = statistics.median(facts.latency_ms)
    round_trip = f"{typical:.1f} ms per round trip"
    if typical < SLOW_MS:
        return ok("store latency", round_trip)
    fix = "move the store closer: every submit and every poll is one round trip"
    return (fail if typical > TOO_SLOW_MS else warn)("store latency", round_trip, fix)


def _judge_skew(skew_s: float) -> Finding:
    offset = f"{abs(skew_s):.2f} s {'ahead of' if skew_s > 0 else 'behind'} the store's"
    if abs(skew_s) < SKEW_S:
        return ok("clock", offset)
    fix = "synchronise this machine's clock (NTP): jobs use the store's clock, logs and webhook signatures this one"
    return warn("clock", offset, fix)


def _judge_workers(alive: int) -> Finding:
    if alive:
        return ok("workers", f"{alive} alive")
    return warn("workers", "none alive", "start one with `finops worker`; until then accepted jobs wait")


async def find_unpriced(commands: RedisCommands) -> Finding:
    """Find the models used in the last days that have no price.

    Raises:
        StoreConnectionError: The store does not answer.
    """
    now = datetime.now(UTC)
    query = UsageQuery(start=now - timedelta(days=UNPRICED_DAYS), end=now + timedelta(days=1), per="total")
    found = (await Reports(commands).summary(query)).unpriced
    if not found:
        return ok("prices", f"every call of the last {UNPRICED_DAYS} days has a price")
    models = [f"{unstyled(f'{provider}/{model}')} ({calls} calls)" for (provider, model), calls in found.items()]
    more = f" and {len(models) - LISTED} more" if len(models) > LISTED else ""
    first = next(f"{provider}/{model}" for provider, model in found)
    return warn(
        "prices",
        f"calls of the last {UNPRICED_DAYS} days without a price: {', '.join(models[:LISTED])}{more}",
        f'add their prices as [prices."{unstyled(first)}"] in finops.toml; until then no budget counts them',
    )


async def find_disabled_endpoints(commands: RedisCommands, settings: Settings) -> Finding:
    """Find receivers of events that are disabled because every delivery failed for a day.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    store = DeliveryStore(commands, settings.webhooks_delivery)
    disabled, pending = await store.disabled(), await store.pending()
    if not disabled:
        return ok("webhooks", f"no endpoint is disabled, {pending} deliveries are pending")
    names = [unstyled(name) for name in disabled[:LISTED]]
    more = f" and {len(disabled) - LISTED} more" if len(disabled) > LISTED else ""
    fix = "repair the receiver, then run `finops webhooks test NAME`: an endpoint that accepts an event is enabled"
    return warn("webhooks", f"disabled after failing for a day: {', '.join(names)}{more}", fix)


async def _clock_skew(redis: Redis) -> float:
    """Return how far this machine's clock is ahead of the store's, in seconds."""
    with translated_faults():
        before = time.time()
        seconds, microseconds = await redis.time()
        store_time = float(seconds) + float(microseconds) / 1_000_000
        return (before + time.time()) / 2 - store_time


async def _count_workers(redis: Redis) -> int:
    """Count the workers whose heartbeat has not expired."""
    with translated_faults():
        return len([key async for key in redis.scan_iter(match=keys.worker_health("*"), count=1000)])

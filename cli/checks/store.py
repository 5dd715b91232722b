"""What `finops doctor` looks at in the job store."""

import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click
from redis.asyncio import Redis

from cli.checks.findings import Finding, fail, ok, warn
from shared.errors import StoreUnavailable
from shared.governance.ledger.reports import Reports, UsageQuery
from shared.jobs import keys
from shared.settings.model import Settings
from shared.store.commands import PooledCommands, RedisCommands, translated_faults
from shared.store.connection import StoreFacts, connect, describe, mask
from shared.store.errors import StoreConnectionError

OLDEST = {"redis": (7, 0), "valkey": (7, 2)}
FSYNC_FROM = (7, 2)  # WAITAOF: https://redis.io/docs/latest/commands/waitaof/
SLOW_MS = 5.0
TOO_SLOW_MS = 50.0
SKEW_S = 1.0
FULL = 0.8
UNPRICED_DAYS = 7
NAMED = 10
MEBIBYTE = 1024 * 1024


async def check_store(url: str, settings: Settings) -> list[Finding]:
    """Look at the store: reachable, new enough, keeping what it is given, quick, in time, with workers."""
    try:
        redis = connect(url)
    except ValueError as error:
        return [fail("store", str(error), "correct FINOPS_REDIS_URL or [redis] url")]
    try:
        facts = await describe(redis)
        skew_s = await _clock_skew(redis)
        workers = await _count_workers(redis)
        unpriced = await find_unpriced(PooledCommands(redis))
    except (StoreConnectionError, StoreUnavailable) as error:
        said = f"{mask(url)} does not answer: {click.unstyle(str(error))}"
        return [fail("store", said, "start Redis there, or correct the URL; nothing can be queued until then")]
    finally:
        await redis.aclose()
    return [ok("store", mask(url)), *_judge(facts, settings), _judge_skew(skew_s), _judge_workers(workers), unpriced]


def _judge(facts: StoreFacts, settings: Settings) -> Iterator[Finding]:
    yield _judge_version(facts)
    yield _judge_role(facts)
    yield from _judge_persistence(facts, settings)
    yield _judge_eviction(facts)
    yield _judge_memory(facts)
    yield _judge_latency(facts)


def _judge_version(facts: StoreFacts) -> Finding:
    said = f"{facts.flavour} {'.'.join(map(str, facts.version)) or 'of unknown version'}"
    oldest = OLDEST.get(facts.flavour)
    if oldest is None or not facts.version:
        return warn(
            "store version", said, "it does not say what it is; Redis 7 or Valkey 7.2 and newer are known to do"
        )
    if facts.version < oldest:
        return fail("store version", said, f"upgrade to {facts.flavour} {'.'.join(map(str, oldest))} or newer")
    return ok("store version", said)


def _judge_role(facts: StoreFacts) -> Finding:
    if facts.role not in {None, "master"}:
        return fail("store role", f"a {facts.role}: it refuses writes", "name the primary's URL")
    return ok("store role", "primary" if facts.role else "not told")


def _judge_persistence(facts: StoreFacts, settings: Settings) -> Iterator[Finding]:
    check = "store persistence"
    if facts.appendfsync is not None:
        yield ok(check, f"append-only file, fsync {facts.appendfsync}")
    elif facts.persistent is None:
        yield warn(check, "not told", "make sure that appendonly is yes: without it a restart loses accepted jobs")
    elif facts.persistent:
        yield warn(
            check, "snapshots, no append-only file", "set appendonly yes: a crash loses the jobs since the last one"
        )
    else:
        yield fail(
            check, "none: a restart loses every job", "set appendonly yes (CONFIG SET appendonly yes, and in its file)"
        )
    if settings.jobs.durability == "fsync" and (facts.version < FSYNC_FROM or facts.appendfsync is None):
        yield fail(
            "durability", 'jobs.durability = "fsync" cannot be kept here', "use Redis or Valkey 7.2 with appendonly yes"
        )


def _judge_eviction(facts: StoreFacts) -> Finding:
    policy = facts.eviction_policy
    if policy is None:
        return warn("store eviction", "not told", "make sure that maxmemory-policy is noeviction")
    if policy == "noeviction":
        return ok("store eviction", policy)
    fix = "CONFIG SET maxmemory-policy noeviction: anything else throws accepted jobs away when memory is short"
    judge = fail if facts.max_memory_bytes else warn
    return judge("store eviction", policy, fix)


def _judge_memory(facts: StoreFacts) -> Finding:
    used, most = facts.used_memory_bytes, facts.max_memory_bytes
    if used is None:
        return warn("store memory", "not told", "watch it elsewhere")
    if not most:
        return ok("store memory", f"{used / MEBIBYTE:.0f} MiB used, no limit")
    said = f"{used / MEBIBYTE:.0f} of {most / MEBIBYTE:.0f} MiB used"
    if used < FULL * most:
        return ok("store memory", said)
    return warn("store memory", said, "raise maxmemory, or shorten jobs.result_ttl_s: full, it refuses new jobs")


def _judge_latency(facts: StoreFacts) -> Finding:
    typical = statistics.median(facts.latency_ms)
    said = f"{typical:.1f} ms a round trip"
    if typical < SLOW_MS:
        return ok("store latency", said)
    fix = "bring the store closer: every submit and every poll is one round trip"
    return (fail if typical > TOO_SLOW_MS else warn)("store latency", said, fix)


def _judge_skew(skew_s: float) -> Finding:
    said = f"{abs(skew_s):.2f} s {'ahead of' if skew_s > 0 else 'behind'} the store's"
    if abs(skew_s) < SKEW_S:
        return ok("clock", said)
    fix = "synchronise this machine's clock (NTP): jobs go by the store's, logs and webhook signatures by this one"
    return warn("clock", said, fix)


def _judge_workers(alive: int) -> Finding:
    if alive:
        return ok("workers", f"{alive} alive")
    return warn("workers", "none alive", "start one with `finops worker`: jobs are accepted, and wait")


async def find_unpriced(commands: RedisCommands) -> Finding:
    """Name the models that were used of late though nobody knows what they cost.

    Raises:
        StoreConnectionError: No answer.
    """
    now = datetime.now(UTC)
    query = UsageQuery(start=now - timedelta(days=UNPRICED_DAYS), end=now + timedelta(days=1), per="total")
    found = (await Reports(commands).summary(query)).unpriced
    if not found:
        return ok("prices", f"every call of the last {UNPRICED_DAYS} days has one")
    named = [f"{click.unstyle(f'{provider}/{model}')} ({calls} calls)" for (provider, model), calls in found.items()]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    first = next(f"{provider}/{model}" for provider, model in found)
    return warn(
        "prices",
        f"in no cost of the last {UNPRICED_DAYS} days: {', '.join(named[:NAMED])}{more}",
        f'say what they cost, as [prices."{click.unstyle(first)}"] in finops.toml: until then no budget counts them',
    )


async def _clock_skew(redis: Redis) -> float:
    """How far this machine's clock is ahead of the store's, in seconds."""
    with translated_faults():
        before = time.time()
        seconds, microseconds = await redis.time()
        theirs = float(seconds) + float(microseconds) / 1_000_000
        return (before + time.time()) / 2 - theirs


async def _count_workers(redis: Redis) -> int:
    """Workers whose sign of life has not expired."""
    with translated_faults():
        return len([key async for key in redis.scan_iter(match=keys.worker_health("*"), count=1000)])

"""Projects how much memory jobs take in an hour, at the rate at which they come now."""

from statistics import fmean

from redis.exceptions import ResponseError

from shared.checks.findings import Finding, ok, warn
from shared.jobs import keys
from shared.settings.model import JobSettings
from shared.store.commands import RedisCommands
from shared.store.connection import StoreFacts
from shared.store.errors import StoreRefused

CHECK = "store growth"
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
SAMPLES = 20
LISTED = 100_000  # ids in the list of all jobs
MEBIBYTE = 1024 * 1024


async def check_growth(commands: RedisCommands, facts: StoreFacts, settings: JobSettings) -> list[Finding]:
    """Project the store's memory an hour ahead; no finding where nothing comes, or the store does not tell sizes.

    What comes in an hour is what came in the last minute, sixty times; what goes are the jobs that end their life
    meanwhile: those that are there now, if results live for an hour or less.

    Args:
        commands: The store.
        facts: Its memory and the limit of it.
        settings: How long results live.

    Raises:
        StoreConnectionError: No answer.
    """
    last_minute, last_hour = await _count_jobs(commands)
    job_bytes = await _bytes_of_a_job(commands) if last_minute else None
    if job_bytes is None or facts.used_memory_bytes is None:
        return []
    lifetime_h = min(1.0, settings.result_ttl_s * 1000 / HOUR_MS)
    coming = max(0.0, (last_minute * HOUR_MS / MINUTE_MS - last_hour) * lifetime_h)
    per_s = last_minute * 1000 / MINUTE_MS
    return [_judge(facts.used_memory_bytes, facts.max_memory_bytes or 0, per_s, job_bytes, int(coming * job_bytes))]


async def _count_jobs(commands: RedisCommands) -> tuple[float, float]:
    """Return how many jobs came in the last minute and hour; where the list is full, by how fast it fills."""
    seconds, _ = await commands.execute("TIME", retry_safe=True)
    now_ms = int(seconds) * 1000
    minute, hour, oldest = await commands.execute_many(
        [
            ("ZCOUNT", keys.ALL_JOBS, now_ms - MINUTE_MS, "+inf"),
            ("ZCOUNT", keys.ALL_JOBS, now_ms - HOUR_MS, "+inf"),
            ("ZRANGE", keys.ALL_JOBS, 0, 0, "WITHSCORES"),
        ],
        retry_safe=True,
    )
    span_ms = max(1.0, now_ms - float(oldest[1])) if oldest else 1.0

    def in_all(count: int, window_ms: int) -> float:
        return count if count < LISTED else count * window_ms / span_ms

    return in_all(int(minute), MINUTE_MS), in_all(int(hour), HOUR_MS)


def _judge(used: int, limit: int, per_s: float, job_bytes: float, growth: int) -> Finding:
    rate = f"{per_s:.3g} jobs/s of {job_bytes / 1024:.3g} KiB"
    message = f"{rate}: {(used + growth) / MEBIBYTE:.0f} MiB in an hour, {used / MEBIBYTE:.0f} MiB now"
    if not limit or used + growth <= limit:
        return ok(CHECK, message)
    minutes = max(0.0, 60 * (limit - used) / growth) if growth else 0.0
    fix = "raise maxmemory, shorten jobs.result_ttl_s, or keep large bodies in an object store ([blobs])"
    return warn(CHECK, f"{message}; its limit of {limit / MEBIBYTE:.0f} MiB is reached in {minutes:.0f} minutes", fix)


async def _bytes_of_a_job(commands: RedisCommands) -> float | None:
    """Return the mean of the newest jobs; None: the store does not tell sizes."""
    ids = [
        found.decode() for found in await commands.execute("ZREVRANGE", keys.ALL_JOBS, 0, SAMPLES - 1, retry_safe=True)
    ]
    names = [(keys.job(id_), keys.payload(id_), keys.result(id_), keys.events(id_)) for id_ in ids]
    try:
        sizes = await commands.execute_many(
            [("MEMORY", "USAGE", name) for of_job in names for name in of_job], retry_safe=True
        )
    except (StoreRefused, ResponseError):
        return None
    return fmean(sum(size or 0 for size in sizes[at : at + 4]) for at in range(0, len(sizes), 4)) if sizes else None

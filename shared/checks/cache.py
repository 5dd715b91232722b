"""Checks of the cache's configuration against the store that holds it."""

from collections.abc import Iterator

from shared.checks.findings import Finding, ok, warn
from shared.settings.cache import CacheSettings
from shared.store.connection import StoreFacts

MEBIBYTE = 1024 * 1024
# A cache may take so much of a store that refuses jobs when it is full.
MOST_OF_STORE = 0.25


def judge_cache(facts: StoreFacts, settings: CacheSettings) -> Iterator[Finding]:
    """Check that a cache leaves the job store its room, and that its sharing is meant; nothing if it is off.

    Args:
        facts: Of the job store.
        settings: Of the cache.
    """
    if settings.mode == "off":
        return
    problems = []
    if settings.url is None and facts.max_memory_bytes and _takes_too_much(facts.max_memory_bytes, settings):
        most = int(facts.max_memory_bytes * MOST_OF_STORE) // MEBIBYTE
        fix = f"set cache.max_mb to at most {most}, or cache.url to a store of its own: a full job store refuses jobs"
        limit = facts.max_memory_bytes // MEBIBYTE
        problems.append(warn("cache", f"{settings.max_mb} MiB of the job store's {limit} MiB", fix))
    if settings.scope == "shared":
        fix = 'set cache.scope = "key" unless every key may see the answers to every other key\'s requests'
        problems.append(warn("cache", "all keys share one cache", fix))
    yield from problems or [ok("cache", f"{settings.mode}, per {settings.scope}, at most {settings.max_mb} MiB")]


def _takes_too_much(limit_bytes: int, settings: CacheSettings) -> bool:
    return settings.max_mb * MEBIBYTE > limit_bytes * MOST_OF_STORE

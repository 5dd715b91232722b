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
    if settings.mode == "semantic":
        problems += _judge_semantic(facts, settings)
    yield from problems or [ok("cache", f"{settings.mode}, per {settings.scope}, at most {settings.max_mb} MiB")]


def _judge_semantic(facts: StoreFacts, settings: CacheSettings) -> Iterator[Finding]:
    """Check that processes share the vectors of questions; with `cache.url` that store is not looked at."""
    semantic = settings.semantic
    if semantic.index == "auto" and settings.url is None and facts.vector_search is None:
        problem = "the store has no vector search: each process finds only the questions that it answered itself"
        yield warn("cache", problem, "use Redis 8 or a store with FT.SEARCH, at least as cache.url")
    if semantic.guards == "basic":
        problem = 'with guards = "basic", 25 of 300 traps of fow-cache pass at 0.85; only audits stop them'
        yield warn("cache", problem, 'set cache.semantic.guards = "strict"')


def _takes_too_much(limit_bytes: int, settings: CacheSettings) -> bool:
    return settings.max_mb * MEBIBYTE > limit_bytes * MOST_OF_STORE

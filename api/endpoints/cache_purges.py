"""Purges of stored answers, for callers and administrators."""

from starlette.responses import Response

from api.endpoints.deps import as_response
from api.http.cache_models import OwnPurge
from api.http.request_context import json_reply
from api.services import Services
from shared.cache.purge import Purge
from shared.cache.store import CacheStore
from shared.providers.registry import DEFAULT_PROVIDER


def cache_store(services: Services) -> CacheStore:
    """Return the stored answers: also those of a cache that was on before."""
    cache = services.inference.cache
    return CacheStore(services.commands, services.settings.cache) if cache is None else cache.store


async def purge(services: Services, body: OwnPurge, scope: str) -> Response:
    """Purge stored answers.

    Args:
        services: The application's.
        body: Which ones.
        scope: Hash of whose; empty: all.

    Raises:
        StoreUnavailable: No answer.
    """
    model = body.model or ""
    purge = Purge(
        scope=scope,
        partition=body.cache_key or "",
        model=model if "/" in model or not model else f"{DEFAULT_PROVIDER}/{model}",
        before=None if body.before is None else body.before.timestamp(),
    )
    count = await cache_store(services).purge(purge, dry_run=body.dry_run)
    return as_response(json_reply({"object": "cache.purge", "purged": count, "dry_run": body.dry_run}))

"""``/api/cache``: what the cache holds and did, and purges of any caller's stored answers."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.cache_purges import cache_store, purge
from api.endpoints.deps import ContextDep, ServicesDep, as_response
from api.http.cache_models import CacheAnswer, EntryDeleted, OwnPurge, Purge, PurgeAnswer, ShadowAnswer
from api.http.request_context import AuditEvent, json_reply
from shared import clock
from shared.cache.audit_log import Family
from shared.cache.evidence import STEPS, Evidence, step_of, upper_bound
from shared.cache.identity import named_scope
from shared.errors import InvalidRequest, NotFound
from shared.settings.cache import CacheSettings

router = admin_router("/api/cache")

MAX_DAYS = 35
MICRO = 1_000_000
_SHADOW_SETTINGS = ("shadow", "embedding", "guards", "similarity", "max_wrong", "min_comparisons")


@router.get("", summary="Get the cache's size, hits and savings", response_model=CacheAnswer)
async def get_cache(services: ServicesDep, days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = 7) -> Response:
    """Counts are of the last days, today included; processes write them every second."""
    settings, store = services.settings.cache, cache_store(services)
    today = clock.now()
    counts = await store.counts([f"{today - timedelta(days=ago):%Y-%m-%d}" for ago in range(days)])
    entries, size = await store.size()
    lookups = {name: counts.get(name, 0) for name in ("hit", "miss", "bypass")}
    looked_up = lookups["hit"] + lookups["miss"]
    return as_response(
        json_reply(
            {
                "object": "cache",
                "mode": settings.mode,
                "when": settings.when,
                "scope": settings.scope,
                "entries": entries,
                "bytes": size,
                "max_bytes": settings.max_mb * 1024 * 1024,
                "days": days,
                "lookups": lookups,
                "hit_rate": round(lookups["hit"] / looked_up, 4) if looked_up else None,
                "stored": counts.get("stored", 0),
                "saved_usd": counts.get("saved_micro_usd", 0) / MICRO,
            }
        )
    )


@router.get("/shadow", summary="Get how far semantic matches can be trusted", response_model=ShadowAnswer)
async def get_shadow(services: ServicesDep) -> Response:
    """Answers that were or would have been served are compared with those that came; of the last 30 days."""
    cache = services.settings.cache
    families = await cache_store(services).audits.families()
    settings = cache.semantic.model_dump(include=set(_SHADOW_SETTINGS))
    data = [_shadow_family(family, evidence, cache) for family, evidence in families]
    return as_response(json_reply({"object": "cache.shadow", "mode": cache.mode, **settings, "data": data}))


def _shadow_family(family: Family, evidence: Evidence, cache: CacheSettings) -> dict[str, Any]:
    semantic = cache.semantic
    lowest = evidence.serves_from(step_of(semantic.similarity), semantic.max_wrong, semantic.min_comparisons)
    seen, wrong = evidence.counts(0)
    is_used = cache.mode == "semantic" and not semantic.shadow
    return {
        "scope": family.scope,
        "model": family.model,
        "state": "shadow" if not is_used else "learning" if lowest is None else "serving",
        "compared": seen,
        "disagreed": wrong,
        "wrong_upper_bound": round(upper_bound(seen, wrong), 4),
        "serves_from": None if lowest is None else lowest / STEPS,
        "by_similarity": [
            {"similarity": step / STEPS, "compared": count, "disagreed": evidence.wrong.get(step, 0)}
            for step, count in sorted(evidence.seen.items())
        ],
    }


@router.post("/purge", summary="Purge stored answers", response_model=PurgeAnswer)
async def purge_any(services: ServicesDep, context: ContextDep, body: Purge | None = None) -> Response:
    """No process serves them after the answer, and their texts are gone."""
    body = body or Purge()
    context.audit_event = AuditEvent(body.scope or "all", body.model_dump(mode="json", exclude_none=True))
    scope = named_scope(body.scope, services.settings.cache.scope) if body.scope else ""
    if body.scope and not scope:
        raise InvalidRequest("scope must be key:<id>, team:<name>, customer:<name> or shared.", param="scope")
    return await purge(services, body, scope)


@router.delete("/entries/{entry_id}", summary="Remove one stored answer", response_model=EntryDeleted)
@router.delete("/clear/{entry_id}", summary="Remove one stored answer (Bifrost's path)", response_model=EntryDeleted)
async def remove(entry_id: str, services: ServicesDep) -> Response:
    """By the id that its answers have in `x-bf-cache-id`."""
    if not await cache_store(services).remove(entry_id):
        raise NotFound(f"No stored answer has the id {entry_id[:64]!r}.", param="entry_id")
    return as_response(json_reply({"id": entry_id, "object": "cache.entry", "deleted": True}))


@router.delete("/clear-by-key/{cache_key}", summary="Purge a cache key (Bifrost's path)", response_model=PurgeAnswer)
async def clear_by_key(cache_key: str, services: ServicesDep) -> Response:
    """The stored answers of all callers whose requests had that `x-bf-cache-key`."""
    return await purge(services, OwnPurge(cache_key=cache_key), "")

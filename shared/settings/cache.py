"""Settings of the cache of answers."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from shared.settings.section import Section

Collapse = Literal["off", "process", "all"]
CachedType = Literal["chat.completions", "responses", "completions", "embeddings", "moderations"]


def _known_cache_mode(value: object) -> object:
    if value == "semantic":
        raise ValueError("semantic is not available in this version; use near")
    return value


class NearSettings(Section):
    """Near matches.

    Attributes:
        similarity: How similar two questions' texts must be at least, 0 to 1, besides what the guards demand.
    """

    similarity: Annotated[float, Field(ge=0, le=1)] = 0.8


class CacheSettings(Section):
    """The cache of answers.

    Attributes:
        mode: ``exact`` serves an answer to equal requests, ``near`` also to the same question in other clothes.
        near: How near matches are made.
        when: ``asked``: only calls with ``x-bf-cache-key`` or ``Cache-Control: max-age`` use it.
        scope: Whose answers a caller may be served: its own key's, its team's, its customer's, or everybody's.
        ttl_s: How long answers are served.
        embeddings_ttl_s: The same, of embeddings and moderations.
        max_ttl_s: The longest life that a caller may ask for.
        stale_if_error_s: How long past its time to live an answer is served while the provider fails.
        stale_while_revalidate_s: How long past it an answer is served while a fresh one is fetched.
        collapse: Which identical calls in progress share one upstream call: those of a ``process``, ``all``, or none.
        max_entry_kb: Larger answers are not stored.
        max_mb: Of the store, for all entries together; those that expire first go first.
        types: Which requests are cached.
        url: A store of its own; absent: the job store.
        lookup_timeout_s: A look-up that takes longer is a miss.
    """

    mode: Annotated[Literal["off", "exact", "near"], BeforeValidator(_known_cache_mode)] = "off"
    near: NearSettings = NearSettings()
    when: Literal["always", "asked"] = "always"
    scope: Literal["key", "team", "customer", "shared"] = "key"
    ttl_s: Annotated[int, Field(ge=1, le=30 * 86_400)] = 3600
    embeddings_ttl_s: Annotated[int, Field(ge=1, le=30 * 86_400)] = 7 * 86_400
    max_ttl_s: Annotated[int, Field(ge=1, le=30 * 86_400)] = 7 * 86_400
    stale_if_error_s: Annotated[int, Field(ge=0, le=7 * 86_400)] = 0
    stale_while_revalidate_s: Annotated[int, Field(ge=0, le=7 * 86_400)] = 0
    collapse: Collapse = "process"
    max_entry_kb: Annotated[int, Field(ge=1, le=16 * 1024)] = 1024
    max_mb: Annotated[int, Field(ge=1, le=1024 * 1024)] = 256
    types: tuple[CachedType, ...] = ("chat.completions", "responses", "completions", "embeddings", "moderations")
    url: SecretStr | None = None
    lookup_timeout_s: Annotated[float, Field(gt=0, le=60)] = 0.05

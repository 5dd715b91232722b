"""Settings of the cache of answers."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from shared.settings.section import Section

Collapse = Literal["off", "process", "all"]
CachedType = Literal["chat.completions", "responses", "completions", "embeddings", "moderations"]
LOCAL_EMBEDDING = "local"
IndexKind = Literal["auto", "vectorset", "search", "memory"]


class NearSettings(Section):
    """Near matches.

    Attributes:
        similarity: How similar two questions' texts must be at least, 0 to 1, besides what the guards demand.
    """

    similarity: Annotated[float, Field(ge=0, le=1)] = 0.8


class SemanticSettings(Section):
    """Semantic matches.

    Attributes:
        embedding: The model that embeds questions, ``provider/model``, or ``local`` with the extra ``semantic``.
        similarity: The lowest cosine of two questions at which answers are compared or served.
        guards: What must agree besides: ``basic`` checks numbers, dates, names, negations and opposites, ``strict``
            also what is asked, and of what.
        shadow: Whether to serve nothing and only count how often the answer would have been right.
        max_wrong: Served is only what is wrong at most this often, with 95 % confidence.
        min_comparisons: Comparisons of one model in one scope without which nothing is served.
        audit: The share of matches that is also sent to the provider and compared.
        judge: A model that decides whether two answers say the same where their texts differ; empty: they do not.
        index: Where vectors are kept; ``auto``: in vector sets or a search index if the store has them, else in memory.
        timeout_s: An embedding that takes longer is a miss.
    """

    embedding: Annotated[str, Field(min_length=1, max_length=256)] = "openai/text-embedding-3-small"
    similarity: Annotated[float, Field(ge=0.5, le=1)] = 0.85
    guards: Literal["strict", "basic"] = "strict"
    shadow: bool = True
    max_wrong: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    min_comparisons: Annotated[int, Field(ge=5, le=2_000)] = 50
    audit: Annotated[float, Field(ge=0, le=1)] = 0.02
    judge: Annotated[str, Field(max_length=256)] = ""
    index: IndexKind = "auto"
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 1.0


class CacheSettings(Section):
    """The cache of answers.

    Attributes:
        mode: ``exact`` serves an answer to equal requests, ``near`` also to the same question in other clothes,
            ``semantic`` also to questions of the same meaning, as far as its audits allow.
        near: How near matches are made.
        semantic: How semantic matches are made.
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

    mode: Literal["off", "exact", "near", "semantic"] = "off"
    near: NearSettings = NearSettings()
    semantic: SemanticSettings = SemanticSettings()
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

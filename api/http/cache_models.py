"""Bodies and answers of the cache's endpoints, for ``/openapi.json``."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from shared import clock
from shared.settings.section import Section

SCOPE_EXAMPLE = "key:vk_0123456789abcdef"
Text = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]


class OwnPurge(Section):
    """Which of the caller's stored answers to purge: those that all given fields name; without fields, all."""

    cache_key: Annotated[Text | None, Field(description="The `x-bf-cache-key` of their requests.")] = None
    model: Annotated[Text | None, Field(description="`provider/model` that made them.", examples=["openai/gpt-4o"])] = (
        None
    )
    before: Annotated[
        AwareDatetime | None, Field(description="Only older ones: RFC 3339 or Unix seconds. Default: now.")
    ] = None
    dry_run: Annotated[bool, Field(description="Count them, and purge nothing.")] = False

    @field_validator("before")
    @classmethod
    def _past(cls, value: datetime | None) -> datetime | None:
        if value is not None and value > clock.now():
            raise ValueError("must not be in the future")
        return value


class Purge(OwnPurge):
    """Which stored answers to purge: those that all given fields name; without fields, all."""

    scope: Annotated[
        Text | None,
        Field(
            description="Whose: `key:<id>`, `team:<name>`, `customer:<name>` or `shared`; a bare name is of the "
            "configured kind.",
            examples=[SCOPE_EXAMPLE],
        ),
    ] = None


class PurgeAnswer(BaseModel):
    """What a purge removed."""

    model_config = ConfigDict(json_schema_extra={"example": {"object": "cache.purge", "purged": 12, "dry_run": False}})

    object: Literal["cache.purge"]
    purged: int = Field(description="Number of answers; of a dry run, that would be purged.")
    dry_run: bool


class EntryDeleted(BaseModel):
    """A stored answer that was removed."""

    id: str
    object: Literal["cache.entry"]
    deleted: bool


class Lookups(BaseModel):
    """Calls by what came of their look-up."""

    hit: int
    miss: int
    bypass: int = Field(description="Requests that do not use the cache, such as those with a provider's own tools.")


class SimilarityCounts(BaseModel):
    """Comparisons at one similarity."""

    similarity: float = Field(description="Cosine of the two questions, rounded down to hundredths.")
    compared: int
    disagreed: int


class ShadowFamily(BaseModel):
    """The evidence of semantic matches of one model in one scope."""

    scope: str = Field(description="Whose answers, such as `key:team-a`.")
    model: str = Field(description="`provider/model` that answered.")
    state: Literal["shadow", "learning", "serving"] = Field(
        description="`serving`: from `serves_from` on; `learning`: nothing yet; `shadow`: nothing, as configured."
    )
    compared: int = Field(description="Matches whose answers were compared.")
    disagreed: int = Field(description="Those that would have been wrong.")
    wrong_upper_bound: float = Field(description="95 % upper bound of wrong answers among all that were compared.")
    serves_from: float | None = Field(
        description="The lowest similarity whose matches may be served, also in shadow mode; null: none."
    )
    by_similarity: list[SimilarityCounts]


class ShadowAnswer(BaseModel):
    """How far semantic matches can be trusted."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "object": "cache.shadow",
                "mode": "semantic",
                "shadow": True,
                "embedding": "openai/text-embedding-3-small",
                "guards": "strict",
                "similarity": 0.85,
                "max_wrong": 0.01,
                "min_comparisons": 50,
                "data": [
                    {
                        "scope": "key:support",
                        "model": "openai/gpt-4o",
                        "state": "shadow",
                        "compared": 320,
                        "disagreed": 0,
                        "wrong_upper_bound": 0.0093,
                        "serves_from": 0.85,
                        "by_similarity": [{"similarity": 0.93, "compared": 320, "disagreed": 0}],
                    }
                ],
            }
        }
    )

    object: Literal["cache.shadow"]
    mode: str
    shadow: bool = Field(description="Whether nothing is served, whatever the evidence.")
    embedding: str
    guards: str
    similarity: float = Field(description="The lowest similarity that is compared.")
    max_wrong: float = Field(description="The largest allowed share of wrong answers among those served.")
    min_comparisons: int
    data: list[ShadowFamily]


class CacheAnswer(BaseModel):
    """How the cache is configured, what it holds, and what it did."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "object": "cache",
                "mode": "exact",
                "when": "always",
                "scope": "key",
                "entries": 1200,
                "bytes": 3_400_000,
                "max_bytes": 268_435_456,
                "days": 7,
                "lookups": {"hit": 300, "miss": 700, "bypass": 12},
                "hit_rate": 0.3,
                "stored": 690,
                "saved_usd": 1.25,
            }
        }
    )

    object: Literal["cache"]
    mode: str
    when: str
    scope: str
    entries: int
    bytes: int
    max_bytes: int
    days: int = Field(description="Number of days that the counts are of, today included.")
    lookups: Lookups
    hit_rate: float | None = Field(description="Hits among hits and misses; null without any.")
    stored: int = Field(description="Answers stored.")
    saved_usd: float = Field(description="What the served answers would have cost at list prices.")

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

"""Response models of schedules, for ``/openapi.json``."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

REQUEST: JsonDict = {
    "type": "chat.completions",
    "body": {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "Summarise yesterday's spend."}]},
    "headers": {"x-bf-async-priority": "low"},
}
SCHEDULE: JsonDict = {
    "id": "sched_7c1d3f5a9b2e4d6f8a0c1e3b5d7f9a2c4e6b8d0f1a2b3c4d",
    "object": "schedule",
    "name": "morning report",
    "status": "active",
    "cron": "30 6 * * MON-FRI",
    "timezone": "Europe/Berlin",
    "request": REQUEST,
    "catch_up": "last",
    "max_active": 1,
    "created_at": "2026-11-22T20:43:30.125Z",
    "updated_at": "2026-11-22T20:43:30.125Z",
    "next_run_at": "2026-11-23T05:30:00.000Z",
    "last_run_at": "2026-11-20T05:30:00.000Z",
    "last_job_id": "5d2f7a52-5f0c-5b8c-9d0e-3b1f6a1c2d3e",
    "fired": 12,
    "skipped": 1,
    "last_error": None,
}


class SkipAnswer(BaseModel):
    """Why the last firing did not become a job."""

    code: str
    message: str
    at: str


class ScheduleAnswer(BaseModel):
    """A schedule."""

    model_config = ConfigDict(json_schema_extra={"example": SCHEDULE})

    id: str
    object: Literal["schedule"]
    name: str | None
    status: Literal["active", "paused"]
    paused_reason: str | None = Field(None, description="`key_blocked`: its virtual key is no longer valid.")
    cron: str | None = Field(None, description="Absent with `every_s`.")
    timezone: str | None = Field(None, description="Of `cron`.")
    every_s: float | None = Field(None, description="Absent with `cron`.")
    request: dict[str, Any]
    catch_up: Literal["skip", "last"]
    max_active: int | None
    created_at: str
    updated_at: str
    next_run_at: str | None = Field(description="Null while it is paused.")
    last_run_at: str | None
    last_job_id: str | None
    fired: int = Field(description="Firings that became jobs.")
    skipped: int = Field(description="Firings that did not.")
    last_error: SkipAnswer | None
    key: str | None = Field(None, description="Id of the virtual key that made it; for administrators.")


class ScheduleList(BaseModel):
    """A page of schedules, newest first."""

    object: Literal["list"]
    data: list[ScheduleAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedSchedule(BaseModel):
    """A schedule that was deleted."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"id": SCHEDULE["id"], "object": "schedule", "deleted": True}}
    )

    id: str
    object: Literal["schedule"]
    deleted: bool

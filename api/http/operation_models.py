"""Response models of bulk operations, for ``/openapi.json``."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

_OPERATION: JsonDict = {
    "id": "op_7c1d3f5a9b2e4d6f8a0c1e3b5d7f9a2c4e6b8d0f1a2b3c4d",
    "object": "operation",
    "action": "cancel",
    "status": "running",
    "filter": {"label": ["app:search"], "status": ["pending"]},
    "matched": 1200,
    "done": 350,
    "skipped": 2,
    "failed": 0,
    "cost_usd": 0.42,
    "created_at": "2026-11-22T20:43:30.125Z",
    "started_at": "2026-11-22T20:43:30.410Z",
    "completed_at": None,
    "error": None,
}
_DRY_RUN: JsonDict = {
    "object": "operation.dry_run",
    "matched": 1200,
    "by_status": {"pending": 1200},
    "by_model": {"openai/gpt-4o": 1200},
    "by_key": {"team-a": 1200},
    "estimated_cost_usd": 1.44,
    "unpriced": 0,
}


class OperationFault(BaseModel):
    """Why the last job failed, or the operation itself."""

    code: str | None
    message: str


class OperationAnswer(BaseModel):
    """A bulk operation; at its end, ``matched`` is the sum of ``done``, ``skipped`` and ``failed``."""

    model_config = ConfigDict(json_schema_extra={"example": _OPERATION})

    id: str
    object: Literal["operation"]
    action: Literal["cancel", "retry", "delete", "reprioritize"]
    status: Literal["queued", "running", "completed", "cancelled", "failed"]
    filter: dict[str, Any]
    dead: bool | None = Field(None, description="Only jobs of the dead-letter list.")
    priority: str | None = Field(None, description="The new one, of `reprioritize`.")
    rate_per_s: float | None = Field(None, description="Most jobs a second.")
    matched: int = Field(description="Jobs that match; grows while they are collected.")
    done: int
    skipped: int = Field(description="Jobs that changed meanwhile, or to which the action does not apply.")
    failed: int = Field(description="Jobs whose retry was refused; `error` is the last reason.")
    cost_usd: float = Field(description="Highest estimated cost of the jobs that are done.")
    created_at: str
    started_at: str | None
    completed_at: str | None
    error: OperationFault | None


class DryRunAnswer(BaseModel):
    """What an operation would touch."""

    model_config = ConfigDict(json_schema_extra={"example": _DRY_RUN})

    object: Literal["operation.dry_run"]
    matched: int
    by_status: dict[str, int]
    by_model: dict[str, int]
    by_key: dict[str, int] = Field(description="Jobs without a key count as `-`.")
    estimated_cost_usd: float = Field(description="Highest estimated cost of these jobs, by their reservations.")
    unpriced: int = Field(description="Jobs without a known estimate, which the cost leaves out.")


ACCEPTED: dict[int | str, dict[str, Any]] = {
    200: {"model": DryRunAnswer, "description": "The counts of a dry run."},
    202: {"model": OperationAnswer, "description": "Accepted; `Location` says where to ask."},
}
"""``responses`` of the routes that take a bulk request."""

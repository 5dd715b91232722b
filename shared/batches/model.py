"""The model of files and batches: frozen values, their stored form, and OpenAI's objects.

::

    create                                 all lines written
    ──────► validating ──────► in_progress ──────► finalizing ──────► completed
                │                   │ 24 hours over ──────► expired
                │ bad file          │
                ▼                   ▼ cancel, also while validating and finalizing
              failed            cancelling ──────► cancelled

Sources: https://platform.openai.com/docs/api-reference/batch/object and …/files/object
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import orjson

from shared.governance.limits.runs import Run


class Status(StrEnum):
    """The status of a batch, as OpenAI names it."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether the status is final."""
        return self in _TERMINAL


_TERMINAL = frozenset({Status.FAILED, Status.COMPLETED, Status.EXPIRED, Status.CANCELLED})
_STAMPS = (
    Status.IN_PROGRESS,
    Status.FINALIZING,
    Status.COMPLETED,
    Status.FAILED,
    Status.EXPIRED,
    Status.CANCELLING,
    Status.CANCELLED,
)


@dataclass(frozen=True, slots=True)
class _StoredFields:
    """A hash as Redis gives it."""

    fields: Mapping[bytes, bytes]

    def text(self, name: str) -> str:
        return self.fields.get(name.encode(), b"").decode()

    def number(self, name: str) -> int:
        return int(self.fields.get(name.encode()) or 0)

    def json(self, name: str) -> Any:  # noqa: ANN401 - whatever was stored
        raw = self.fields.get(name.encode())
        return orjson.loads(raw) if raw else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A stored file. ``parts`` is the number of keys that hold its content; times are unix seconds."""

    id: str
    owner: str
    filename: str
    purpose: str
    size: int
    parts: int
    created_s: int
    expires_s: int

    @classmethod
    def from_fields(cls, file_id: str, fields: Mapping[bytes, bytes]) -> Self:
        """Read the stored form."""
        record = _StoredFields(fields)
        return cls(
            id=file_id,
            owner=record.text("owner"),
            filename=record.text("filename"),
            purpose=record.text("purpose"),
            size=record.number("bytes"),
            parts=record.number("parts"),
            created_s=record.number("created_s"),
            expires_s=record.number("expires_s"),
        )

    def as_object(self) -> dict[str, Any]:
        """Return OpenAI's file object."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.size,
            "created_at": self.created_s,
            "expires_at": self.expires_s,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Progress of the submits: the number of lines submitted, and where the next one begins."""

    line: int = 0
    part: int = 0
    offset: int = 0


START = Cursor()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A stored batch.

    Attributes:
        endpoint: With ``/v1``, e.g. ``/v1/chat/completions``.
        input: Id of the input file; ``output_file`` and ``error_file`` are reserved for its results.
        run: The run that its calls belong to; None: what each line's metadata says.
        times: Unix seconds by status reached.
        output_parts: Number of written parts of the output; 0: no file. Likewise ``error_parts``.
        turn: Number of the latest turn, the fencing token of its writes.
        tries: Turns since the last completed one.
    """

    id: str
    owner: str
    endpoint: str
    input: str
    status: Status
    model: str
    metadata: Mapping[str, str] | None
    dimensions: Mapping[str, str] = field(default_factory=dict)
    run: Run | None = None
    created_s: int
    expires_s: int
    times: Mapping[Status, int]
    total: int
    completed: int
    failed: int
    output_file: str
    output_parts: int
    error_file: str
    error_parts: int
    errors: list[Mapping[str, Any]] = field(default_factory=list)
    tokens: Mapping[str, int]
    cursor: Cursor
    turn: str
    tries: int

    @classmethod
    def from_fields(cls, batch_id: str, fields: Mapping[bytes, bytes]) -> Self:
        """Read the stored form."""
        record = _StoredFields(fields)
        names = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
        return cls(
            id=batch_id,
            owner=record.text("owner"),
            endpoint=record.text("endpoint"),
            input=record.text("input"),
            status=Status(record.text("status")),
            model=record.text("model"),
            metadata=record.json("metadata"),
            dimensions=record.json("dimensions") or {},
            run=Run.from_json(record.json("run")),
            created_s=record.number("created_s"),
            expires_s=record.number("expires_s"),
            times={status: record.number(f"{status}_s") for status in _STAMPS},
            total=record.number("total"),
            completed=record.number("completed"),
            failed=record.number("failed"),
            output_file=record.text("output_file"),
            output_parts=record.number("output_parts"),
            error_file=record.text("error_file"),
            error_parts=record.number("error_parts"),
            errors=record.json("errors") or [],
            tokens={name: record.number(name) for name in names},
            cursor=Cursor(line=record.number("line"), part=record.number("part"), offset=record.number("offset")),
            turn=record.text("turn"),
            tries=record.number("tries"),
        )

    @property
    def ended_lines(self) -> int:
        """The number of lines with a result."""
        return self.completed + self.failed

    def as_object(self) -> dict[str, Any]:
        """Return OpenAI's batch object with all its keys."""
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model or None,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input,
            "completion_window": "24h",
            "status": str(self.status),
            "output_file_id": self.output_file if self.status.terminal and self.output_parts else None,
            "error_file_id": self.error_file if self.status.terminal and self.error_parts else None,
            "created_at": self.created_s,
            "expires_at": self.expires_s,
            **{f"{status}_at": self.times[status] or None for status in _STAMPS},
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "usage": self._usage(),
            "metadata": self.metadata,
        }

    def _usage(self) -> dict[str, Any] | None:
        tokens = self.tokens
        if not any(tokens.values()):
            return None
        return {
            "input_tokens": tokens["input_tokens"],
            "input_tokens_details": {"cached_tokens": tokens["cached_tokens"]},
            "output_tokens": tokens["output_tokens"],
            "output_tokens_details": {"reasoning_tokens": tokens["reasoning_tokens"]},
            "total_tokens": tokens["input_tokens"] + tokens["output_tokens"],
        }

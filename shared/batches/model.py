"""What files and batches are: frozen values, their stored form, and OpenAI's objects of them.

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


class Status(StrEnum):
    """Where a batch is in its life; OpenAI's words."""

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
        """Whether nothing changes it any more."""
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
class _Record:
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
    """A file that is kept here. ``parts`` is how many keys hold its content; times are unix seconds."""

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
        said = _Record(fields)
        return cls(
            id=file_id,
            owner=said.text("owner"),
            filename=said.text("filename"),
            purpose=said.text("purpose"),
            size=said.number("bytes"),
            parts=said.number("parts"),
            created_s=said.number("created_s"),
            expires_s=said.number("expires_s"),
        )

    def as_object(self) -> dict[str, Any]:
        """OpenAI's file object."""
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
    """How far the lines of the input were submitted: how many, and where the next one begins."""

    line: int = 0
    part: int = 0
    offset: int = 0


START = Cursor()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch as kept.

    Attributes:
        endpoint: With ``/v1``, e.g. ``/v1/chat/completions``.
        input: Id of the input file; ``output_file`` and ``error_file`` are those that it would write.
        times: Unix seconds by status reached.
        output_parts: How many parts of the output are written; 0: there is no such file. So for ``error_parts``.
        turn: Number of the latest turn at it, the fencing token of what that turn writes.
        tries: Turns since the last that came to its end.
    """

    id: str
    owner: str
    endpoint: str
    input: str
    status: Status
    model: str
    metadata: Mapping[str, str] | None
    dimensions: Mapping[str, str] = field(default_factory=dict)
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
        said = _Record(fields)
        names = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
        return cls(
            id=batch_id,
            owner=said.text("owner"),
            endpoint=said.text("endpoint"),
            input=said.text("input"),
            status=Status(said.text("status")),
            model=said.text("model"),
            metadata=said.json("metadata"),
            dimensions=said.json("dimensions") or {},
            created_s=said.number("created_s"),
            expires_s=said.number("expires_s"),
            times={status: said.number(f"{status}_s") for status in _STAMPS},
            total=said.number("total"),
            completed=said.number("completed"),
            failed=said.number("failed"),
            output_file=said.text("output_file"),
            output_parts=said.number("output_parts"),
            error_file=said.text("error_file"),
            error_parts=said.number("error_parts"),
            errors=said.json("errors") or [],
            tokens={name: said.number(name) for name in names},
            cursor=Cursor(line=said.number("line"), part=said.number("part"), offset=said.number("offset")),
            turn=said.text("turn"),
            tries=said.number("tries"),
        )

    @property
    def ended_lines(self) -> int:
        """How many lines have their result."""
        return self.completed + self.failed

    def as_object(self) -> dict[str, Any]:
        """OpenAI's batch object, every key of it."""
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

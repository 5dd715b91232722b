"""Single jobs that wait together for a provider's batch: gathered, sent once, and answered line by line."""

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Self

import orjson

from shared.governance.ledger.writer import CallOutcome
from shared.jobs.model import Outcome
from shared.jobs.stored_body import stored_as_is
from shared.patience import keys
from shared.patience.scripts import scripts_on
from shared.settings.patience import PatienceSettings
from shared.store.commands import Argument, RedisCommands

LONGEST_TURN_MS = 60_000
SHORTEST_TURN_MS = 5_000
LOOKS_OF_TURN = 4
LINES_AT_ONCE = 50
"""Jobs that end in one script, to leave the store to others in between."""
ENDED = -1


class GatheredState(StrEnum):
    """How far a gathered batch has come."""

    OPEN = "open"
    CLOSED = "closed"
    UPLOADED = "uploaded"
    CREATING = "creating"
    """Its creation was begun: after a kill, the provider is asked whether it knows it."""
    RUNNING = "running"


class Group(NamedTuple):
    """What the jobs of one batch have in common.

    Attributes:
        owner: Id of the virtual key.
        provider: Name of the provider.
        model: As the provider calls it.
        endpoint: Path below ``/v1/``.
    """

    owner: str
    provider: str
    model: str
    endpoint: str

    @property
    def id(self) -> str:
        """Its name in keys."""
        return hashlib.sha256("\0".join(self).encode("utf-8", "replace")).hexdigest()[:40]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredBatch:
    """A batch of single jobs.

    Attributes:
        id: Its id here, which the provider keeps as metadata.
        group: What its jobs have in common.
        jobs: How many were gathered.
        promote_ms: Unix milliseconds after which all of its jobs have been promoted.
        input_file: The provider's id of the uploaded file; ``batch`` likewise, of the batch.
        cancelled: Whether the provider was asked to stop it.
        turn: Number of the latest turn, the fencing token of what it notes.
    """

    id: str
    state: GatheredState
    group: Group
    jobs: int = 0
    promote_ms: int = 0
    created_ms: int = 0
    input_file: str = ""
    batch: str = ""
    cancelled: bool = False
    turn: str = ""

    @classmethod
    def from_fields(cls, batch_id: str, fields: Mapping[bytes, bytes]) -> Self:
        """Read the stored form."""

        def text(name: str) -> str:
            return fields.get(name.encode(), b"").decode()

        return cls(
            id=batch_id,
            state=GatheredState(text("state")),
            group=Group(text("owner"), text("provider"), text("model"), text("endpoint")),
            jobs=int(text("jobs") or 0),
            promote_ms=int(text("promote_ms") or 0),
            created_ms=int(text("created_ms") or 0),
            input_file=text("input_file"),
            batch=text("batch"),
            cancelled=text("cancelled") == "1",
            turn=text("turn"),
        )


@dataclass(frozen=True, slots=True)
class GatheredTurn:
    """A lease on a gathered batch that is due; ``now_ms`` is the store's clock."""

    batch: GatheredBatch
    now_ms: int


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What a line of a batch brings to its job.

    Attributes:
        job_id: The job.
        outcome: Its outcome; None: the provider did not run the line, and the job runs now.
        index: Number of the further index set that lists the job; empty: none.
        late: Ledger entry to book if the job has ended before; empty: the line costs nothing.
        booked: What it is booked as; None: it costs nothing.
    """

    job_id: str
    outcome: Outcome | None = None
    index: str = ""
    late: bytes = b""
    booked: CallOutcome | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """How many jobs ended with their lines, had ended before, and run now."""

    answered: int = 0
    late: int = 0
    promoted: int = 0

    def __add__(self, other: "Answered") -> "Answered":
        return Answered(self.answered + other.answered, self.late + other.late, self.promoted + other.promoted)


@dataclass(slots=True)
class GatheredBatches:
    """Stores gathered batches.

    Args:
        commands: The store.
        settings: When a batch is full or old enough.
    """

    commands: RedisCommands
    settings: PatienceSettings = field(default_factory=PatienceSettings)

    @property
    def turn_ms(self) -> int:
        """Lease of a turn in milliseconds; a worker that dies in one delays the batch by this."""
        looks_ms = round(self.settings.look_s * 1000) * LOOKS_OF_TURN
        return max(SHORTEST_TURN_MS, min(looks_ms, LONGEST_TURN_MS))

    async def add(self, group: Group, job_id: str, *, size: int, promote_ms: int) -> str:
        """Add a job that has been submitted, and return the id of its batch; added twice, it is in it once.

        Args:
            group: Where it belongs.
            job_id: The job.
            size: Bytes of its request.
            promote_ms: Unix milliseconds at which it runs now.

        Raises:
            StoreUnavailable: No answer.
        """
        settings = self.settings
        args: list[Argument] = [
            group.id, uuid.uuid4().hex, job_id, size, round(settings.gather_s * 1000), settings.gather_jobs,
            int(settings.gather_mb * 1024 * 1024), promote_ms,
        ]  # fmt: skip
        for name, value in zip(group._fields, group, strict=True):
            args += (name, value)
        added: bytes = await scripts_on(self.commands).run("gather", args, retry_safe=True)
        return added.decode()

    async def take(self) -> GatheredTurn | float:
        """Take a turn at the batch that is due first; else the seconds until one may be due.

        Raises:
            StoreUnavailable: No answer.
        """
        reply = await scripts_on(self.commands).run("take_gathered", [self.turn_ms])
        if isinstance(reply, int):
            return reply / 1000 if reply >= 0 else 60.0
        batch_id, flat, now_ms = reply
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        return GatheredTurn(GatheredBatch.from_fields(batch_id.decode(), fields), int(now_ms))

    async def note(self, batch: GatheredBatch, /, *, look_ms: int, **fields: str) -> bool:
        """Note how far a batch has come.

        Args:
            batch: As the turn has it.
            look_ms: Milliseconds until the next look; ``ENDED``: it is forgotten.
            **fields: Of the record.

        Returns:
            False: another turn has been taken.

        Raises:
            StoreUnavailable: No answer.
        """
        args: list[Argument] = [batch.id, batch.turn, look_ms]
        for name, value in fields.items():
            args += (name, value)
        return bool(await scripts_on(self.commands).run("note_gathered", args))

    async def open_jobs(self, batch: GatheredBatch) -> list[str]:
        """Return the ids of the jobs whose lines have not been answered.

        Raises:
            StoreUnavailable: No answer.
        """
        found = await scripts_on(self.commands).execute("SMEMBERS", keys.gathered_jobs(batch.id), retry_safe=True)
        return sorted(job_id.decode() for job_id in found)

    async def answer(self, batch: GatheredBatch, lines: Sequence[LineAnswer]) -> Answered:
        """End jobs with what their lines answered; a line that was answered before changes nothing.

        Raises:
            StoreUnavailable: No answer; the lines may be sent again.
        """
        total = Answered()
        for start in range(0, len(lines), LINES_AT_ONCE):
            args: list[Argument] = [batch.id]
            for line in lines[start : start + LINES_AT_ONCE]:
                args += _line_args(line)
            total += Answered(*map(int, await scripts_on(self.commands).run("answer_lines", args)))
        return total

    async def promote(self, batch: GatheredBatch, job_ids: Iterable[str]) -> Answered:
        """Run jobs of a batch now that still wait for it.

        Raises:
            StoreUnavailable: No answer.
        """
        return await self.answer(batch, [LineAnswer(job_id) for job_id in job_ids])


def _line_args(line: LineAnswer) -> list[Argument]:
    outcome = line.outcome
    if outcome is None:
        return [line.job_id, "", 0, "", "", "", 0, "", "", "", "", line.late, ""]
    stored = outcome.stored or stored_as_is(outcome.result)
    return [
        line.job_id,
        str(outcome.state),
        outcome.status_code,
        outcome.result_type if stored.size else "",
        stored.data,
        stored.encoding,
        stored.size,
        orjson.dumps(outcome.error) if outcome.error is not None else "",
        orjson.dumps(outcome.meta) if outcome.meta else "",
        outcome.ledger,
        line.index,
        line.late,
        outcome.history,
    ]

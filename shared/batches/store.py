"""The store of batches: reads and writes of callers, and the fenced writes of the worker that has the turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from shared.batches import keys
from shared.batches.files import no_such_file
from shared.batches.model import Batch, Cursor, Status
from shared.batches.scripts import scripts_on
from shared.errors import IdempotencyConflict, NotFound, RequestLimited
from shared.governance.limits.runs import Run
from shared.jobs.keys import group_ended
from shared.store.commands import Argument, RedisCommands
from shared.store.encryption import PLAIN, BodyCipher

WINDOW_S = 24 * 3600
TURN_MS = 5000
"""Lease of a turn; every write renews it."""
MAX_PER_HOUR = 2000
REMEMBERED_MS = 24 * 3600 * 1000
RETRIED_WITHIN_MS = 120_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch to create.

    Attributes:
        scope: Scope of the idempotency key.
        fingerprint: Identifies the request.
        idempotency_key: The caller's key; empty: none.
        blind_retry: Whether an SDK repeats a request that got no answer.
        file_ttl_s: Lifetime of its output and error files.
        dimensions: Cost dimensions of its calls.
        run: The run that its calls belong to; None: what each line's metadata says.
        window_s: Completion window.
        listed: Whether it is in its owner's list; the gateway's own batches are not.
    """

    owner: str
    endpoint: str
    input: str
    metadata: Mapping[str, str] | None = None
    webhook: str = ""
    scope: str = ""
    fingerprint: str = ""
    idempotency_key: str = ""
    blind_retry: bool = False
    file_ttl_s: int = 30 * 86_400
    dimensions: Mapping[str, str] = field(default_factory=dict)
    run: Run | None = None
    window_s: int = WINDOW_S
    listed: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an output or error file, and its tokens: input, cached, output, reasoning."""

    number: int
    kind: Literal["output", "error"]
    text: bytes
    tokens: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Turn:
    """A lease on a batch, with the batch as it was when the lease was taken."""

    batch: Batch
    now_s: int


@dataclass(frozen=True, slots=True)
class BatchPage:
    """A page of batches, newest first; the cursor of the next page is the last batch's id."""

    batches: tuple[Batch, ...]
    has_more: bool


class TurnLost(Exception):
    """Another worker has taken the turn: nothing was written."""


class BatchStore:
    """Reads and writes batches.

    Args:
        commands: The store.
        cipher: Seals the lines of output and error files.
    """

    def __init__(self, commands: RedisCommands, cipher: BodyCipher = PLAIN) -> None:
        self._scripts = scripts_on(commands)
        self._cipher = cipher

    async def create(self, new: NewBatch) -> Batch:
        """Create a batch, or find the one that the same request made before.

        Raises:
            NotFound: The input file does not exist.
            RequestLimited: Too many batches within an hour.
            IdempotencyConflict: The idempotency key was used with another body.
            StoreUnavailable: No answer.
        """
        key = new.idempotency_key
        args: list[Argument] = [
            keys.mint_batch_id(),
            new.owner,
            new.input,
            new.window_s,
            keys.request(new.scope, f"key {key}" if key else f"body {new.fingerprint}"),
            new.fingerprint,
            REMEMBERED_MS if key else RETRIED_WITHIN_MS,
            "1" if key or new.blind_retry else "",
            MAX_PER_HOUR,
            "1" if new.listed else "",
            *("endpoint", new.endpoint, "webhook", new.webhook, "file_ttl_s", new.file_ttl_s),
            *("output_file", keys.mint_file_id(), "error_file", keys.mint_file_id()),
        ]
        if new.metadata is not None:
            args += ("metadata", orjson.dumps(new.metadata))
        if new.dimensions:
            args += ("dimensions", orjson.dumps(dict(new.dimensions)))
        if new.run is not None:
            args += ("run", orjson.dumps(new.run.to_json()))
        reply = await self._scripts.run("create", args)
        match reply[0]:
            case b"conflict":
                raise IdempotencyConflict(
                    "This idempotency key was used with another request body; use a new key for a new request.",
                    param="Idempotency-Key",
                    should_retry=False,
                )
            case b"no_file":
                raise no_such_file(new.input)
            case b"many":
                raise RequestLimited(
                    f"At most {MAX_PER_HOUR} batches per hour are accepted; try again later.", retry_after_s=60
                )
        return _batch(reply[1], reply[2])

    async def get(self, batch_id: str) -> Batch | None:
        """Return a batch, or None if it does not exist (any more); the caller checks its owner.

        Raises:
            StoreUnavailable: No answer.
        """
        flat = await self._scripts.execute("HGETALL", keys.batch(batch_id), retry_safe=True)
        return _batch(batch_id.encode(), flat) if flat else None

    async def page(self, owner: str, *, after: str = "", limit: int = 20) -> BatchPage | None:
        """Return a page of an owner's batches, or with ``EVERYONE`` of all; None if the ``after`` batch does not exist.

        Raises:
            StoreUnavailable: No answer.
        """
        reply = await self._scripts.run("list", ("batches", owner, after, limit, "1", ""), retry_safe=True)
        if reply is None:
            return None
        return BatchPage(tuple(_batch(*row) for row in reply[0]), has_more=bool(reply[1]))

    async def cancel(self, batch_id: str) -> Batch:
        """Cancel an open batch; one that has ended is returned unchanged.

        Raises:
            NotFound: It does not exist.
            StoreUnavailable: No answer.
        """
        flat = await self._scripts.run("cancel", [batch_id], retry_safe=True)
        if flat is None:
            raise no_such_batch(batch_id)
        return _batch(batch_id.encode(), flat)

    async def take(self) -> Turn | None:
        """Take the turn of an open batch; None: none is due.

        Raises:
            StoreUnavailable: No answer.
        """
        reply = await self._scripts.run("take", [TURN_MS])
        return Turn(_batch(reply[0], reply[1]), int(reply[2])) if reply else None

    async def advance(
        self, batch: Batch, *fields: Argument, expected: Status | None = None, hold_ms: int = TURN_MS
    ) -> bool:
        """Write fields; the value of ``"stamp"`` names a field that gets the current time.

        Returns:
            False when the batch has another status than expected: nothing was written.

        Raises:
            TurnLost: The turn is over.
            StoreUnavailable: No answer.
        """
        args = (batch.id, batch.turn, hold_ms, str(expected or ""), *fields)
        answer = await self._scripts.run("advance", args, retry_safe=True)
        if answer == b"lost":
            raise TurnLost(batch.id)
        return bool(answer == b"done")

    async def move(self, batch: Batch, cursor: Cursor) -> None:
        """Store the progress of the submits.

        Raises:
            TurnLost: The turn is over.
            StoreUnavailable: No answer.
        """
        await self.advance(batch, "line", cursor.line, "part", cursor.part, "offset", cursor.offset)

    async def end_turn(self, batch: Batch, pause_ms: int) -> None:
        """End the turn; the next one is due after a pause.

        Raises:
            TurnLost: It was over already.
            StoreUnavailable: No answer.
        """
        await self.advance(batch, "tries", 0, hold_ms=pause_ms)

    async def ended_jobs(self, batch: Batch, count: int) -> list[str]:
        """Return ended jobs that were not collected yet, oldest first.

        Raises:
            StoreUnavailable: No answer.
        """
        ids = await self._scripts.execute("LRANGE", group_ended(batch.id), 0, count - 1, retry_safe=True)
        return [job_id.decode() for job_id in ids]

    async def written(self, batch: Batch) -> bytes:
        """Return a bitmap of the lines whose result is written, highest bit first.

        Raises:
            StoreUnavailable: No answer.
        """
        return await self._scripts.execute("GET", keys.done(batch.id), retry_safe=True) or b""

    async def collect(self, batch: Batch, lines: Sequence[Line], *, ended: int = 0) -> tuple[int, int]:
        """Write lines to the batch's files, each line once.

        Args:
            ended: How many of ``ended_jobs`` are collected by this.

        Returns:
            The number of lines of the output and error files.

        Raises:
            TurnLost: The turn is over.
            StoreUnavailable: No answer, or the store is full.
        """
        args: list[Argument] = [batch.id, batch.turn, TURN_MS, ended]
        for line in lines:
            file_id = batch.output_file if line.kind == "output" else batch.error_file
            text = self._cipher.seal(line.text, keys.appended(file_id))
            args += (line.number, line.kind, text, len(text) - len(line.text), *line.tokens)
        reply = await self._scripts.run("collect", args)
        if reply is None:
            raise TurnLost(batch.id)
        return int(reply[0]), int(reply[1])

    async def close(self, batch: Batch, status: Status, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        """End a batch.

        Raises:
            TurnLost: The turn is over.
            StoreUnavailable: No answer.
        """
        errors_json = orjson.dumps(list(errors)) if errors else b""
        if not await self._scripts.run("close", [batch.id, batch.turn, str(status), errors_json]):
            raise TurnLost(batch.id)


def no_such_batch(batch_id: str) -> NotFound:
    """Build the error for a batch that is unknown, expired or another caller's."""
    return NotFound(f"No batch found with id '{batch_id[:80]}'.", param="id", should_retry=False)


def is_written(written: bytes, line: int) -> bool:
    """Tell whether a line's result is written, by the bitmap of ``BatchStore.written``."""
    at, bit = divmod(line, 8)
    return at < len(written) and bool(written[at] >> (7 - bit) & 1)


def _batch(batch_id: bytes, flat: Sequence[Any]) -> Batch:
    return Batch.from_fields(batch_id.decode(), dict(zip(flat[::2], flat[1::2], strict=True)))

"""One step in the life of a batch, which may be interrupted anywhere and repeated by any worker."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from shared.batches.files import FileStore
from shared.batches.lines import LineTooLong, Validation, fault
from shared.batches.model import Batch, Status, StoredFile
from shared.batches.reading import InputGone, read_lines
from shared.batches.store import BatchStore, Turn, is_written
from shared.errors import GatewayError
from shared.governance.keys.authenticate import Authenticator
from shared.governance.keys.caller import Caller
from shared.inference.inference import Inference
from worker.batch_lines import AT_ONCE, LineJobs

BUSY_MS = 50
IDLE_MS = 500
MAX_SUBMITS = 1000
"""Most lines that one turn submits."""


class BatchTurns:
    """Advances batches.

    Args:
        window: Most lines of a batch that are jobs at once.
        max_line_bytes: The longest line.
    """

    def __init__(
        self,
        store: BatchStore,
        files: FileStore,
        jobs: LineJobs,
        inference: Inference,
        governance: Authenticator,
        *,
        window: int,
        max_line_bytes: int,
    ) -> None:
        self._store = store
        self._files = files
        self._jobs = jobs
        self._inference = inference
        self._governance = governance
        self._window = window
        self._max_line_bytes = max_line_bytes

    async def step(self, turn: Turn) -> int | None:
        """Take the next step of a batch.

        Returns:
            Milliseconds until the next turn is due; None: the batch has ended.

        Raises:
            TurnLost: Another worker has the turn.
            StoreUnavailable: No answer; the step is repeated in the next turn.
        """
        batch = turn.batch
        try:
            if batch.status is Status.CANCELLING:
                return await self._end_early(batch, Status.CANCELLED, "batch_cancelled")
            if turn.now_s >= batch.expires_s and batch.status is not Status.FINALIZING:
                return await self._end_early(batch, Status.EXPIRED, "batch_expired")
            if batch.status is Status.VALIDATING:
                return await self._validate(batch)
            return await self._work(batch)
        except InputGone:
            message = "The input file no longer exists."
            await self.fail(batch, fault("input_file_gone", message, param="input_file_id"))
            return None

    async def fail(self, batch: Batch, *faults: Mapping[str, Any]) -> None:
        """End a batch as failed.

        Raises:
            TurnLost, StoreUnavailable: See ``BatchStore``.
        """
        await self._cancel_jobs(batch)
        await self._close(batch, Status.FAILED, faults)

    async def _close(self, batch: Batch, status: Status, faults: Sequence[Mapping[str, Any]] = ()) -> None:
        """End a batch, then move its large files to the object store; a worker lost meanwhile leaves them in Redis."""
        await self._store.close(batch, status, faults)
        await self._files.move_out(batch.output_file)
        await self._files.move_out(batch.error_file)

    async def _validate(self, batch: Batch) -> int | None:
        validation = Validation(batch.endpoint)
        try:
            async for lines in read_lines(self._files, await self._input(batch), max_bytes=self._max_line_bytes):
                validation.check_all(lines)
                await self._store.advance(batch)
                if validation.hopeless:
                    break
        except LineTooLong as error:
            validation.faults.append(
                fault("line_too_long", f"The input file's {error} exceeds the maximum request size.")
            )
        validation.finish()
        self._check_models(validation, await self._governance.owner(batch.owner))
        if validation.faults:
            await self._close(batch, Status.FAILED, validation.faults)
            return None
        model = next(iter(validation.models)) if len(validation.models) == 1 else ""
        fields = (
            "total",
            validation.lines,
            "model",
            model,
            "status",
            str(Status.IN_PROGRESS),
            "stamp",
            "in_progress_s",
        )
        await self._store.advance(batch, *fields, expected=Status.VALIDATING)
        return 0

    def _check_models(self, validation: Validation, caller: Caller) -> None:
        for model, line in validation.models.items():
            if validation.hopeless:
                return
            try:
                self._inference.catalogue.check(model, caller)
            except GatewayError as error:
                message = f"The model {model[:80]!r} does not exist or you do not have access to it: {error.message}"
                validation.faults.append(fault("model_not_found", message, param="body.model", line=line))

    async def _work(self, batch: Batch) -> int | None:
        counts = await self._jobs.collect(batch, self._give_up)
        ended = batch.ended_lines if counts is None else sum(counts)
        if ended >= batch.total:
            return await self._finish(batch)
        if batch.cursor.line < batch.total:
            submitted = await self._submit(batch, ended)
        else:
            submitted = False
        return BUSY_MS if submitted or counts is not None else IDLE_MS

    async def _finish(self, batch: Batch) -> int | None:
        if batch.status is not Status.FINALIZING:
            fields = ("status", str(Status.FINALIZING), "stamp", "finalizing_s")
            if not await self._store.advance(batch, *fields, expected=Status.IN_PROGRESS):
                return 0
        await self._close(batch, Status.COMPLETED)
        return None

    async def _submit(self, batch: Batch, ended: int) -> bool:
        """Submit the next lines, as many as the window allows."""
        room = min(self._window - (batch.cursor.line - ended), MAX_SUBMITS)
        if room < min(AT_ONCE, max(1, self._window // 2)):
            return False
        caller = await self._governance.submitting_owner(batch.owner)
        file = await self._input(batch)
        written = await self._store.written(batch)
        any_submitted = False
        async for lines in read_lines(self._files, file, batch.cursor, max_bytes=self._max_line_bytes):
            for start in range(0, len(lines), AT_ONCE):
                some = lines[start : start + min(AT_ONCE, room)]
                reached = await self._jobs.submit(batch, caller, some, written)
                if reached is not None:
                    await self._store.move(batch, reached)
                    any_submitted = True
                room -= len(some)
                if reached is not some[-1].next or room <= 0:
                    return any_submitted
        return any_submitted

    async def _end_early(self, batch: Batch, status: Status, code: str) -> int | None:
        """Cancel running jobs, keep results, and record every other line as not run."""
        if batch.times[Status.IN_PROGRESS]:
            await self._cancel_jobs(batch)
            while await self._jobs.collect(batch, self._give_up, ending=code):
                pass
            await self._give_up(batch, range(batch.total), code)
        await self._close(batch, status)
        return None

    async def _cancel_jobs(self, batch: Batch) -> None:
        """Cancel the jobs of submitted lines, also of a turn that was interrupted before it moved the cursor."""
        reached = min(batch.total, batch.cursor.line + AT_ONCE)
        written = await self._store.written(batch)
        await self._jobs.cancel(batch, [line for line in range(reached) if not is_written(written, line)])

    async def _give_up(self, batch: Batch, numbers: Container[int], code: str) -> None:
        """Record lines without a result as not run."""
        written = await self._store.written(batch)
        async for lines in read_lines(self._files, await self._input(batch), max_bytes=self._max_line_bytes):
            some = [line for line in lines if line.next.line - 1 in numbers]
            await self._jobs.give_up(batch, some, written, code)

    async def _input(self, batch: Batch) -> StoredFile:
        file = await self._files.get(batch.input)
        if file is None:
            raise InputGone(batch.input)
        return file

"""The store of schedules: what their owners do with them, and the turns of the workers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import BodyUndecryptable, InvalidRequest, NotFound
from shared.jobs import keys as job_keys
from shared.schedules import keys
from shared.schedules.model import Schedule, SkipReason, Status
from shared.schedules.scripts import scripts_on
from shared.store.commands import Argument, RedisCommands
from shared.store.encryption import PLAIN, BodyCipher

TURN_MS = 5_000
"""Lease of a turn; a worker that dies in one delays the firing by this."""
MAX_SCHEDULES = 10_000
"""Most schedules of all owners."""
SEALED_MS = 60_000
"""How long a schedule waits whose request cannot be decrypted."""
_BODIES = ("request", "job")


@dataclass(frozen=True, slots=True)
class Turn:
    """A lease on a schedule that is due, as it was when the lease was taken."""

    schedule: Schedule
    now_ms: int


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """A page of schedules, newest first; the cursor of the next page is the last one's id."""

    schedules: tuple[Schedule, ...]
    has_more: bool


class ScheduleStore:
    """Reads and writes schedules.

    Args:
        commands: The store.
        cipher: Seals the requests of schedules.
    """

    def __init__(self, commands: RedisCommands, cipher: BodyCipher = PLAIN) -> None:
        self._scripts = scripts_on(commands)
        self._cipher = cipher

    async def create(self, new: Schedule, *, max_per_owner: int) -> Schedule:
        """Store a new schedule.

        Raises:
            InvalidRequest: Its owner, or the gateway, has too many.
            StoreUnavailable: No answer.
        """
        args = [new.id, new.owner, max_per_owner, MAX_SCHEDULES, new.next_ms, *_pairs(self._sealed(new))]
        reply = await self._scripts.run("create", args, retry_safe=True)
        if isinstance(reply, bytes):
            whose = f"You have {max_per_owner}" if reply == b"own" else f"The gateway has {MAX_SCHEDULES}"
            raise InvalidRequest(
                f"{whose} schedules, which is the limit; delete some first.", code="too_many_schedules"
            )
        return self._schedule(new.id, reply)

    async def get(self, schedule_id: str) -> Schedule:
        """Return a schedule; the caller checks its owner.

        Raises:
            NotFound: It does not exist.
            StoreUnavailable: No answer.
        """
        if not keys.is_schedule_id(schedule_id):
            raise no_such_schedule(schedule_id)
        flat = await self._scripts.execute("HGETALL", keys.schedule(schedule_id), retry_safe=True)
        if not flat:
            raise no_such_schedule(schedule_id)
        return self._schedule(schedule_id, flat)

    async def page(self, owner: str | None, *, after: str = "", limit: int = 20) -> SchedulePage | None:
        """Return a page of an owner's schedules, or with None of all; None if ``after`` is not in the list.

        Raises:
            StoreUnavailable: No answer.
        """
        listed = keys.ALL if owner is None else keys.owner_schedules(owner)
        reply = await self._scripts.run("list", [listed, after, limit], retry_safe=True)
        if reply is None:
            return None
        return SchedulePage(tuple(self._listed(row[0].decode(), row[1]) for row in reply[0]), has_more=bool(reply[1]))

    async def redefine(self, changed: Schedule) -> Schedule:
        """Store what the owner changed, with the next firing.

        Raises:
            NotFound: It does not exist any more.
            StoreUnavailable: No answer.
        """
        return await self._update(changed.id, changed.next_ms, self._sealed(changed))

    async def set_status(self, schedule: Schedule, status: Status, next_ms: int) -> Schedule:
        """Pause a schedule (``next_ms`` 0) or resume it.

        Raises:
            NotFound: It does not exist any more.
            StoreUnavailable: No answer.
        """
        return await self._update(schedule.id, next_ms, {"status": str(status), "paused_reason": ""})

    async def delete(self, schedule_id: str) -> None:
        """Remove a schedule; its jobs stay.

        Raises:
            NotFound: It does not exist.
            StoreUnavailable: No answer.
        """
        if not await self._scripts.run("delete", [schedule_id], retry_safe=False):
            raise no_such_schedule(schedule_id)

    async def take(self) -> Turn | float:
        """Take a turn at the schedule that is due first, or return the seconds until one is due.

        One whose request cannot be decrypted is put off, with the reason as its ``last_error``.

        Raises:
            StoreUnavailable: No answer.
        """
        reply = await self._scripts.run("take", [TURN_MS])
        if isinstance(reply, int):
            return float("inf") if reply < 0 else reply / 1000
        schedule_id, flat, now_ms = reply
        try:
            return Turn(self._schedule(schedule_id.decode(), flat), int(now_ms))
        except BodyUndecryptable as error:
            turn = dict(zip(flat[::2], flat[1::2], strict=True))[b"turn"]
            fields = {"last_error": SkipReason.of(error).to_json()}
            await self._scripts.run("advance", [schedule_id, turn, "", SEALED_MS, 0, 0, *_pairs(fields)])
            return 0.0

    async def fired(self, schedule: Schedule, fire_ms: int, job_id: str, next_ms: int | None, *, missed: int) -> bool:
        """End a turn in which a firing became a job; False: the turn was lost, another one does the same.

        Raises:
            StoreUnavailable: No answer.
        """
        live = [*schedule.live_jobs, job_id] if schedule.max_active else []
        fields = {"last_ms": fire_ms, "last_job_id": job_id, "last_error": "", "live_jobs": " ".join(live)}
        return await self._advance(schedule, next_ms or 0, 0, (1, missed), fields)

    async def skipped(self, schedule: Schedule, count: int, next_ms: int | None, reason: SkipReason) -> bool:
        """End a turn without a job.

        Raises:
            StoreUnavailable: No answer.
        """
        return await self._advance(schedule, next_ms or 0, 0, (0, count), {"last_error": reason.to_json()})

    async def put_off(self, schedule: Schedule, delay_ms: int, reason: SkipReason) -> bool:
        """End a turn whose firing cannot be run now; it is looked at again after a delay.

        Raises:
            StoreUnavailable: No answer.
        """
        return await self._advance(schedule, "", delay_ms, (0, 0), {"last_error": reason.to_json()})

    async def pause(self, schedule: Schedule, label: str, reason: SkipReason) -> bool:
        """End a turn by pausing the schedule, whose firings cannot succeed; ``label`` becomes its ``paused_reason``.

        Raises:
            StoreUnavailable: No answer.
        """
        fields = {"status": str(Status.PAUSED), "paused_reason": label, "last_error": reason.to_json()}
        return await self._advance(schedule, 0, 0, (0, 1), fields)

    async def was_fired(self, schedule: Schedule, scope: str, firing: str) -> bool:
        """Tell whether a firing became a job in an earlier turn that did not end, even if the job is gone by now.

        Raises:
            StoreUnavailable: No answer.
        """
        if schedule.tries <= 1:
            return False
        return bool(await self._scripts.execute("EXISTS", job_keys.idempotency(scope, firing), retry_safe=True))

    async def live_jobs(self, schedule: Schedule) -> tuple[str, ...]:
        """Return those jobs of the last firings that have not ended; only where ``max_active`` bounds them.

        Raises:
            StoreUnavailable: No answer.
        """
        ids = schedule.live_jobs
        if not ids:
            return ()
        states = await self._scripts.execute_many([("HGET", job_keys.job(job_id), "state") for job_id in ids])
        live = (b"queued", b"deferred", b"running")
        return tuple(job_id for job_id, state in zip(ids, states, strict=True) if state in live)

    async def _update(self, schedule_id: str, next_ms: int, fields: dict[str, Any]) -> Schedule:
        flat = await self._scripts.run("update", [schedule_id, next_ms, *_pairs(fields)], retry_safe=True)
        if flat is None:
            raise no_such_schedule(schedule_id)
        return self._schedule(schedule_id, flat)

    async def _advance(
        self, schedule: Schedule, next_ms: int | str, delay_ms: int, counts: tuple[int, int], fields: dict[str, Any]
    ) -> bool:
        args = [schedule.id, schedule.turn, next_ms, delay_ms, *counts, *_pairs(fields)]
        return bool(await self._scripts.run("advance", args))

    def _sealed(self, schedule: Schedule) -> dict[str, Any]:
        """Return what its owner chooses, with its request sealed."""
        fields: dict[str, Any] = schedule.definition()
        return {**fields, **{name: self._cipher.seal(fields[name], _purpose(schedule.id, name)) for name in _BODIES}}

    def _schedule(self, schedule_id: str, flat: Sequence[Any]) -> Schedule:
        """Read a record.

        Raises:
            BodyUndecryptable: Its request is sealed with another key, or changed.
        """
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        for name in _BODIES:
            field = name.encode()
            fields[field] = self._cipher.open(fields[field], _purpose(schedule_id, name))
        return Schedule.from_fields(schedule_id, fields)

    def _listed(self, schedule_id: str, flat: Sequence[Any]) -> Schedule:
        """Read a record for a list; one that cannot be decrypted has no request, and the reason as its error."""
        try:
            return self._schedule(schedule_id, flat)
        except BodyUndecryptable as error:
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            unread = dict.fromkeys((name.encode() for name in _BODIES), b"{}")
            return Schedule.from_fields(
                schedule_id, {**fields, **unread, b"last_error": SkipReason.of(error).to_json()}
            )


def _purpose(schedule_id: str, name: str) -> str:
    return f"schedules/{schedule_id}/{name}"


def no_such_schedule(schedule_id: str) -> NotFound:
    """Build the error for a schedule that is unknown, deleted or another caller's."""
    return NotFound(f"Unknown schedule {schedule_id[:80]!r}.", code="schedule_not_found", should_retry=False)


def _pairs(fields: dict[str, Any]) -> list[Argument]:
    return [part for pair in fields.items() for part in pair]

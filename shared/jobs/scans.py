"""Scans of the sets of jobs: which sets hold the jobs of a filter, and their rows, piece by piece."""

from collections.abc import Sequence
from typing import Any, Literal

from shared.jobs import keys
from shared.jobs.filters import JobFilter
from shared.jobs.model import State
from shared.jobs.scripts import EngineScripts
from shared.store.commands import Argument

SUMMARY_FIELDS = (
    "state", "model", "owner", "type", "request_id", "priority", "ttl_s", "created_ms", "due_ms", "started_ms",
    "completed_ms", "expires_ms", "deadline_ms", "attempts", "status_code", "result_type", "error", "reason", "labels",
)  # fmt: skip
# One call of list.lua stays under 5 ms on a busy machine: 3 to 8 µs a record, 10 to 20 µs a row.
SCANNED_AT_ONCE = 250
ROWS_AT_ONCE = 100
RUNNING_AT_ONCE = 2000
# From here on a list of all jobs, or of an owner's, may have lost older ones (submit.lua trims it by 64).
INDEXED_JOBS = 100_000
OWNER_JOBS = 10_000

Order = Literal["asc", "desc"]
Position = tuple[Argument, Argument]
"""Score and id of an entry of a set."""
START: Position = ("", "")


class JobScans:
    """Reads sets of jobs.

    Args:
        scripts: On the store.
    """

    def __init__(self, scripts: EngineScripts) -> None:
        self._scripts = scripts

    async def sets(self, owner: str | None, wanted: JobFilter) -> tuple[str, ...]:
        """Return sets that together hold all wanted jobs: the owner's list, or those of an index that are smaller.

        Raises:
            StoreUnavailable: No answer.
        """
        own_list = keys.ALL_JOBS if owner is None else keys.owner_jobs(owner)
        choices = [tuple(map(keys.index, numbers)) for numbers in wanted.index_choices()]
        if wanted.states:
            running = await self._running() if State.RUNNING in wanted.states else keys.LIVE
            sets = (running if state is State.RUNNING else _state_set(state) for state in wanted.states)
            choices.append(tuple(dict.fromkeys(sets)))
        elif wanted.codes:
            choices.append((keys.ended_jobs(State.FAILED), keys.ended_jobs(State.CANCELLED)))
        if wanted.keys:
            choices.append(tuple(dict.fromkeys(map(keys.owner_jobs, wanted.keys))))
        if not choices:
            return (own_list,)
        names = list(dict.fromkeys([own_list, keys.ALL_JOBS, *(name for choice in choices for name in choice)]))
        counts = await self._scripts.execute_many([("ZCARD", name) for name in names])
        sizes: dict[str, int] = dict(zip(names, counts, strict=True))
        if own_list != keys.ALL_JOBS and sizes[keys.ALL_JOBS] >= INDEXED_JOBS:
            return (own_list,)  # the indexes hold the newest jobs of all owners, the owner's list older ones as well
        if wanted.keys and any(sizes[keys.owner_jobs(key)] >= OWNER_JOBS for key in wanted.keys):
            choices.pop()  # and here it is the owner's list that has lost the older ones
        return min(((own_list,), *choices), key=lambda choice: sum(sizes[name] for name in choice))

    async def _running(self) -> str:
        """Return a set that holds the running jobs: one made for a minute, as long as it is cheap to make."""
        if await self._scripts.execute("ZCARD", keys.LEASES, retry_safe=True) > RUNNING_AT_ONCE:
            return keys.LIVE
        weights = ("WEIGHTS", 0, 1)
        await self._scripts.execute_many(
            [
                ("ZINTERSTORE", keys.RUNNING, 2, keys.LEASES, keys.LIVE, *weights),
                ("EXPIRE", keys.RUNNING, 60),
            ]
        )
        return keys.RUNNING

    async def rows(
        self, set_key: str, wanted: JobFilter, order: Order, position: Position, count: int
    ) -> Sequence[Sequence[Any]]:
        """Return the first rows of a set after a position, read in pieces that are short for the store.

        Raises:
            StoreUnavailable: No answer.
        """
        rows: list[Sequence[Any]] = []
        at: Position | None = position
        while at is not None and len(rows) < count:
            most = min(count - len(rows), ROWS_AT_ONCE)
            found, at = await self.piece(set_key, wanted, at, order=order, most=most)
            rows += found
        return rows

    async def piece(
        self,
        set_key: str,
        wanted: JobFilter,
        position: Position,
        *,
        order: Order = "asc",
        most: int | None = None,
        fields: Sequence[str] = SUMMARY_FIELDS,
    ) -> tuple[Sequence[Sequence[Any]], Position | None]:
        """Look at the next records of a set.

        Args:
            set_key: The set.
            wanted: What jobs.
            position: After which to begin.
            order: By creation.
            most: Most rows; None: as many as are cheap for the store.
            fields: Of the record.

        Returns:
            Rows of id and values, and the position after them; None at the end of the set.

        Raises:
            StoreUnavailable: No answer.
        """
        low, high = wanted.created_after_ms, wanted.created_before_ms
        bounds = ("-inf" if low is None else low, "+inf" if high is None else high)
        prune = "" if keys.keeps_cursors(set_key) else "1"
        options: tuple[Argument, ...] = (most or ROWS_AT_ONCE, SCANNED_AT_ONCE, wanted.as_json(), prune, *fields)
        args: tuple[Argument, ...] = (set_key, order, *position, *bounds, *options)
        found, last = await self._scripts.run("list", args, retry_safe=True)
        return found, None if last is None else (last[0], last[1])


def _state_set(state: State) -> str:
    return keys.ended_jobs(state) if state.terminal else keys.LIVE

"""Scans of the sets of jobs: which sets hold the jobs of a filter, and their rows, piece by piece."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shared.jobs import keys
from shared.jobs.filters import JobFilter
from shared.jobs.model import State
from shared.jobs.positions import Order, Position
from shared.jobs.scripts import EngineScripts
from shared.jobs.skips import Skips
from shared.store.commands import Argument, Command

SUMMARY_FIELDS = (
    "state", "model", "owner", "type", "request_id", "priority", "ttl_s", "created_ms", "due_ms", "started_ms",
    "completed_ms", "expires_ms", "deadline_ms", "attempts", "status_code", "result_type", "error", "reason", "labels",
)  # fmt: skip
# One call of list.lua takes 1 to 3 ms: 3 to 5 µs a record, 10 µs a row, 0.7 µs
# an entry that the groups sort out.
SCANNED_AT_ONCE = 400
ROWS_AT_ONCE = 100
FIRST_SIFTED = 100
"""Entries that are sorted out at once at first, as the next ones may well match; more and more while none does."""
MOST_SIFTED = 1_000
RUNNING_AT_ONCE = 2000
# From here on an owner's list may have lost older jobs (submit.lua trims it by 64).
OWNER_JOBS = 10_000
PRICED_AT_ONCE = 2_000
"""Most jobs of a range of costs that list.lua sorts by creation, in 1 to 2 ms."""
MOST_IN_GROUP = 8
MOST_GROUPS = 4
FEWEST_SKIPPED = 4
"""Windows: where fewer are skipped, the sets share many entries, and other conditions decide."""

Groups = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """How the jobs of a filter are found.

    Attributes:
        sets: Sets that together hold all of them.
        groups: Groups of sets: a job that matches is in a set of each. Entries that are in none are not read.
    """

    sets: tuple[str, ...]
    groups: Groups = ()


class JobScans:
    """Reads sets of jobs.

    Args:
        scripts: On the store.
    """

    def __init__(self, scripts: EngineScripts) -> None:
        self._scripts = scripts
        self._skips = Skips(scripts)

    async def plan(self, owner: str | None, wanted: JobFilter) -> ScanPlan:
        """Choose the smallest sets that hold all wanted jobs, and the groups that sort out their other entries.

        Raises:
            StoreUnavailable: No answer.
        """
        own_list = keys.ALL_JOBS if owner is None else keys.owner_jobs(owner)
        choices = await self._choices(wanted)
        has_cost = wanted.cost_bounds is not None
        if not choices and not has_cost:
            return ScanPlan((own_list,))
        names = list(dict.fromkeys([own_list, keys.ALL_JOBS, *(name for choice in choices for name in choice)]))
        commands: list[Command] = [("ZRANGE", name, 0, 0, "WITHSCORES") for name in (own_list, keys.ALL_JOBS)]
        commands += [("ZCARD", name) for name in names]
        if has_cost:
            commands.append(("ZCOUNT", keys.COSTS, *(wanted.cost_bounds or ())))
        own_oldest, oldest, *counts = await self._scripts.execute_many(commands)
        sizes: dict[str, int] = dict(zip(names, counts, strict=False))
        partial = wanted.keys and any(sizes[keys.owner_jobs(key)] >= OWNER_JOBS for key in wanted.keys)
        complete = choices[:-1] if partial else choices  # a full list of a key has lost older jobs
        if has_cost:
            choices, complete = [*choices, (keys.COSTS,)], [*complete, (keys.COSTS,)]
            sizes[keys.COSTS] = counts[-1] if counts[-1] <= PRICED_AT_ONCE else sizes[keys.ALL_JOBS] + 1
        # The indexes hold what the list of all jobs holds; the list of an owner may hold older ones as well.
        indexed = own_list == keys.ALL_JOBS or (own_oldest and oldest and float(own_oldest[1]) >= float(oldest[1]))
        driving = min(
            ((own_list,), *complete) if indexed else ((own_list,),),
            key=lambda choice: sum(sizes[name] for name in choice),
        )
        groups = [choice for choice in choices if choice != driving and len(choice) <= MOST_IN_GROUP]
        if driving != (own_list,) and own_list != keys.ALL_JOBS:
            groups.append((own_list,))
        groups = [group for group in groups if sum(sizes[name] for name in group) != sizes[keys.ALL_JOBS]]
        groups.sort(key=lambda group: sum(sizes[name] for name in group))
        return ScanPlan(driving, tuple(groups[:MOST_GROUPS]))

    async def _choices(self, wanted: JobFilter) -> list[tuple[str, ...]]:
        """Return sets by condition: those of each together hold all wanted jobs; those of the keys come last."""
        choices = [tuple(map(keys.index, numbers)) for numbers in wanted.index_choices()]
        if wanted.states:
            running = await self._running() if State.RUNNING in wanted.states else keys.LIVE
            sets = (running if state is State.RUNNING else _state_set(state) for state in wanted.states)
            choices.append(tuple(dict.fromkeys(sets)))
        if wanted.codes:
            choices.append(tuple(dict.fromkeys(map(keys.code_jobs, wanted.codes))))
        if wanted.keys:
            choices.append(tuple(dict.fromkeys(map(keys.owner_jobs, wanted.keys))))
        return choices

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
        self,
        set_key: str,
        wanted: JobFilter,
        order: Order,
        position: Position,
        count: int,
        *,
        groups: Groups = (),
    ) -> Sequence[Sequence[Any]]:
        """Return the first rows of a set after a position, read in pieces that are short for the store.

        Raises:
            StoreUnavailable: No answer.
        """
        rows: list[Sequence[Any]] = []
        at: Position | None = position
        width, other = FIRST_SIFTED, _only_index(set_key, groups)
        while at is not None and len(rows) < count:
            most = min(count - len(rows), ROWS_AT_ONCE)
            # Little at first where what the sets do not share can be skipped.
            share = 4 if other and not rows and at == position else 1
            found, at = await self.piece(
                set_key, wanted, at, order=order, most=most, groups=groups, width=width, share=share
            )
            rows += found
            width = FIRST_SIFTED if found else MOST_SIFTED
            if other and at is not None and not found:
                at, skipped = await self._skips.skip(set_key, other, order, at)
                if skipped < FEWEST_SKIPPED:
                    other = None
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
        groups: Groups = (),
        width: int = FIRST_SIFTED,
        share: int = 1,
    ) -> tuple[Sequence[Sequence[Any]], Position | None]:
        """Look at the next records of a set.

        Args:
            set_key: The set.
            wanted: What jobs.
            position: After which to begin.
            order: By creation.
            most: Most rows; None: as many as are cheap for the store.
            fields: Of the record.
            groups: As in ``ScanPlan``.
            width: Entries that are sorted out by the groups at once, at first.
            share: What part of a piece's records: a whole by default, half of them by 2.

        Returns:
            Rows of id and values, and the position after them; None at the end of the set.

        Raises:
            StoreUnavailable: No answer.
        """
        low, high = wanted.created_after_ms, wanted.created_before_ms
        bounds = ("-inf" if low is None else low, "+inf" if high is None else high)
        prune = "" if keys.keeps_cursors(set_key) else "1"
        options: tuple[Argument, ...] = (most or ROWS_AT_ONCE, -(-SCANNED_AT_ONCE // share), wanted.as_json(), prune)
        sifting: tuple[Argument, ...] = (orjson.dumps(groups), width)
        args: tuple[Argument, ...] = (set_key, order, *position, *bounds, *options, *sifting, *fields)
        found, last = await self._scripts.run("list", args, retry_safe=True)
        return found, None if last is None else (last[0], last[1])


def _state_set(state: State) -> str:
    return keys.ended_jobs(state) if state.terminal else keys.LIVE


def _only_index(set_key: str, groups: Groups) -> str | None:
    """Return the set that the jobs of the first group are all in, unless older ones may be missing there."""
    if not groups or len(groups[0]) != 1 or set_key == keys.COSTS:
        return None
    name = groups[0][0]
    return None if name == keys.COSTS or keys.keeps_cursors(name) else name

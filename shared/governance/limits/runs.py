"""Runs: the calls and jobs that share one id, such as those of an agent, and the budget that caps them together."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Self
from urllib.parse import unquote

from shared.clock import rfc3339_ms
from shared.errors import InvalidRequest, StoreUnavailable
from shared.governance import keyspace
from shared.governance.limits.model import MICRO, NO_AMOUNT, RUN_WINDOW, Limit
from shared.store.commands import RedisCommands
from shared.store.errors import StoreConnectionError

MAX_BUDGET_USD = 1e9
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


class Run(NamedTuple):
    """The run that a request belongs to.

    Attributes:
        id: As its caller names it; one owner's runs are apart from another's.
        budget: The cap that the request asks for, micro-USD; ``NO_AMOUNT``: none.
    """

    id: str
    budget: int = NO_AMOUNT

    def limit(self, owner: str) -> Limit:
        """Return the limit that reserves a request of ``Caller.run_owner`` under this run, with or without a cap."""
        return _limit_of(self.id, self.budget, owner)

    def to_json(self) -> dict[str, Any]:
        """Return the form that jobs and batches store."""
        return {"id": self.id, "budget": self.budget}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> "Run | None":
        """Read the stored form."""
        return cls(str(stored["id"]), int(stored["budget"])) if stored else None


@lru_cache(maxsize=1024)
def _limit_of(run_id: str, budget: int, owner: str) -> Limit:
    """Return the limit of a run; agents make many calls of one."""
    return Limit("cost", f"run:{owner}:{run_id}", RUN_WINDOW, budget)


def read_run_id(value: object, param: str) -> str:
    """Check a run's id.

    Raises:
        InvalidRequest: It cannot be one.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise InvalidRequest(
            f"{param}: the id of a run has 1 to 128 letters, digits or . _ : -, and begins with a letter or digit.",
            param=param,
        )
    return value


def run_in_metadata(fields: Mapping[str, Any]) -> Run | None:
    """Return the run that a body's ``metadata.run_id`` names, without a cap; None if it names none.

    Raises:
        InvalidRequest: The id is unusable.
    """
    metadata = fields.get("metadata")
    run_id = metadata.get("run_id") if isinstance(metadata, dict) else None
    return None if run_id is None else Run(read_run_id(run_id, "metadata.run_id"))


def read_run_budget(value: str, param: str) -> int:
    """Read a run's cap in USD; return micro-USD.

    Raises:
        InvalidRequest: It is not a positive amount of at least a millionth of a dollar.
    """
    try:
        amount = float(value) if value.isascii() and "_" not in value else math.nan
    except ValueError:
        amount = math.nan
    if not 1 / MICRO <= amount <= MAX_BUDGET_USD:
        raise InvalidRequest(
            f"{param}: {value[:40]!r} is not a budget in USD, such as 0.50; the least is 0.000001.", param=param
        )
    return round(amount * MICRO)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """A run as it is stored; money in micro-USD, times in milliseconds since 1970."""

    owner: str
    id: str
    budget: int | None
    spent: int
    reserved: int
    calls: int
    jobs: int
    created_ms: int
    last_used_ms: int

    @classmethod
    def from_fields(cls, owner: str, run_id: str, fields: Mapping[bytes, bytes]) -> Self:
        """Read the stored form."""

        def number(name: bytes) -> int:
            return int(fields.get(name) or 0)

        return cls(
            owner=owner,
            id=run_id,
            budget=int(fields[b"budget"]) if b"budget" in fields else None,
            spent=number(b"u"),
            reserved=number(b"h"),
            calls=number(b"calls"),
            jobs=number(b"jobs"),
            created_ms=number(b"created_ms"),
            last_used_ms=number(b"used_ms"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the public form."""
        return {
            "object": "run",
            "id": self.id,
            "budget_usd": None if self.budget is None else self.budget / MICRO,
            "spent_usd": self.spent / MICRO,
            "reserved_usd": self.reserved / MICRO,
            "calls": self.calls,
            "jobs": self.jobs,
            "created_at": rfc3339_ms(self.created_ms),
            "last_used_at": rfc3339_ms(self.last_used_ms),
        }

    def to_admin_dict(self) -> dict[str, Any]:
        """Return the public form with the run's owner: a team, a key, or neither."""
        kind, _, name = unquote(self.owner.replace("~", "%")).partition(":")
        owners = {of: name if kind == of else None for of in ("team", "key")}
        return {**self.to_dict(), **owners}


class Runs:
    """Reads the runs of the store."""

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands

    async def get(self, owner: str, run_id: str) -> RunStatus | None:
        """Return a run; None if it is unknown.

        Raises:
            StoreUnavailable: No answer.
        """
        (found,) = await self._read([(owner, run_id)])
        return found

    async def page(self, *, after: str = "", limit: int = 20) -> tuple[list[RunStatus], str, bool] | None:
        """Return all owners' runs by their last use, the latest first, the page's cursor, and whether there are more.

        Returns:
            None if the cursor names no run.

        Raises:
            StoreUnavailable: No answer.
        """
        start = 0
        if after:
            rank = await self._send("ZREVRANK", keyspace.RUNS, after)
            if rank is None:
                return None
            start = rank + 1
        members = [name.decode() for name in await self._send("ZREVRANGE", keyspace.RUNS, start, start + limit)]
        names = members[:limit]
        pairs = [(owner, run_id) for owner, _, run_id in (name.partition(":") for name in names)]
        found = [run for run in await self._read(pairs) if run is not None]
        return found, names[-1] if names else "", len(members) > limit

    async def _read(self, runs: Sequence[tuple[str, str]]) -> list[RunStatus | None]:
        if not runs:
            return []
        commands = [("HGETALL", keyspace.run(owner, run_id)) for owner, run_id in runs]
        try:
            stored = await self._commands.execute_many(commands, retry_safe=True)
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: runs cannot be read. Try again.") from error
        found: list[RunStatus | None] = []
        for (owner, run_id), lines in zip(runs, stored, strict=True):
            fields = dict(zip(lines[::2], lines[1::2], strict=True))
            found.append(RunStatus.from_fields(owner, run_id, fields) if b"created_ms" in fields else None)
        return found

    async def _send(self, *command: str | int) -> Any:  # noqa: ANN401 - whatever the command replies
        try:
            return await self._commands.execute(*command, retry_safe=True)
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: runs cannot be read. Try again.") from error

"""Batches that providers run: followed until they end, and booked line by line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
from redis.exceptions import ResponseError

from shared.errors import StoreUnavailable
from shared.governance import keyspace
from shared.governance.limits.guard import governance_scripts
from shared.store.commands import Argument, RedisCommands
from shared.store.errors import StoreConnectionError

LEASE_MS = 60_000
CLOSE = "close"


class BatchTurnLost(Exception):
    """Another worker has taken the batch: nothing was booked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedBatch:
    """A provider's batch.

    Attributes:
        id: That of its reservation.
        batch: The provider's id; empty: its creation was not confirmed.
        owner: Id of the virtual key.
        endpoint: Of its lines, as the request names it.
        cost: Estimate that was reserved, micro-USD; ``tokens`` likewise.
        priced: Whether the estimate is one: without limits, files are not read for it.
        lines: Lines of its output and error files that are booked.
        turn: Number of the latest turn, the fencing token of what it books.
    """

    id: str
    provider: str
    batch: str = ""
    owner: str = ""
    endpoint: str = ""
    cost: int = 0
    tokens: int = 0
    priced: bool = False
    dimensions: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""
    lines: int = 0
    turn: str = ""
    created_ms: int = 0

    @classmethod
    def from_fields(cls, batch_id: str, fields: Mapping[bytes, bytes]) -> Self:
        """Read the stored form."""

        def text(name: str) -> str:
            return fields.get(name.encode(), b"").decode()

        def number(name: str) -> int:
            return int(fields.get(name.encode()) or 0)

        return cls(
            id=batch_id,
            provider=text("provider"),
            batch=text("batch"),
            owner=text("owner"),
            endpoint=text("endpoint"),
            cost=number("cost"),
            tokens=number("tokens"),
            priced=text("priced") == "1",
            dimensions=orjson.loads(text("dimensions") or "{}"),
            request_id=text("request_id"),
            lines=number("lines"),
            turn=text("turn"),
            created_ms=number("created_ms"),
        )


@dataclass(frozen=True, slots=True)
class BatchTurn:
    """A lease on a batch; ``now_ms`` is the store's clock."""

    batch: FollowedBatch
    now_ms: int


@dataclass(frozen=True, slots=True)
class BookedLines:
    """Ledger entries of lines, and what they cost together."""

    entries: Sequence[bytes] = ()
    cost: int = 0
    tokens: int = 0


NO_LINES = BookedLines()


class FollowedBatches:
    """Stores what is followed; every write of a turn is fenced."""

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands

    async def add(self, new: FollowedBatch, *, look_ms: int) -> None:
        """Follow a batch, which its provider is about to be sent; its reservation lasts until it is booked.

        Raises:
            StoreUnavailable: No answer.
        """
        fields: dict[str, Argument] = {
            "provider": new.provider,
            "owner": new.owner,
            "endpoint": new.endpoint,
            "cost": new.cost,
            "tokens": new.tokens,
            "priced": int(new.priced),
            "dimensions": orjson.dumps(dict(new.dimensions)),
            "request_id": new.request_id,
        }
        args: list[Argument] = [new.id, look_ms]
        for name, value in fields.items():
            args += (name, value)
        await self._run("follow_batch", args)

    async def confirm(self, batch_id: str, provider_id: str) -> None:
        """Note the id that the provider gave it.

        Raises:
            StoreUnavailable: No answer.
        """
        await self._run("follow_batch", [batch_id, 0, "batch", provider_id])

    async def drop(self, batch_id: str) -> None:
        """Follow a batch no longer.

        Raises:
            StoreUnavailable: No answer.
        """
        try:
            await self._commands.execute("DEL", keyspace.followed_batch(batch_id), retry_safe=True)
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: the batch is still followed.") from error

    async def take(self) -> BatchTurn | None:
        """Take a turn at the batch that waits longest; None: none is due.

        Raises:
            StoreUnavailable: No answer.
        """
        reply = await self._run("take_batch", [LEASE_MS])
        if reply is None:
            return None
        batch_id, flat, now_ms = reply
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        return BatchTurn(FollowedBatch.from_fields(batch_id.decode(), fields), int(now_ms))

    async def book(
        self, batch: FollowedBatch, after: int, *, booked: BookedLines = NO_LINES, before: int, then: int | str
    ) -> None:
        """Book lines.

        Args:
            batch: As the turn has it.
            after: Number of its lines that are booked with these.
            booked: The lines.
            before: Number of its lines that are booked already.
            then: Milliseconds until the next look, or ``CLOSE`` to settle its reservation.

        Raises:
            BatchTurnLost: Another turn has been taken.
            StoreUnavailable: No answer.
        """
        args: list[Argument] = [batch.id, batch.turn, before, after, booked.cost, booked.tokens, then, *booked.entries]
        if not await self._run("book_batch", args):
            raise BatchTurnLost(batch.id)

    async def _run(self, name: str, args: Sequence[Argument]) -> Any:  # noqa: ANN401 - whatever the script replies
        try:
            return await self._commands.script(governance_scripts()[name], (), args)
        except (StoreConnectionError, ResponseError) as error:
            raise StoreUnavailable("The store did not answer: the batch cannot be followed. Try again.") from error

"""Batches that providers run: followed until they end, and booked line by line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import orjson
from redis.exceptions import ResponseError

from shared.errors import StoreUnavailable
from shared.governance import keyspace
from shared.governance.ledger.batch_views import BatchView
from shared.governance.limits.guard import governance_scripts
from shared.governance.limits.runs import Run
from shared.store.commands import Argument, RedisCommands
from shared.store.errors import StoreConnectionError

LEASE_MS = 60_000
CLOSE = "close"
SETTLE = "settle"


class Rescue(StrEnum):
    """How far the rescue of a batch has come."""

    OFF = ""
    WATCHED = "watched"
    ASKED = "asked"
    """The provider was asked to cancel it, shortly before its window ends."""
    RUNNING = "running"
    """The gateway runs its lines."""
    PUBLISHED = "published"
    """Callers see the results; the provider's batch may still run."""


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
        run: The run that its lines belong to; None: none.
        rescue: How far its rescue has come.
        rescue_batch: The gateway's batch of the lines that it runs.
        output_file: The file of its results after a rescue; ``error_file`` likewise.
        ended: Whether it has ended at its provider and is booked, while its rescue goes on.
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
    run: Run | None = None
    rescue: Rescue = Rescue.OFF
    rescue_batch: str = ""
    output_file: str = ""
    error_file: str = ""
    ended: bool = False
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
            run=Run.from_json(orjson.loads(text("run") or "null")),
            rescue=Rescue(text("rescue")),
            rescue_batch=text("rescue_batch"),
            output_file=text("output_file"),
            error_file=text("error_file"),
            ended=text("ended") == "1",
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
    """Stores what is followed; every write of a turn is fenced.

    Args:
        commands: The store.
        rescue: Whether new batches are rescued.

    Attributes:
        commands: The store.
        rescue: The state of new batches.
    """

    def __init__(self, commands: RedisCommands, *, rescue: bool = False) -> None:
        self.commands = commands
        self.rescue = Rescue.WATCHED if rescue else Rescue.OFF

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
            "rescue": str(new.rescue),
        }
        if new.run is not None:
            fields["run"] = orjson.dumps(new.run.to_json())
        args: list[Argument] = [new.id, look_ms, ""]
        for name, value in fields.items():
            args += (name, value)
        await self._run("follow_batch", args)

    async def confirm(self, batch: FollowedBatch, provider_id: str) -> None:
        """Note the id that the provider gave it.

        Raises:
            StoreUnavailable: No answer.
        """
        view = keyspace.batch_view(batch.provider, provider_id) if batch.rescue else ""
        await self._run("follow_batch", [batch.id, 0, view, "batch", provider_id])

    async def drop(self, batch_id: str) -> None:
        """Follow a batch no longer.

        Raises:
            StoreUnavailable: No answer.
        """
        try:
            await self.commands.execute("DEL", keyspace.followed_batch(batch_id), retry_safe=True)
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
            then: Milliseconds until the next look; ``CLOSE`` to settle its reservation and follow it no longer;
                ``SETTLE`` to settle it and look again at once.

        Raises:
            BatchTurnLost: Another turn has been taken.
            StoreUnavailable: No answer.
        """
        args: list[Argument] = [batch.id, batch.turn, before, after, booked.cost, booked.tokens, then, *booked.entries]
        if not await self._run("book_batch", args):
            raise BatchTurnLost(batch.id)

    async def note(
        self,
        batch: FollowedBatch,
        *,
        state: str,
        final: Mapping[str, Any] | None = None,
        look_ms: int,
        **fields: str,
    ) -> None:
        """Note how far the rescue of a batch has come.

        Args:
            batch: As the turn has it.
            state: State of what callers see; empty: the provider's batch as it is.
            final: Fields of the batch that callers see from now on in place of the provider's.
            look_ms: Until the next look.
            **fields: Of the record.

        Raises:
            BatchTurnLost: Another turn has been taken.
            StoreUnavailable: No answer.
        """
        view = keyspace.batch_view(batch.provider, batch.batch)
        args: list[Argument] = [batch.id, batch.turn, look_ms, view, state, orjson.dumps(final) if final else ""]
        for name, value in fields.items():
            args += (name, value)
        if not await self._run("rescue_batch", args):
            raise BatchTurnLost(batch.id)

    async def view(self, provider: str, provider_id: str) -> BatchView | None:
        """Return what callers see of a provider's batch; None: the provider's own.

        Raises:
            StoreUnavailable: No answer.
        """
        try:
            key = keyspace.batch_view(provider, provider_id)
            flat = await self.commands.execute("HGETALL", key, retry_safe=True)
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: the batch cannot be read. Try again.") from error
        return BatchView.from_fields(dict(zip(flat[::2], flat[1::2], strict=True))) if flat else None

    async def stop_rescue(self, provider: str, provider_id: str, view: BatchView) -> None:
        """Note that the caller has cancelled a batch that is rescued.

        Raises:
            StoreUnavailable: No answer.
        """
        await self._run("stop_rescue", [keyspace.batch_view(provider, provider_id), view.followed])

    async def _run(self, name: str, args: Sequence[Argument]) -> Any:  # noqa: ANN401 - whatever the script replies
        try:
            return await self.commands.script(governance_scripts()[name], (), args)
        except (StoreConnectionError, ResponseError) as error:
            raise StoreUnavailable("The store did not answer: the batch cannot be followed. Try again.") from error

"""Raises of budgets: temporary, and over by themselves."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from redis.exceptions import ResponseError

from shared.clock import rfc3339_ms
from shared.errors import StoreUnavailable
from shared.governance import keyspace
from shared.governance.limits.guard import governance_scripts
from shared.governance.limits.model import MICRO, Limit
from shared.store.commands import Argument, RedisCommands
from shared.store.errors import StoreConnectionError


class Raise(NamedTuple):
    """A raise of one budget.

    Attributes:
        amount: Added to the budget, micro-USD.
        until_ms: Milliseconds since 1970.
        reason: The administrator's.
    """

    amount: int
    until_ms: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the public form."""
        return {"amount_usd": self.amount / MICRO, "until": rfc3339_ms(self.until_ms), "reason": self.reason}

    def stored(self) -> str:
        """Return the stored form."""
        return f"{self.amount} {self.until_ms} {self.reason}"

    @classmethod
    def from_stored(cls, stored: bytes) -> Self:
        """Read the stored form."""
        amount, until_ms, reason = stored.decode().split(" ", 2)
        return cls(int(amount), int(until_ms), reason)


class Raises:
    """Stores and reads raises."""

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands

    async def add(self, limit: Limit, more: Raise) -> bool:
        """Raise a budget, in place of an earlier raise of it; False when its time is over already.

        Raises:
            StoreUnavailable: No answer.
        """
        try:
            args: list[Argument] = [limit.id, more.stored(), more.until_ms]
            return bool(await self._commands.script(governance_scripts()["raise"], (), args, retry_safe=True))
        except (StoreConnectionError, ResponseError) as error:
            raise StoreUnavailable("The store did not answer: the limit cannot be raised. Try again.") from error

    async def of(self, limits: Sequence[Limit], now_ms: float) -> list[Raise | None]:
        """Return each limit's raise; None if it has none.

        Raises:
            StoreUnavailable: No answer.
        """
        if not limits:
            return []
        names = [limit.id for limit in limits]
        try:
            stored = await self._commands.execute("HMGET", keyspace.RAISES, *names, retry_safe=True)
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: limits cannot be read. Try again.") from error
        found = [Raise.from_stored(record) if record else None for record in stored]
        return [more if more is not None and more.until_ms > now_ms else None for more in found]

"""The audit trail: one entry per administrative call that changes something, in a bounded stream."""

from collections.abc import Mapping
from typing import Any

import orjson
from redis.exceptions import ResponseError

from shared.errors import InvalidRequest, StoreUnavailable
from shared.governance import keyspace
from shared.store.commands import RedisCommands
from shared.store.errors import StoreConnectionError

MAX_ENTRIES = 100_000
MAX_SCAN = 20_000
_READ_AT_ONCE = 1_000


class Audit:
    """Write and read the trail.

    Args:
        commands: The store.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands

    async def record(self, entry: Mapping[str, Any]) -> None:
        """Store an entry; it must contain no secrets.

        Raises:
            StoreUnavailable: The store did not confirm the entry.
        """
        stored = orjson.dumps({"v": 1, **entry})
        try:
            await self._commands.execute("XADD", keyspace.AUDIT, "MAXLEN", "~", MAX_ENTRIES, "*", "entry", stored)
        except (StoreConnectionError, ResponseError) as error:
            raise StoreUnavailable("The store did not answer: the audit trail cannot be written. Try again.") from error

    async def entries(self, *, after: str = "", limit: int = 20, target: str = "") -> tuple[list[dict[str, Any]], str]:
        """Entries, newest first.

        Args:
            after: Cursor of the previous page.
            limit: Most entries.
            target: Only entries about this object.

        Returns:
            The entries, and the next page's cursor; empty at the end. A page may be short though there are more.

        Raises:
            InvalidRequest: ``after`` is no cursor of this list.
            StoreUnavailable: No answer.
        """
        found: list[dict[str, Any]] = []
        upper = f"({_checked(after)}" if after else "+"
        for _ in range(MAX_SCAN // _READ_AT_ONCE):
            batch = await self._read(upper)
            for entry_id, fields in batch:
                entry = orjson.loads(fields[1])
                if not target or entry.get("target") == target:
                    found.append({"id": entry_id.decode(), **entry})
                if len(found) == limit:
                    return found, entry_id.decode()
            if len(batch) < _READ_AT_ONCE:
                return found, ""
            upper = f"({batch[-1][0].decode()}"
        return found, upper[1:]

    async def _read(self, upper: str) -> list[tuple[bytes, list[bytes]]]:
        try:
            found: list[tuple[bytes, list[bytes]]] = await self._commands.execute(
                "XREVRANGE", keyspace.AUDIT, upper, "-", "COUNT", _READ_AT_ONCE, retry_safe=True
            )
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: the audit trail cannot be read. Try again.") from error
        return found


def _checked(cursor: str) -> str:
    number, dash, sequence = cursor.partition("-")
    if not (dash and number.isdecimal() and sequence.isdecimal() and cursor.isascii() and len(cursor) < 40):
        raise InvalidRequest("Invalid cursor in `after`: pass the cursor of the previous page.", param="after")
    return cursor

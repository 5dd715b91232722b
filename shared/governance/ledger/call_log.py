"""Read single calls from the ledger: pages, newest first, or batches for exports; never all in memory at once."""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from shared.errors import InvalidRequest, StoreUnavailable
from shared.governance import keyspace
from shared.store.commands import RedisCommands
from shared.store.errors import StoreConnectionError

MAX_SCAN = 20_000
PAGE = 1_000
# A batch is to hold about so much: entries may carry whole requests and answers.
BATCH_BYTES = 512 * 1024
# More than so many would keep the event loop for milliseconds.
_FEW, _MANY = 10, 250
_FILTERS = frozenset(
    {"key", "name", "team", "customer", "provider", "model", "type", "status", "code", "job", "request_id", "asked"}
)

Entry = dict[str, Any]


class CallLog:
    """Reads the ledger.

    Args:
        commands: The store.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands

    async def page(
        self,
        only: Mapping[str, str],
        *,
        cursor: str = "",
        limit: int = 50,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> tuple[list[Entry], str]:
        """Single calls, newest first.

        Args:
            only: Values that must match: key, team, model, status (``500``, or ``5xx``), code, job, …, or
                ``dim:<name>``.
            cursor: The cursor that the previous page returned.
            limit: 1 to 1000.
            start: Earliest end of a call, inclusive.
            end: Latest end of a call, exclusive.

        Returns:
            The calls, and the next page's cursor; empty at the end. A page scans at most ``MAX_SCAN`` entries, so it
            may be short or empty although more follow: continue while there is a cursor.

        Raises:
            InvalidRequest: An unknown filter, or a cursor of another list.
            StoreUnavailable: No answer.
        """
        _check_filters(only)
        limit = max(1, min(limit, PAGE))
        found: list[Entry] = []
        upper = f"({_stream_id(cursor)}" if cursor else f"({_ms(end)}-0" if end else "+"
        lower = str(_ms(start)) if start else "-"
        scanned, batches = 0, _Batches(self._commands, "XREVRANGE")
        while scanned < MAX_SCAN:
            batch = await batches.read(upper, lower)
            for entry in batch:
                scanned += 1
                if _matches(entry, only):
                    found.append(entry)
                    if len(found) == limit:
                        return found, entry["id"]
            if batches.ended:
                return found, ""
            upper = f"({batch[-1]['id']}"
        return found, upper[1:]

    async def batches(
        self, start: datetime, end: datetime, only: Mapping[str, str] | None = None
    ) -> AsyncIterator[list[Entry]]:
        """Every call of a period, oldest first, in batches, for exports.

        Raises:
            InvalidRequest: An unknown filter.
            StoreUnavailable: No answer.
        """
        only = only or {}
        _check_filters(only)
        lower, upper = str(_ms(start)), f"({_ms(end)}-0"
        batches = _Batches(self._commands, "XRANGE")
        while not batches.ended:
            batch = await batches.read(lower, upper)
            yield [entry for entry in batch if _matches(entry, only)]
            if batch:
                lower = f"({batch[-1]['id']}"


class _Batches:
    """Read consecutive batches, each bounded in bytes."""

    def __init__(self, commands: RedisCommands, verb: str) -> None:
        self._commands = commands
        self._verb = verb
        self._count = min(PAGE, 100)
        self.ended = False

    async def read(self, first: str, second: str) -> list[Entry]:
        try:
            replies = await self._commands.execute(
                self._verb, keyspace.LEDGER, first, second, "COUNT", self._count, retry_safe=True
            )
        except StoreConnectionError as error:
            raise StoreUnavailable("The ledger cannot be read.") from error
        self.ended = len(replies) < self._count
        if replies:
            size = sum(len(fields[1]) for _, fields in replies) // len(replies) + 1
            self._count = max(min(_FEW, PAGE), min(PAGE, _MANY, BATCH_BYTES // size))
        return [{"id": entry_id.decode(), **orjson.loads(fields[1])} for entry_id, fields in replies]


def _check_filters(names: Iterable[str]) -> None:
    for name in names:
        if name not in _FILTERS and not name.startswith("dim:"):
            raise InvalidRequest(
                f"{name[:50]!r} is not a filter. Filters: {', '.join(sorted(_FILTERS))}, dim:<name>.", param=name
            )


def _matches(entry: Mapping[str, Any], only: Mapping[str, str]) -> bool:
    if entry.get("v", keyspace.ENTRY_VERSION) > keyspace.ENTRY_VERSION:
        return False  # of a newer release: what it counts would be misread
    for name, value in only.items():
        found = str(entry.get("dims", {}).get(name[4:], "") if name.startswith("dim:") else entry.get(name, ""))
        if name == "status" and value.endswith("xx"):
            found = f"{found[:1]}xx"
        if found != value:
            return False
    return True


def _stream_id(cursor: str) -> str:
    number, dash, sequence = cursor.partition("-")
    if not (dash and cursor.isascii() and number.isdecimal() and sequence.isdecimal() and len(cursor) < 42):
        raise InvalidRequest("Invalid cursor: pass the `cursor` of the previous page.", param="cursor")
    return cursor


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)

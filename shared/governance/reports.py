"""Questions to the books: what was used, by whom, when; and the single calls."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from shared.errors import InvalidRequest, StoreUnavailable
from shared.governance import store_keys
from shared.governance.limits import MICRO
from shared.store.commands import RedisCommands
from shared.store.faults import StoreUnavailable as StoreFault

Per = Literal["hour", "day", "month", "total"]
# As books.lua writes them.
PARTS = ("key", "name", "team", "customer", "provider", "model", "type", "dims")
SUMS = (
    "calls",
    "errors",
    "unpriced",
    "input",
    "output",
    "cached",
    "reasoning",
    "cost",
    "list",
    "latency_ms",
    "attempts",
)
GROUPS = ("key", "name", "team", "customer", "provider", "model", "type")
MAX_DAYS = 400
MAX_HOURS = 24 * 40
MAX_SCAN = 20_000
PAGE = 1_000
_LOG_FILTERS = frozenset(
    {"key", "name", "team", "customer", "provider", "model", "type", "status", "code", "job", "request_id", "asked"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """What to add up.

    Attributes:
        start: From the hour or day that this lies in, UTC.
        end: Up to before this.
        group_by: Of ``key``, ``name``, ``team``, ``customer``, ``provider``, ``model``, ``type``, ``dim:<name>``.
        per: Length of the periods.
        only: Values that must match; the same names.
    """

    start: datetime
    end: datetime
    group_by: tuple[str, ...] = ()
    per: Per = "day"
    only: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*self.group_by, *self.only):
            if name not in GROUPS and not (name.startswith("dim:") and len(name) > 4):
                known = ", ".join(GROUPS)
                raise InvalidRequest(f"{name[:50]!r} is none of {known}, dim:<name>.", param="group_by")
        if self.end <= self.start:
            raise InvalidRequest("end must be after start.", param="end")
        longest = timedelta(hours=MAX_HOURS) if self.per == "hour" else timedelta(days=MAX_DAYS)
        if self.end - self.start > longest:
            raise InvalidRequest(f"At most {longest.days} days can be asked for per {self.per}.", param="start")


@dataclass(slots=True)
class UsageRow:
    """Sums of one group in one period; ``period`` is its start, or empty for everything."""

    period: str
    group: dict[str, str]
    sums: dict[str, int]

    def shown(self) -> dict[str, Any]:
        """As the API, exports and the command line show it; money in USD."""
        sums = self.sums
        calls = sums["calls"]
        return {
            **({"period": self.period} if self.period else {}),
            **self.group,
            "calls": calls,
            "errors": sums["errors"],
            "unpriced_calls": sums["unpriced"],
            "input_tokens": sums["input"],
            "output_tokens": sums["output"],
            "cached_tokens": sums["cached"],
            "reasoning_tokens": sums["reasoning"],
            "cost_usd": sums["cost"] / MICRO,
            "list_cost_usd": sums["list"] / MICRO,
            "average_latency_ms": round(sums["latency_ms"] / calls) if calls else 0,
            "upstream_attempts": sums["attempts"],
        }


class Reports:
    """Reads the books.

    Args:
        commands: The store.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands

    async def usage(self, query: UsageQuery) -> list[UsageRow]:
        """The sums per period and group, in order of time and then of cost.

        Raises:
            StoreUnavailable: No answer.
        """
        rows: dict[tuple[str, ...], UsageRow] = {}
        places = list(_places(query))
        for start in range(0, len(places), 50):
            some = places[start : start + 50]
            for (period, _), stored in zip(some, await self._hashes([key for _, key in some]), strict=True):
                _add_all(rows, period, stored, query)
        return sorted(rows.values(), key=lambda row: (row.period, -row.sums["cost"], -row.sums["calls"]))

    async def logs(
        self, only: Mapping[str, str], *, cursor: str = "", limit: int = 50, start: datetime | None = None
    ) -> tuple[list[dict[str, Any]], str]:
        """Single calls, newest first.

        Args:
            only: Values that must match: key, team, model, status, code, job, …, or ``dim:<name>``.
            cursor: What the page before gave.
            limit: 1 to 1000.
            start: None older than that.

        Returns:
            The calls, and the next page's cursor; empty at the end. A page may be short though there are more.

        Raises:
            InvalidRequest: An unknown filter, or a cursor of another list.
            StoreUnavailable: No answer.
        """
        _check_filters(only)
        limit = max(1, min(limit, PAGE))
        found: list[dict[str, Any]] = []
        upper = f"({_stream_id(cursor)}" if cursor else "+"
        lower = str(int(start.timestamp() * 1000)) if start else "-"
        scanned = 0
        while scanned < MAX_SCAN:
            batch = await self._range("XREVRANGE", upper, lower)
            for entry_id, entry in batch:
                scanned += 1
                if _matches(entry, only):
                    found.append({"id": entry_id, **entry})
                    if len(found) == limit:
                        return found, entry_id
            if len(batch) < PAGE:
                return found, ""
            upper = f"({batch[-1][0]}"
        return found, upper[1:]

    async def entries(
        self, start: datetime, end: datetime, only: Mapping[str, str] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Every call of a time, oldest first, for exports; read page by page.

        Raises:
            InvalidRequest: An unknown filter.
            StoreUnavailable: No answer.
        """
        only = only or {}
        _check_filters(only)
        lower, upper = str(int(start.timestamp() * 1000)), f"({int(end.timestamp() * 1000)}-0"
        while True:
            batch = await self._range("XRANGE", lower, upper)
            for entry_id, entry in batch:
                if _matches(entry, only):
                    yield {"id": entry_id, **entry}
            if len(batch) < PAGE:
                return
            lower = f"({batch[-1][0]}"

    async def _range(self, verb: str, first: str, second: str) -> list[tuple[str, dict[str, Any]]]:
        try:
            replies = await self._commands.execute(
                verb, store_keys.LEDGER, first, second, "COUNT", PAGE, retry_safe=True
            )
        except StoreFault as error:
            raise StoreUnavailable("The ledger cannot be read.") from error
        return [(entry_id.decode(), orjson.loads(fields[1])) for entry_id, fields in replies]

    async def _hashes(self, names: Sequence[str]) -> list[list[bytes]]:
        try:
            return await self._commands.execute_many([("HGETALL", name) for name in names], retry_safe=True)
        except StoreFault as error:
            raise StoreUnavailable("The ledger cannot be read.") from error


def _places(query: UsageQuery) -> Iterator[tuple[str, str]]:
    """The hashes to be read, each with the period that it belongs to."""
    start = query.start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if query.per == "hour":
        while start < query.end:
            yield start.strftime("%Y-%m-%dT%H:00:00Z"), store_keys.usage_hour(start.strftime("%Y-%m-%dT%H"))
            start += timedelta(hours=1)
        return
    start = start.replace(hour=0)
    while start < query.end:
        day = start.strftime("%Y-%m-%d")
        yield {"day": day, "month": day[:7], "total": ""}[query.per], store_keys.usage_day(day)
        start += timedelta(days=1)


def _add_all(rows: dict[tuple[str, ...], UsageRow], period: str, stored: Sequence[bytes], query: UsageQuery) -> None:
    for group, sums in zip(stored[::2], stored[1::2], strict=True):
        parts = _parts(group.decode(errors="replace"))
        if any(parts.get(name, "") != value for name, value in query.only.items()):
            continue
        values = {name: parts.get(name, "") for name in query.group_by}
        row = rows.setdefault((period, *values.values()), UsageRow(period, values, dict.fromkeys(SUMS, 0)))
        for name, amount in zip(SUMS, sums.split(b","), strict=False):
            row.sums[name] += int(amount)


def _parts(group: str) -> dict[str, str]:
    parts = dict(zip(PARTS, group.split("\x1f"), strict=False))
    for pair in parts.pop("dims", "").split("\x1e"):
        name, equals, value = pair.partition("=")
        if equals:
            parts[f"dim:{name}"] = value
    return parts


def _check_filters(names: Iterable[str]) -> None:
    for name in names:
        if name not in _LOG_FILTERS and not name.startswith("dim:"):
            raise InvalidRequest(
                f"{name[:50]!r} is no filter: {', '.join(sorted(_LOG_FILTERS))}, dim:<name>.", param=name
            )


def _matches(entry: Mapping[str, Any], only: Mapping[str, str]) -> bool:
    for name, value in only.items():
        said = entry.get("dims", {}).get(name[4:], "") if name.startswith("dim:") else entry.get(name, "")
        if str(said) != value:
            return False
    return True


def _stream_id(cursor: str) -> str:
    number, dash, sequence = cursor.partition("-")
    if not (dash and number.isdecimal() and sequence.isdecimal() and len(cursor) < 42):
        raise InvalidRequest("The cursor is none that this list gave.", param="cursor")
    return cursor

"""Usage reports from the ledger's roll-ups: sums per period and group."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from shared.errors import InvalidRequest, StoreUnavailable
from shared.governance import keyspace
from shared.governance.ledger.exports import SAVED, savings
from shared.governance.limits.model import MICRO
from shared.store.commands import RedisCommands
from shared.store.errors import StoreConnectionError

Per = Literal["hour", "day", "month", "total"]
# As books.lua writes them.
PARTS = ("key", "name", "team", "customer", "provider", "model", "type", "dims", "lane")
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
    "hits",
    "saved",
    *SAVED,
    "on_time",
    "late",
)
GROUPS = ("key", "name", "team", "customer", "provider", "model", "type", "lane")
MAX_DAYS = 400
MAX_HOURS = 24 * 40
MAX_ROWS = 50_000
# How much is read and added up at once, to bound memory and the time that the event loop is blocked.
HASHES_AT_ONCE = 8
GROUPS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """A question for the roll-ups.

    Attributes:
        start: The hour or day that contains it is the first one counted, UTC.
        end: Exclusive.
        group_by: Of ``key``, ``name``, ``team``, ``customer``, ``provider``, ``model``, ``type``, ``lane``,
            ``dim:<name>``.
        per: Length of a period.
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
                raise InvalidRequest(f"{name[:50]!r} is not a group. Groups: {known}, dim:<name>.", param="group_by")
        if self.end <= self.start:
            raise InvalidRequest("`to` must be later than `from`.", param="to")
        longest = timedelta(hours=MAX_HOURS) if self.per == "hour" else timedelta(days=MAX_DAYS)
        if self.end - self.start > longest:
            raise InvalidRequest(f"The range is too long: at most {longest.days} days per {self.per}.", param="from")

    @property
    def begin(self) -> datetime:
        """Start of the first hour or day that is counted."""
        hour = self.start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return hour if self.per == "hour" else hour.replace(hour=0)

    @property
    def until(self) -> datetime:
        """End of the last one."""
        length = timedelta(hours=1) if self.per == "hour" else timedelta(days=1)
        return self.begin + -(-(self.end - self.begin) // length) * length


@dataclass(slots=True)
class UsageRow:
    """Sums of one group in one period; ``period`` is its start, or empty for everything.

    Attributes:
        key_name: The key's latest name, where groups are by key.
    """

    period: str
    group: dict[str, str]
    sums: dict[str, int]
    key_name: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As the API, exports and the command line show it; money in USD."""
        sums = self.sums
        calls = sums["calls"]
        return {
            **({"period": self.period} if self.period else {}),
            **self.group,
            **({"key_name": self.key_name} if "key" in self.group else {}),
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
            "cache_hits": sums["hits"],
            "saved_usd": sums["saved"] / MICRO,
            **savings(sums),
            **on_time_counts(sums),
        }


@dataclass(slots=True)
class UsageSummary:
    """The answer to a ``UsageQuery``.

    Attributes:
        rows: In order of time and then of cost.
        total: Of all rows.
        unpriced: Number of calls without a known price, by provider and model: what the costs leave out.
    """

    rows: list[UsageRow]
    total: UsageRow
    unpriced: dict[tuple[str, str], int]


class Reports:
    """Read the ledger's roll-ups.

    Args:
        commands: The store.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands

    async def usage(self, query: UsageQuery) -> list[UsageRow]:
        """The sums per period and group, in order of time and then of cost.

        Raises:
            InvalidRequest, StoreUnavailable: As ``summary``.
        """
        return (await self.summary(query)).rows

    async def summary(self, query: UsageQuery) -> UsageSummary:
        """The sums, their total, and what they leave out.

        Raises:
            InvalidRequest: There are more groups than an answer can hold.
            StoreUnavailable: No answer.
        """
        totals = _Totals(query)
        roll_ups = list(_roll_ups(query))
        for start in range(0, len(roll_ups), HASHES_AT_ONCE):
            some = roll_ups[start : start + HASHES_AT_ONCE]
            for (period, _), stored in zip(some, await self._hashes([key for _, key in some]), strict=True):
                for at in range(0, len(stored), 2 * GROUPS_AT_ONCE):
                    totals.add(period, stored[at : at + 2 * GROUPS_AT_ONCE])
                    await asyncio.sleep(0)
        return totals.summary()

    async def charges(self, query: UsageQuery) -> AsyncIterator[list[dict[str, Any]]]:
        """Every group of every hour or day, in batches: the input of ``focus_row``.

        Raises:
            StoreUnavailable: No answer.
        """
        span_s = 3600 if query.per == "hour" else 86_400
        begin = query.begin
        for number, (_, key) in enumerate(_roll_ups(query)):
            at = int((begin.timestamp() + number * span_s) * 1000)
            (stored,) = await self._hashes([key])
            for first in range(0, len(stored), 2 * GROUPS_AT_ONCE):
                some = stored[first : first + 2 * GROUPS_AT_ONCE]
                pairs = zip(some[::2], some[1::2], strict=True)
                charges = [_charge(group, sums, {"at": at, "span_s": span_s}) for group, sums in pairs]
                yield [charge for charge in charges if _matches(charge, query.only)]

    async def _hashes(self, names: Sequence[str]) -> list[list[bytes]]:
        try:
            return await self._commands.execute_many([("HGETALL", name) for name in names], retry_safe=True)
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: usage cannot be read. Try again.") from error


def on_time_counts(sums: Mapping[str, int]) -> dict[str, Any]:
    """Return how many jobs that could wait were answered in time, and their share; empty: there were none."""
    on_time, late = sums.get("on_time", 0), sums.get("late", 0)
    if not on_time + late:
        return {}
    return {"on_time_jobs": on_time, "late_jobs": late, "on_time_share": on_time / (on_time + late)}


def _charge(group: bytes, sums: bytes, period: Mapping[str, int]) -> dict[str, Any]:
    """A roll-up's group in the shape of a ledger entry."""
    parts = _parts(group.decode(errors="replace"))
    amounts = dict.fromkeys(SUMS, 0) | dict(zip(SUMS, map(int, sums.split(b",")), strict=False))
    dims = {name[4:]: parts.pop(name) for name in list(parts) if name.startswith("dim:")}
    return {**period, **parts, "dims": dims, **amounts, "priced": not amounts["unpriced"]}


def _matches(charge: Mapping[str, Any], only: Mapping[str, str]) -> bool:
    return all(
        (charge["dims"].get(name[4:], "") if name.startswith("dim:") else charge.get(name, "")) == value
        for name, value in only.items()
    )


def _roll_ups(query: UsageQuery) -> Iterator[tuple[str, str]]:
    """The roll-ups of a query: the period of each and its key."""
    start = query.begin
    if query.per == "hour":
        while start < query.end:
            yield start.strftime("%Y-%m-%dT%H:00:00Z"), keyspace.usage_hour(start.strftime("%Y-%m-%dT%H"))
            start += timedelta(hours=1)
        return
    while start < query.end:
        day = start.strftime("%Y-%m-%d")
        yield {"day": day, "month": day[:7], "total": ""}[query.per], keyspace.usage_day(day)
        start += timedelta(days=1)


class _Totals:
    """Running sums of a query."""

    def __init__(self, query: UsageQuery) -> None:
        self._query = query
        self._rows: dict[tuple[str, ...], UsageRow] = {}
        self._unpriced: dict[tuple[str, str], int] = {}

    def add(self, period: str, stored: Sequence[bytes]) -> None:
        """Add groups of a roll-up, as they are stored.

        Raises:
            InvalidRequest: There are too many.
        """
        query = self._query
        for group, amounts in zip(stored[::2], stored[1::2], strict=True):
            parts = _parts(group.decode(errors="replace"))
            if any(parts.get(name, "") != value for name, value in query.only.items()):
                continue
            sums = dict(zip(SUMS, map(int, amounts.split(b",")), strict=False))
            values = {name: parts.get(name, "") for name in query.group_by}
            row = self._rows.setdefault((period, *values.values()), UsageRow(period, values, dict.fromkeys(SUMS, 0)))
            row.key_name = parts.get("name", "")
            _add_to(row.sums, sums)
            if sums["unpriced"]:
                model = parts.get("provider", ""), parts.get("model", "")
                self._unpriced[model] = self._unpriced.get(model, 0) + sums["unpriced"]
        if len(self._rows) > MAX_ROWS:
            raise InvalidRequest(
                f"The answer has more than {MAX_ROWS:,} rows. Ask for fewer groups, longer periods or a shorter range.",
                param="group_by",
            )

    def summary(self) -> UsageSummary:
        """Return the sums, sorted."""
        total = UsageRow("", {}, dict.fromkeys(SUMS, 0))
        for row in self._rows.values():
            _add_to(total.sums, row.sums)
        rows = sorted(self._rows.values(), key=_rank)
        return UsageSummary(rows, total, dict(sorted(self._unpriced.items(), key=lambda item: (-item[1], item[0]))))


def _rank(row: UsageRow) -> tuple[Any, ...]:
    return (row.period, -row.sums["cost"], -row.sums["calls"], *row.group.values())


def _add_to(sums: dict[str, int], more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        sums[name] += amount


def _parts(group: str) -> dict[str, str]:
    parts = dict(zip(PARTS, group.split("\x1f"), strict=False))
    for pair in parts.pop("dims", "").split("\x1e"):
        name, equals, value = pair.partition("=")
        if equals:
            parts[f"dim:{name}"] = value
    return parts

"""Sums of hours and days that are over, written as the ledger would have: no call can be booked in the past."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.governance import keyspace
from shared.governance.ledger.reports import SUMS
from shared.store.commands import Command, RedisCommands

HOURS_KEPT_S = 35 * 86_400
DAYS_KEPT_S = 400 * 86_400
WRITTEN_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PastUse:
    """What one group of calls used in an hour.

    Attributes:
        at: A moment of the hour, UTC.
        key: Id of the virtual key.
        name: Its name.
        dims: Dimensions and their values.
        sums: By the names of ``SUMS``; money in micro-USD; what is missing is 0.
    """

    at: datetime
    key: str
    name: str
    team: str
    provider: str
    model: str
    request_type: str = "chat.completions"
    dims: Mapping[str, str] = field(default_factory=dict)
    sums: Mapping[str, int]


async def write_past(commands: RedisCommands, uses: Iterable[PastUse]) -> None:
    """Write the roll-ups of past hours and of their days; what they hold of the same groups is replaced.

    Args:
        commands: The store.
        uses: In any order; those of one group and hour are added up.

    Raises:
        StoreConnectionError: No answer; a part may be written.
    """
    totals: dict[tuple[str, int], dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0] * len(SUMS)))
    for use in uses:
        hour = keyspace.usage_hour(f"{use.at:%Y-%m-%dT%H}"), HOURS_KEPT_S
        day = keyspace.usage_day(f"{use.at:%Y-%m-%d}"), DAYS_KEPT_S
        for roll_up in (hour, day):
            sums = totals[roll_up][_group(use)]
            for place, name in enumerate(SUMS):
                sums[place] += use.sums.get(name, 0)
    written: list[Command] = []
    for (key, kept_s), groups in totals.items():
        fields = [text for group, sums in groups.items() for text in (group, ",".join(map(str, sums)))]
        written += [("HSET", key, *fields), ("EXPIRE", key, kept_s)]
    for start in range(0, len(written), WRITTEN_AT_ONCE):
        await commands.execute_many(written[start : start + WRITTEN_AT_ONCE])


def _group(use: PastUse) -> str:
    """The field of a roll-up, as books.lua names it."""
    dims = "\x1e".join(f"{name}={value}" for name, value in sorted(use.dims.items()))
    parts = [use.key, use.name, use.team, "", use.provider, use.model, use.request_type, dims]
    return "\x1f".join(parts)

"""How much limits have left, for metrics: the tightest ones, as parts of the whole."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from shared.governance.keyspace import HOLDS, PROVIDER_BATCHES, RUNS
from shared.governance.limits.guard import LimitGuard
from shared.governance.limits.model import LIMIT_KINDS, Limit, limits_of
from shared.settings.limits import Limited
from shared.settings.model import Settings
from shared.store.commands import RedisCommands

MAX_READ: Final = 1000
"""Limits whose meters one scrape reads, in one script of about 2 us each."""
MAX_SERIES: Final = 200

_OPEN: Final = {"reservations": HOLDS, "runs": RUNS, "provider_batches": PROVIDER_BATCHES}
"""Sorted sets with an entry for each that is open, by the name of their metric."""

Headroom = tuple[str, str, str, float]
"""Kind, scope, window, and what is left: 1 all, 0 nothing."""


def configured_limits(settings: Settings) -> tuple[Limit, ...]:
    """Return the limits of the configuration's teams, customers, providers and models."""
    tables: dict[str, Mapping[str, Limited]] = {
        "team": settings.teams,
        "customer": settings.customers,
        "provider": settings.providers,
        "model": settings.models,
    }
    return tuple(
        limit
        for kind, table in tables.items()
        for name, limited in table.items()
        for limit in limits_of(f"{kind}:{name}", limited)
    )


async def read_headroom(guard: LimitGuard, limits: Iterable[Limit]) -> list[Headroom]:
    """Read what limits have left, the tightest first.

    Args:
        guard: Reads the meters.
        limits: Any; of more than ``MAX_READ`` different ones the rest is left out.

    Raises:
        StoreUnavailable: No answer.
    """
    chosen = tuple(islice(dict.fromkeys(limits), MAX_READ))
    if not chosen:
        return []
    statuses = await guard.peek(chosen)
    left = {
        status.limit.id: (status.limit, max(0.0, 1 - (status.used + status.held) / status.limit.amount))
        for status in statuses
        if status.limit.amount > 0
    }
    tightest = sorted(left.values(), key=lambda found: found[1])[:MAX_SERIES]
    return [(LIMIT_KINDS[limit.kind].public, limit.scope, limit.window, part) for limit, part in tightest]


async def read_open(commands: RedisCommands) -> dict[str, int]:
    """Count open reservations, runs used in the last 30 days, and provider batches that are followed: one round trip.

    Raises:
        StoreConnectionError: No answer.
    """
    counts = await commands.execute_many([("ZCARD", key) for key in _OPEN.values()], retry_safe=True)
    return dict(zip(_OPEN, map(int, counts), strict=True))

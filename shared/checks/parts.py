"""Checks of what goes on inside: background parts that fail, and names from callers that fill the sums of usage."""

from collections.abc import Mapping
from datetime import datetime

from shared.background import RECENT_S
from shared.checks.findings import Finding, ok, unstyled, warn
from shared.governance.keyspace import usage_day
from shared.jobs.workers import running_workers
from shared.settings.model import LedgerSettings
from shared.store.commands import RedisCommands

MAX_GROUPS = 10_000
"""Of all keys together, as ``books.lua`` has it."""
NEAR = 0.8
LISTED = 5
_MINUTES = f"{RECENT_S / 60:.0f} minutes"


async def check_inside(commands: RedisCommands, settings: LedgerSettings, now: datetime) -> list[Finding]:
    """Return the findings of ``check_parts`` and ``check_groups``."""
    return [await check_parts(commands), await check_groups(commands, settings, now)]


async def check_parts(commands: RedisCommands) -> Finding:
    """Check whether background parts of the running workers keep failing.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    found = {worker.id: worker.failing_parts for worker in await running_workers(commands) if worker.failing_parts}
    if not found:
        return ok("background parts", f"none of a worker has failed in the last {_MINUTES}")
    described = [f"{describe_failing(parts)} in {unstyled(worker)}" for worker, parts in list(found.items())[:LISTED]]
    more = f" and in {len(found) - LISTED} more" if len(found) > LISTED else ""
    return warn(
        "background parts",
        f"failed in the last {_MINUTES}: {'; '.join(described)}{more}",
        "see 'a background part failed' in its log; five failures in a row end a worker, so let it be restarted",
    )


def describe_failing(parts: Mapping[str, int]) -> str:
    """Describe how often which parts have failed."""
    return ", ".join(f"{unstyled(part)} ({count} times)" for part, count in sorted(parts.items()))


async def check_groups(commands: RedisCommands, settings: LedgerSettings, now: datetime) -> Finding:
    """Check how near the groups of today's usage are to their limits, of each key and of all together.

    Args:
        now: The time in UTC.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    day = usage_day(f"{now:%Y-%m-%d}")
    total = int(await commands.execute("HLEN", day, retry_safe=True))
    flat = await commands.execute("HGETALL", f"{day}:groups", retry_safe=True)
    counts = {key.decode(): int(count) for key, count in zip(flat[::2], flat[1::2], strict=True)}
    most = settings.max_groups_per_key
    near = sorted((key for key, count in counts.items() if count >= NEAR * most), key=lambda key: -counts[key])
    fix = (
        "give it fewer models and dimensions (`x-bf-dim-*` headers), or raise ledger.max_groups_per_key: beyond the "
        "limit new ones are summed as (other)"
    )
    if near:
        named = [f"{unstyled(key) or 'callers without a key'} ({counts[key]})" for key in near[:LISTED]]
        more = f" and {len(near) - LISTED} more" if len(near) > LISTED else ""
        return warn("usage groups", f"of {most} that a key may add a day: {', '.join(named)}{more}", fix)
    if total >= NEAR * MAX_GROUPS:
        return warn("usage groups", f"all keys together have {total} of {MAX_GROUPS} groups today", fix)
    return ok("usage groups", f"{total} of {MAX_GROUPS} today, no key near its {most}")

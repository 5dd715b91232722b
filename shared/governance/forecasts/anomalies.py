"""Find keys that spend far above their own baseline, from the daily roll-ups."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from redis.exceptions import ResponseError

from shared.governance.forecasts.alerts import ANOMALY
from shared.governance.forecasts.rates import BASELINE_DAYS, ENOUGH_DAYS, Baseline, baseline
from shared.governance.keyspace import ALERT_WATCH, usage_day
from shared.governance.ledger.reports import PARTS, SUMS
from shared.governance.limits.guard import governance_scripts
from shared.store.commands import Argument, RedisCommands

DAY_MS = 86_400_000
# Groups of a day that are scanned; of a day with more, some keys may be missed.
MAX_GROUPS = 200_000
SCAN_COUNT = 1_000
_KEY, _COST = PARTS.index("key"), SUMS.index("cost")

log = logging.getLogger("finops.governance")

Spend = Mapping[str, int]
"""Micro-USD by key."""


class AnomalyWatch:
    """Compare every key's spend today with its baseline; raise at most one alert a day for each.

    Of all processes, one checks per period. Past days are read once and cached as one number per key; today is
    scanned in portions, so that the store is never blocked.

    Args:
        commands: The store.
        every_s: The period.
    """

    def __init__(self, commands: RedisCommands, every_s: float) -> None:
        self._commands = commands
        self._every_s = every_s
        self._past: dict[str, Spend] = {}

    async def look(self, now: datetime | None = None) -> int:
        """Check unless another process has done so in this period; return the number of alerts raised.

        Raises:
            StoreUnavailable: No answer.
        """
        taken: list[Argument] = ["SET", ALERT_WATCH, "1", "NX", "PX", max(1, round(self._every_s * 900))]
        if not await self._commands.execute(*taken):
            return 0
        return await self.check(now or datetime.now(UTC))

    async def check(self, now: datetime) -> int:
        """Check now; return the number of alerts raised.

        Raises:
            StoreUnavailable: No answer.
        """
        days = [(now - timedelta(days=back)).strftime("%Y-%m-%d") for back in range(BASELINE_DAYS, 0, -1)]
        self._past = {day: self._past[day] if day in self._past else await self._spend(day) for day in days}
        notified = 0
        for key, today in (await self._spend(now.strftime("%Y-%m-%d"))).items():
            found = baseline(self._days_of(key), today)
            if found.anomalous:
                notified += await self._notify(key, found, now)
        return notified

    def _days_of(self, key: str) -> list[int]:
        """The key's spend per day from its first day on; earlier days would lower the baseline."""
        spent = [day.get(key, 0) for day in self._past.values()]
        first = next((at for at, amount in enumerate(spent) if amount), len(spent))
        days = spent[first:]
        return days if len(days) >= ENOUGH_DAYS else []

    async def _spend(self, day: str) -> Spend:
        sums: defaultdict[str, int] = defaultdict(int)
        cursor, seen = "0", 0
        while seen < MAX_GROUPS:
            scanned: list[Argument] = ["HSCAN", usage_day(day), cursor, "COUNT", SCAN_COUNT]
            following, pairs = await self._commands.execute(*scanned, retry_safe=True)
            for group, amounts in zip(pairs[::2], pairs[1::2], strict=True):
                key = group.split(b"\x1f")[_KEY].decode(errors="replace")
                if key:
                    sums[key] += int(amounts.split(b",")[_COST])
            cursor, seen = following.decode(), seen + len(pairs) // 2
            if cursor == "0":
                break
        return sums

    async def _notify(self, key: str, found: Baseline, now: datetime) -> int:
        day = now.strftime("%Y-%m-%d")
        args: list[Argument] = [f"anomaly:{key}:{day}", round(now.timestamp() * 1000) + 2 * DAY_MS]
        args += ["kind", ANOMALY, "scope", f"key:{key}", "window", "1d"]
        args += ["used", found.today_micro_usd, "usual", round(found.usual_micro_usd)]
        try:
            return int(await self._commands.script(governance_scripts()["alert"], (), args, retry_safe=True))
        except ResponseError:
            log.exception("an alert could not be written", extra={"key": key})
            return 0

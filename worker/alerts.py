"""Periodic check for unusual spending, done by one worker of a deployment at a time."""

import asyncio
import logging

from redis.exceptions import RedisError

from shared.governance.forecasts.anomalies import AnomalyWatch
from shared.store.errors import StoreConnectionError

log = logging.getLogger("finops.alerts")


async def watch_spending(watch: AnomalyWatch, every_s: float) -> None:
    """Check once per period until cancelled; store outages are waited out."""
    while True:
        try:
            await watch.look()
        except (RedisError, OSError, StoreConnectionError) as error:
            log.warning("spending check skipped: the store is unavailable", extra={"reason": type(error).__name__})
        await asyncio.sleep(every_s)

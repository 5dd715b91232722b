"""Looks for unusual spending from time to time, in one worker of all."""

import asyncio
import logging

from redis.exceptions import RedisError

from shared.governance.forecasts.anomalies import AnomalyWatch
from shared.store.errors import StoreConnectionError

log = logging.getLogger("finops.alerts")


async def watch_spending(watch: AnomalyWatch, every_s: float) -> None:
    """Look once per period until cancelled; the store's outages are waited out."""
    while True:
        try:
            await watch.look()
        except (RedisError, OSError, StoreConnectionError) as error:
            log.warning("unusual spending is not looked for: the store is away", extra={"reason": type(error).__name__})
        await asyncio.sleep(every_s)

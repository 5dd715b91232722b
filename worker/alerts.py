"""Periodic checks done by one worker of a deployment at a time: unusual spending, and alert rules."""

import asyncio
import logging

from redis.exceptions import RedisError

from shared.alerts.evaluation import EVALUATE_EVERY_S, AlertEvaluator
from shared.errors import GatewayError
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


async def watch_rules(evaluator: AlertEvaluator, every_s: float = EVALUATE_EVERY_S) -> None:
    """Evaluate alert rules once per period until cancelled; store outages are waited out."""
    while True:
        try:
            await evaluator.look()
        except (RedisError, OSError, GatewayError) as error:
            log.warning("alert rules skipped: the store is unavailable", extra={"reason": type(error).__name__})
        await asyncio.sleep(every_s)

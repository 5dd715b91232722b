"""The status of limits, as administrators and the keys that they bind see it."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.services import Services
from shared import clock
from shared.governance.forecasts.limit_status import limit_status_of
from shared.governance.ledger.reports import Reports
from shared.governance.limits.guard import LimitGuard
from shared.governance.limits.model import Limit
from shared.governance.limits.raises import Raises


async def limit_status(
    services: Services, limits: Sequence[Limit], rates: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Return used, reserved and remaining of limits, and a forecast of budgets.

    Args:
        services: Of the process.
        limits: A caller's.
        rates: What ``read_rates`` returned for them; None: they are read now.

    Raises:
        StoreUnavailable: No answer.
    """
    commands = services.commands
    reports, raises = Reports(commands), Raises(commands)
    return await limit_status_of(LimitGuard(commands), reports, raises, limits, clock.now(), rates=rates)

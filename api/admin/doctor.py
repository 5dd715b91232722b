"""``GET /api/doctor``: what `finops doctor` finds in the configuration and the store of the running gateway."""

import asyncio
from typing import Any, Final

from pydantic import BaseModel
from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ServicesDep, as_response
from api.http.request_context import json_reply
from shared import clock
from shared.alerts.rules import alert_scripts
from shared.checks.blobs import check_blobs
from shared.checks.findings import Finding, Level
from shared.checks.governance import check_address, check_admin_key, check_keys
from shared.checks.limits import check_limits
from shared.checks.store import check_store
from shared.governance.limits.guard import governance_scripts
from shared.settings.model import Settings
from shared.store.address import DEFAULT_REDIS_URL
from shared.webhooks.scripts import webhook_scripts

router = admin_router("/api")

FRESH_S: Final = 10.0
_WORST_FIRST: Final[tuple[Level, ...]] = ("FAIL", "WARN", "OK")


class FoundProblem(BaseModel):
    """One finding; `fix` says what to do, and is empty if nothing."""

    check: str
    level: Level
    message: str
    fix: str


class Examination(BaseModel):
    """Findings, the worst first."""

    object: str = "list"
    data: list[FoundProblem]
    checked_at: str


@router.get("/doctor", summary="Check the installation", response_model=Examination)
async def doctor(services: ServicesDep) -> Response:
    """Findings about configuration, store, keys, queue, alert rules and object store, each with a remedy.

    Checked again after ten seconds at the earliest. `finops doctor` checks the files of a machine and providers too.
    """
    return as_response(
        json_reply(await services.shared_answers.get("doctor", FRESH_S, lambda: examine(services.settings)))
    )


async def examine(settings: Settings) -> dict[str, Any]:
    """Run the checks that need no file of a machine.

    Args:
        settings: The effective configuration.

    Returns:
        As the API answers.
    """
    await asyncio.to_thread(_read_scripts)
    redis = settings.redis.url
    url = DEFAULT_REDIS_URL if redis is None else redis.get_secret_value()
    checked = await asyncio.gather(check_keys(settings, url), check_store(url, settings), check_blobs(settings))
    findings = [check_address(settings), *check_limits(settings), *(finding for found in checked for finding in found)]
    if settings.auth.admin_key is not None:
        findings.insert(0, check_admin_key(settings, None))
    findings.sort(key=lambda finding: _WORST_FIRST.index(finding.level))
    return {
        "object": "list",
        "data": [_to_dict(finding) for finding in findings],
        "checked_at": clock.rfc3339(clock.now()),
    }


def _read_scripts() -> None:
    """Read files outside of the event loop; they are kept."""
    governance_scripts()
    webhook_scripts()
    alert_scripts()


def _to_dict(finding: Finding) -> dict[str, str]:
    return {"check": finding.check, "level": finding.level, "message": finding.message, "fix": finding.fix}

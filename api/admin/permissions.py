"""The permission that each route of ``/api`` needs; a route without a row is for the role admin alone."""

from collections.abc import Mapping
from typing import Final

from shared.governance.keys.roles import Permission

_MONITOR, _READ, _OPERATE = Permission.MONITOR, Permission.READ, Permission.OPERATE
_SPEND, _ADMINISTER = Permission.SPEND, Permission.ADMINISTER

PERMISSIONS: Final[Mapping[str, Permission]] = {
    "GET /api/queue/scale": _MONITOR,
    "GET /api/alerts": _READ,
    "GET /api/alerts/rules": _READ,
    "GET /api/audit": _READ,
    "GET /api/batches": _READ,
    "GET /api/cache": _READ,
    "GET /api/cache/shadow": _READ,
    "GET /api/doctor": _READ,
    "GET /api/jobs": _READ,
    "GET /api/jobs/dead": _READ,
    "GET /api/jobs/{job_id}": _READ,
    "GET /api/keys": _READ,
    "GET /api/keys/{key_id}": _READ,
    "GET /api/keys/{key_id}/limits": _READ,
    "GET /api/lanes": _READ,
    "GET /api/limits": _READ,
    "GET /api/logs": _READ,
    "GET /api/logs/export": _READ,
    "GET /api/operations/{operation_id}": _READ,
    "GET /api/overview": _READ,
    "GET /api/prices": _READ,
    "GET /api/prices/data": _READ,
    "GET /api/queue": _READ,
    "GET /api/queue/pauses": _READ,
    "GET /api/runs": _READ,
    "GET /api/schedules": _READ,
    "GET /api/schedules/{schedule_id}": _READ,
    "GET /api/system": _READ,
    "GET /api/tokens": _READ,
    "GET /api/tokens/{token_id}": _READ,
    "GET /api/usage": _READ,
    "GET /api/usage/export": _READ,
    "GET /api/usage/forecast": _READ,
    "GET /api/webhooks/deliveries": _READ,
    "GET /api/webhooks/deliveries/{delivery_id}": _READ,
    "POST /api/alerts/{name}/mute": _OPERATE,
    "POST /api/alerts/{name}/unmute": _OPERATE,
    "POST /api/cache/purge": _OPERATE,
    "DELETE /api/cache/clear/{entry_id}": _OPERATE,
    "DELETE /api/cache/clear-by-key/{cache_key}": _OPERATE,
    "DELETE /api/cache/entries/{entry_id}": _OPERATE,
    "POST /api/config/reload": _OPERATE,
    "POST /api/jobs/bulk": _OPERATE,
    "POST /api/jobs/{job_id}/cancel": _OPERATE,
    "POST /api/jobs/{job_id}/retry": _OPERATE,
    "POST /api/operations/{operation_id}/cancel": _OPERATE,
    "PUT /api/queue/pauses/{scope}": _OPERATE,
    "DELETE /api/queue/pauses/{scope}": _OPERATE,
    "POST /api/webhooks/deliveries/{delivery_id}/redeliver": _OPERATE,
    "POST /api/webhooks/{name}/test": _OPERATE,
    "POST /api/keys/{key_id}/limits/raise": _SPEND,
    "POST /api/console/ticket": _ADMINISTER,
    "PUT /api/prices/data": _SPEND,
    "DELETE /api/prices/data": _SPEND,
    "POST /api/keys": _ADMINISTER,
    "DELETE /api/keys/{key_id}": _ADMINISTER,
    "PATCH /api/keys/{key_id}": _ADMINISTER,
    "POST /api/keys/{key_id}/revoke": _ADMINISTER,
    "POST /api/keys/{key_id}/rotate": _ADMINISTER,
    "POST /api/tokens": _ADMINISTER,
    "DELETE /api/tokens/{token_id}": _ADMINISTER,
    "GET /api/webhooks/secret": _ADMINISTER,
    "POST /api/webhooks/{name}/rotate-secret": _ADMINISTER,
}


def permission_for(method: str, path: str) -> Permission:
    """The permission that a route needs; ``path`` is its template."""
    return PERMISSIONS.get(f"{method} {path}", _ADMINISTER)

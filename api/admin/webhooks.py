"""``/api/webhooks``: the secret that signs callbacks."""

from starlette.responses import Response

from api.admin.access import admin_router
from api.endpoints.deps import ContextDep, ServicesDep, as_response
from api.http.request_context import AuditEvent, json_reply
from shared.jobs.callback_secret import callback_secret

router = admin_router("/api/webhooks")


@router.get("/secret", summary="Get the secret that signs callbacks to URLs")
async def secret(services: ServicesDep, context: ContextDep) -> Response:
    """For receivers of ``x-bf-async-webhook: <URL>``. Configured webhooks have secrets of their own."""
    context.audit_event = AuditEvent("webhook secret")  # reading it is audited: whoever knows it can sign
    return as_response(json_reply({"secret": await callback_secret(services.commands)}))

"""What administrators need to know of webhooks."""

from starlette.responses import Response

from api.admin.access import admin_router
from api.http.deps import ContextDep, ServicesDep, as_response
from api.http.request_context import AuditEvent, json_reply
from shared.jobs.callback_secret import callback_secret

router = admin_router("/api/webhooks")


@router.get("/secret", summary="The secret that signs callbacks to unnamed URLs")
async def secret(services: ServicesDep, context: ContextDep) -> Response:
    """For the receivers of ``x-bf-async-webhook: <URL>``; a configured webhook has a secret of its own."""
    context.audit_event = AuditEvent("webhook secret")  # whoever knows it can sign: that it was read is kept too
    return as_response(json_reply({"secret": await callback_secret(services.commands)}))

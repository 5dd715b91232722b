"""``/api/tokens``: tokens for machines, each with a role and an end. A value is returned once, when it is created."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, field_validator
from starlette.responses import Response

from api.admin.access import admin_router
from api.admin.audited import name_of
from api.endpoints.deps import ContextDep, ServicesDep, as_response
from api.http.query import list_reply
from api.http.request_context import NO_STORE, AuditEvent, Reply, json_reply
from shared import clock
from shared.governance.keys.roles import Role
from shared.governance.keys.tokens import ApiToken
from shared.settings.section import Section

router = admin_router("/api/tokens")

MOST_AHEAD = timedelta(days=366)
DEFAULT_LIFETIME = timedelta(days=90)
RoleName = Literal["viewer", "operator", "finance", "admin"]


class NewToken(Section):
    """A new API token; its value is generated."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=100,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._ \-]*$",
            description="For lists and the audit trail.",
            examples=["grafana"],
        ),
    ]
    role: Annotated[RoleName, Field(description="What it may do.", examples=["viewer"])]
    expires_at: Annotated[
        AwareDatetime | None,
        Field(description="Its end, with an offset: at most 366 days ahead. Default: in 90 days."),
    ] = None

    @field_validator("expires_at")
    @classmethod
    def _within_a_year(cls, value: datetime | None) -> datetime | None:
        now = clock.now()
        if value is not None and not now + timedelta(seconds=1) < value <= now + MOST_AHEAD:
            raise ValueError("must be in the future and at most 366 days ahead")
        return value


class TokenAnswer(BaseModel):
    """An API token."""

    object: Literal["api_token"] = "api_token"
    id: Annotated[str, Field(examples=["tok_0123456789abcdef"])]
    name: Annotated[str, Field(examples=["grafana"])]
    role: RoleName
    created_at: str
    created_by: Annotated[str, Field(description="As in the audit trail.")]
    expires_at: str


class NewTokenAnswer(TokenAnswer):
    """A new API token with its value."""

    value: Annotated[str, Field(description="Returned this once only.")]


class TokenList(BaseModel):
    """All tokens, the one that ends first first."""

    object: Literal["list"] = "list"
    data: list[TokenAnswer]


@router.post("", summary="Create an API token", status_code=201, response_model=NewTokenAnswer)
async def create(body: NewToken, services: ServicesDep, context: ContextDep) -> Response:
    """The token with its value, which is returned only this once; the gateway keeps a hash."""
    expires_at = body.expires_at or clock.now() + DEFAULT_LIFETIME
    detail = {"name": body.name, "role": body.role, "expires_at": clock.rfc3339(expires_at)}
    context.audit_event = AuditEvent("", detail)
    token, value = await services.tokens.create(
        body.name, Role(body.role), expires_at.timestamp(), name_of(services, context)
    )
    context.audit_event = AuditEvent(token.id, detail)
    reply = json_reply({**_document(token), "value": value}, 201)
    return as_response(Reply(reply.status, reply.body, (*reply.headers, NO_STORE)))


@router.get("", summary="List API tokens", response_model=TokenList)
async def list_all(services: ServicesDep) -> Response:
    """Those that have not expired, the one that ends first first; there are 1,000 at most, on one page."""
    return as_response(list_reply([_document(token) for token in await services.tokens.list()], more=False))


@router.get("/{token_id}", summary="Get an API token", response_model=TokenAnswer)
async def show(token_id: str, services: ServicesDep) -> Response:
    """Its role and its end; never its value."""
    return as_response(json_reply(_document(await services.tokens.get(token_id))))


@router.delete("/{token_id}", summary="Delete an API token")
async def delete(token_id: str, services: ServicesDep) -> Response:
    """Its next use is refused, by every process."""
    await services.tokens.delete(token_id)
    return as_response(json_reply({"object": "api_token", "id": token_id, "deleted": True}))


def _document(token: ApiToken) -> dict[str, Any]:
    return {
        "object": "api_token",
        "id": token.id,
        "name": token.name,
        "role": token.role.value,
        "created_at": token.created_at,
        "created_by": token.created_by,
        "expires_at": token.expires_at,
    }

"""``/ui``: the console's files, and signing in and out of it."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.endpoints.deps import ContextDep, ServicesDep, as_response
from api.http.bodies import read_bounded_body
from api.http.console_assets import Asset, load_assets
from api.http.request_context import Reply, RequestContext, json_reply
from api.services import Services
from shared.errors import Forbidden, InvalidRequest, NotFound, VirtualKeyNotFound
from shared.governance.keys.sessions import SESSION_S, Session, is_same_origin, session_cookie, token_of

router = APIRouter(prefix="/ui", tags=["console"])

MAX_BODY_BYTES = 8 * 1024


class SignIn(BaseModel):
    """Proof of who signs in: a key, or the ticket of a one-time link."""

    key: Annotated[str, Field(max_length=4096)] = ""
    ticket: Annotated[str, Field(max_length=64)] = ""


@router.get("/session", summary="Get the console session of this browser")
async def get_session(services: ServicesDep, context: ContextDep) -> Response:
    """`session` is null for a browser that is not signed in; `login` is where people sign in, if they can."""
    session = await services.sessions.of_request(context.headers)
    login = {} if services.openid is None else {"login": "/ui/login"}
    return as_response(json_reply({"session": await _describe(services, session) if session else None, **login}))


@router.post("/session", summary="Sign in to the console")
async def sign_in(request: Request, services: ServicesDep, context: ContextDep) -> Response:
    """Sets the session's cookie: HttpOnly, SameSite=Strict, 12 hours."""
    if not is_same_origin(context.headers):
        raise Forbidden("Signing in is possible from the console's own page only.")
    body = await read_bounded_body(request.receive, MAX_BODY_BYTES)
    try:
        proof = SignIn.model_validate_json(body)
    except ValueError:
        raise InvalidRequest('Send {"key": "..."} or {"ticket": "..."} as JSON.', param="body") from None
    key_id = await _authenticate(services, context, proof, services.addresses.of(request.scope))
    token, session = await services.sessions.create(key_id)
    cookie = session_cookie(token, SESSION_S, secure=request.url.scheme == "https")
    return as_response(json_reply({"session": await _describe(services, session)}, headers=(cookie,)))


@router.delete("/session", summary="Sign out of the console", status_code=204)
async def sign_out(services: ServicesDep, context: ContextDep) -> Response:
    """Ends the session on every process within two seconds."""
    if not is_same_origin(context.headers):
        raise Forbidden("Signing out is possible from the console's own page only.")
    token = token_of(context.headers.get(b"cookie", b""))
    if token:
        await services.sessions.end(token)
    return as_response(Reply(204, b"", (session_cookie("", 0, secure=False),)))


@router.get("", include_in_schema=False)
@router.get("/{path:path}", include_in_schema=False)
async def serve_file(context: ContextDep, path: str = "") -> Response:
    """A file of the console, or its page for every other address below ``/ui``."""
    context.surface = "console"
    assets = await asyncio.to_thread(load_assets)  # reads files the first time
    asset = assets.files.get(path)
    if asset is None and path.endswith((".js", ".mjs", ".css")):
        raise NotFound(f"The console has no file {path[:100]!r}; reload the page.")
    return as_response(_file_reply(asset or assets.page, context))


def _file_reply(asset: Asset, context: RequestContext) -> Reply:
    if context.headers.get(b"if-none-match") == asset.etag:
        return Reply(304, b"", asset.headers)
    if b"gzip" in context.headers.get(b"accept-encoding", b""):
        return Reply(200, asset.packed, (*asset.headers, (b"content-encoding", b"gzip")))
    return Reply(200, asset.plain, asset.headers)


async def _authenticate(services: Services, context: RequestContext, proof: SignIn, address: str) -> str:
    """Return the id of the key that signs in; empty: the administrator.

    Raises:
        VirtualKeyNotFound: The key or ticket is wrong.
        TooManyAttempts: Too many wrong ones came from this address.
    """
    headers = {b"authorization": b"Bearer " + (proof.key or proof.ticket).strip().encode()}
    context.surface = "console"
    if proof.ticket and not proof.key:
        if await services.sessions.use_ticket(proof.ticket):
            return ""
    elif services.governance.is_admin(headers):
        return ""
    else:
        key_id = await _key_of(services, proof.key.strip().encode())
        if key_id:
            return key_id
    services.attempts.wrong(address, services.governance.fingerprint_of(headers))
    raise VirtualKeyNotFound("Neither the admin key nor a virtual key has this value.", param="key")


async def _key_of(services: Services, value: bytes) -> str:
    try:
        return (await services.governance.identify({b"x-bf-vk": value})).key_id
    except VirtualKeyNotFound:
        return ""


async def _describe(services: Services, session: Session) -> dict[str, str]:
    if (who := session.administrator) is not None:
        name = who.name or "administrator"
        return {"role": who.role.value, "name": name, "key_id": "", "expires_at": session.expires_at}
    caller = await services.governance.owner(session.key_id)
    return {"role": "key", "name": caller.name, "key_id": caller.key_id, "expires_at": session.expires_at}

"""``/ui/login``: people sign in to the console at their organisation's OpenID provider."""

import base64
import logging
from urllib.parse import urlsplit

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from api.admin.audited import AuditedRoute
from api.endpoints.deps import ContextDep, ServicesDep, as_response
from api.http.openid import OpenIdProvider, PendingSignIn, SignInError
from api.http.request_context import NO_STORE, AuditEvent, HeaderLine, Reply
from api.services import Services
from shared.errors import NotFound
from shared.governance.keys.authenticate import caller_for
from shared.governance.keys.sessions import SESSION_S, cookie_in, session_cookie

router = APIRouter(prefix="/ui/login", tags=["console"], route_class=AuditedRoute)

COOKIE = "finops_sign_in"
PATH = "/ui/login"
LIFETIME_S = 600

logger = logging.getLogger("finops.sign-in")


@router.get("", summary="Sign in at the OpenID provider", status_code=302, response_class=Response)
async def begin(request: Request, services: ServicesDep) -> Response:
    """Sends the browser to the provider of `[auth.oidc]`, which sends it back to `/ui/login/callback`."""
    provider = _provider(services)
    configured = services.settings.auth.oidc
    redirect_uri = configured.redirect_uri if configured else None
    try:
        url, pending = await provider.begin(
            redirect_uri or f"{request.url.scheme}://{request.url.netloc}{PATH}/callback"
        )
    except SignInError as error:
        logger.warning("nobody can sign in: %s", error)
        return _redirect(f"/ui#problem={error.code}")
    value = base64.urlsafe_b64encode(orjson.dumps(tuple(pending))).decode()
    return _redirect(url, _pending_cookie(value, LIFETIME_S, secure=_is_secure(request, pending)))


@router.get("/callback", summary="Come back from the OpenID provider", status_code=302, response_class=Response)
async def finish(request: Request, services: ServicesDep, context: ContextDep) -> Response:
    """Begins a session in the role that the provider's claims give, and opens the console."""
    provider = _provider(services)
    context.surface = "console"
    pending = _pending_in(context.headers.get(b"cookie", b""))
    try:
        if pending is None:
            raise SignInError("failed", "this browser has not begun to sign in")
        person = await provider.finish(pending, request.query_params)
    except SignInError as error:
        logger.warning("a person was not signed in: %s", error)
        return _redirect(f"/ui#problem={error.code}", _pending_cookie("", 0, secure=False))
    token, session = await services.sessions.create(role=person.role, name=person.name)
    context.caller = caller_for(person)
    context.audit_event = AuditEvent("console", {"role": person.role.value, "expires_at": session.expires_at})
    secure = _is_secure(request, pending)
    cookie = session_cookie(token, SESSION_S, secure=secure)
    return _redirect("/ui", cookie, _pending_cookie("", 0, secure=secure))


def _provider(services: Services) -> OpenIdProvider:
    if services.openid is None:
        raise NotFound("Signing in at an OpenID provider is not configured: [auth.oidc].")
    return services.openid


def _pending_in(cookie: bytes) -> PendingSignIn | None:
    try:
        fields = orjson.loads(base64.urlsafe_b64decode(cookie_in(cookie, COOKIE)))
        pending = PendingSignIn(*fields)
    except (ValueError, TypeError):
        return None
    return pending if all(isinstance(field, str) for field in pending) else None


def _is_secure(request: Request, pending: PendingSignIn) -> bool:
    """Whether the browser speaks TLS: to us, or to the proxy whose address is configured."""
    return "https" in (request.url.scheme, urlsplit(pending.redirect_uri).scheme)


def _pending_cookie(value: str, lifetime_s: int, *, secure: bool) -> HeaderLine:
    """``SameSite=Lax``: the provider's redirect has to bring it back."""
    tail = "; Secure" if secure else ""
    return b"set-cookie", f"{COOKIE}={value}; Path={PATH}; Max-Age={lifetime_s}; HttpOnly; SameSite=Lax{tail}".encode()


def _redirect(url: str, *cookies: HeaderLine) -> Response:
    return as_response(Reply(302, b"", ((b"location", url.encode()), NO_STORE, *cookies)))

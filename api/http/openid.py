"""Signs people in at an OpenID provider: authorization code flow with PKCE, ID token checked against its keys.

joserfc, the JOSE library of Authlib's authors, belongs to the extra ``oidc``. It is imported when an ``OpenIdProvider``
is made, and one is made only where ``[auth.oidc]`` is configured.
"""

import base64
import hashlib
import importlib
import logging
import secrets
import ssl
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
import orjson

from shared.governance.keys.roles import GIVEN_ROLES, Administrator, Role
from shared.settings.auth import OidcSettings

EXTRA: Final = "finops-gateway[oidc]"
TIMEOUT_S: Final = 10.0
LEEWAY_S: Final = 60
MAX_NAME: Final = 100
# Asymmetric ones alone: with the others, whoever knows the client's secret could sign.
ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]

logger = logging.getLogger("finops.sign-in")


class SignInError(Exception):
    """A person cannot sign in; the message is for logs.

    Attributes:
        code: ``denied``, ``no_role`` or ``failed``: what the console says.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class PendingSignIn(NamedTuple):
    """A sign-in that has begun; kept by the browser alone, in a cookie that scripts cannot read."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str


class OpenIdProvider:
    """A provider at which people sign in. Construction reads files and imports: it belongs in a thread.

    Args:
        options: As configured.
    """

    def __init__(self, options: OidcSettings) -> None:
        self._options = options
        self._roles = {Role(name): frozenset(values) for name, values in options.roles.items()}
        self._jwt: Any = importlib.import_module("joserfc.jwt")
        self._key_set: Any = importlib.import_module("joserfc.jwk").KeySet
        self._jose_error: Any = importlib.import_module("joserfc.errors").JoseError
        self._tls = ssl.create_default_context()
        self._metadata: dict[str, Any] = {}

    async def begin(self, redirect_uri: str) -> tuple[str, PendingSignIn]:
        """Begin a sign-in.

        Args:
            redirect_uri: Where the provider sends the browser back to.

        Returns:
            The address at which the person signs in, and what ``finish`` needs.

        Raises:
            SignInError: The provider does not answer as one.
        """
        metadata = await self._discover()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        pending = PendingSignIn(state, nonce, verifier, redirect_uri)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": self._options.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self._options.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint = metadata["authorization_endpoint"]
        url = f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"
        return url, pending

    async def finish(self, pending: PendingSignIn, query: Mapping[str, str]) -> Administrator:
        """Finish a sign-in with what the provider sent the browser back with.

        Raises:
            SignInError: It was denied, does not belong to this browser, is not genuine, or has no role.
        """
        if not secrets.compare_digest(query.get("state", "").encode(), pending.state.encode()):
            raise SignInError("failed", "the state is not that of this browser's sign-in")
        if "code" not in query:
            raise SignInError("denied", f"the provider answered {query.get('error', 'without a code')[:100]!r}")
        metadata = await self._discover()
        if query.get("iss", metadata["issuer"]) != metadata["issuer"]:
            raise SignInError("failed", "the answer is from another issuer")
        try:
            async with self._client() as client:
                claims = await self._exchange(client, metadata, pending, query["code"])
        except (httpx.HTTPError, self._jose_error, ValueError, KeyError, TypeError) as error:
            raise SignInError("failed", f"{type(error).__name__}: {str(error)[:200]}") from error
        return self._administrator(claims)

    async def _exchange(
        self,
        client: httpx.AsyncClient,
        metadata: Mapping[str, Any],
        pending: PendingSignIn,
        code: str,
    ) -> dict[str, Any]:
        """Exchange the code for tokens, and return the claims of the ID token and of the provider's user info."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": pending.redirect_uri,
            "code_verifier": pending.verifier,
        }
        client_id, secret = self._options.client_id, self._options.client_secret
        # RFC 6749, 2.3.1: both are form-encoded before they are joined.
        auth = httpx.Auth()
        if secret:
            auth = httpx.BasicAuth(quote_plus(client_id), quote_plus(secret.get_secret_value()))
        else:
            form["client_id"] = client_id
        token = _document(await client.post(metadata["token_endpoint"], data=form, auth=auth))
        keys = self._key_set.import_key_set(_document(await client.get(metadata["jwks_uri"])))
        decoded = self._jwt.decode(token["id_token"], keys, algorithms=ALGORITHMS)
        self._jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": metadata["issuer"]},
            aud={"essential": True, "value": self._options.client_id},
            exp={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": pending.nonce},
        ).validate(decoded.claims)
        claims = dict(decoded.claims)
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != self._options.client_id:
            raise ValueError("the ID token is for another client")
        if "userinfo_endpoint" in metadata and _claim(claims, self._options.role_claim) is None:
            bearer = {"authorization": f"Bearer {token['access_token']}"}
            more = _document(await client.get(metadata["userinfo_endpoint"], headers=bearer))
            claims = {**more, **claims} if more.get("sub") == claims["sub"] else claims
        return claims

    def _administrator(self, claims: Mapping[str, Any]) -> Administrator:
        found = _claim(claims, self._options.role_claim)
        values = {found} if isinstance(found, str) else {each for each in found or () if isinstance(each, str)}
        subject = str(claims["sub"])[:MAX_NAME]
        name = str(claims.get("email") or claims.get("preferred_username") or claims.get("name") or "")[:MAX_NAME]
        name = f"{name} ({subject})" if name else f"person {subject}"
        for role in reversed(GIVEN_ROLES):
            if values & self._roles.get(role, frozenset()):
                return Administrator(name, role)
        if self._options.default_role:
            return Administrator(name, Role(self._options.default_role))
        raise SignInError("no_role", f"{name} has no role: {self._options.role_claim} has {sorted(values)[:20]}")

    async def _discover(self) -> dict[str, Any]:
        """Read the provider's metadata, once."""
        if not self._metadata:
            url = f"{self._options.issuer.rstrip('/')}/.well-known/openid-configuration"
            try:
                async with self._client() as client:
                    found = _document(await client.get(url))
            except (httpx.HTTPError, ValueError) as error:
                raise SignInError("failed", f"{url} cannot be read: {type(error).__name__} {error}") from error
            if found.get("issuer") != self._options.issuer:
                raise SignInError("failed", f"{url} is of the issuer {str(found.get('issuer'))[:200]!r}")
            needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            if not all(_is_url(found.get(name)) for name in needed):
                raise SignInError("failed", f"{url} lacks one of {', '.join(needed)}")
            self._metadata = found
        return self._metadata

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(verify=self._tls, timeout=TIMEOUT_S)


def build_openid(options: OidcSettings | None) -> OpenIdProvider | None:
    """Build the provider of ``[auth.oidc]``; None: it is not configured, or its extra is not installed."""
    if options is None:
        return None
    try:
        return OpenIdProvider(options)
    except ModuleNotFoundError as error:
        logger.error("people cannot sign in: pip install '%s' (%s)", EXTRA, error)  # noqa: TRY400 - for people
        return None


def _document(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        httpx.HTTPError: An error status.
        ValueError: It is something else.
    """
    answer.raise_for_status()
    found = orjson.loads(answer.content)
    if not isinstance(found, dict):
        raise ValueError("the answer is not a JSON object")  # noqa: TRY004 - of the provider, not of a caller
    return found


def _claim(claims: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - a claim is anything
    """A claim by its name, or by its path, as in ``realm_access.roles``."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _is_url(value: object) -> bool:
    return isinstance(value, str) and urlsplit(value).scheme in {"https", "http"}

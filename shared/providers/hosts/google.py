"""Access tokens of Google Cloud: for a service account or a user, or what google-auth finds.

Sources: https://developers.google.com/identity/protocols/oauth2/service-account#httprest,
https://cloud.google.com/docs/authentication/application-default-credentials
"""

import asyncio
import base64
import importlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

import orjson

from shared.errors import GatewayError, UpstreamFailure, UpstreamRefused
from shared.providers.base import Provider
from shared.providers.hosts.fetch import DEFAULT_LIFE_S, Fetch, fetch_token
from shared.providers.hosts.refreshed import Expiring, Refreshed

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFE_S = 3600
_OF_USERS = ("client_id", "client_secret", "refresh_token")
EXTRA = "install the extra 'vertex'"


class GoogleTokens:
    """Access tokens for providers, one per credentials.

    Args:
        environ: ``GOOGLE_APPLICATION_CREDENTIALS``: a key file, for providers that configure none.
    """

    def __init__(self, fetch: Fetch, environ: Mapping[str, str], *, now: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._environ = environ
        self._now = now
        self._tokens: dict[str, Refreshed[str]] = {}

    async def get(self, provider: Provider) -> str:
        """The access token of the provider's credentials.

        Raises:
            UpstreamRefused: 401, there are none, or they are not accepted.
            UpstreamFailure: The identity service cannot be reached.
        """
        own, common = provider.credentials, self._environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
        token = self._tokens.get(own)
        if token is None:
            source = _Source(own or common, provider.name, self._fetch, self._now, default=not own)
            token = self._tokens[own] = Refreshed(source.obtain, now=self._now)
        return await token.get()

    async def aclose(self) -> None:
        """Stop the refreshes in progress."""
        for token in self._tokens.values():
            await token.aclose()


class _Source:
    """The source of tokens for one set of credentials; determined once.

    Args:
        credentials: A path, the JSON itself, or empty.
        default: Whether other kinds of credentials may be looked for, in the places and by the rules of google-auth.
    """

    def __init__(
        self, credentials: str, provider: str, fetch: Fetch, now: Callable[[], float], *, default: bool
    ) -> None:
        self._credentials = credentials
        self._default = default
        self._provider = provider
        self._fetch = fetch
        self._now = now
        self._library: Any = None

    async def obtain(self) -> Expiring[str]:
        """A fresh token.

        Raises:
            UpstreamRefused, UpstreamFailure: As ``GoogleTokens.get``.
        """
        info = await asyncio.to_thread(self._read) if self._credentials else {}
        kind = info.get("type")
        if kind == "service_account":
            form = {"grant_type": GRANT, "assertion": self._assertion(info)}
        elif kind == "authorized_user":
            form = {"grant_type": "refresh_token", **{name: str(info.get(name)) for name in _OF_USERS}}
        elif self._default:
            return await asyncio.to_thread(self._by_library)
        else:
            raise self._refused(
                f"its key file is of type {str(kind)[:40]!r}; configuration takes service accounts and users, and all "
                "other kinds are found through GOOGLE_APPLICATION_CREDENTIALS where it says none"
            )
        url = str(info.get("token_uri") or TOKEN_URL)
        return await fetch_token(self._fetch, url, form, provider=self._provider, now=self._now())

    def _read(self) -> dict[str, Any]:
        try:
            text = (
                self._credentials
                if self._credentials.lstrip().startswith("{")
                else Path(self._credentials).read_text("utf-8")
            )
            info = orjson.loads(text)
        except (OSError, ValueError) as error:
            raise self._refused("its credentials are neither a readable key file nor the JSON of one") from error
        if not isinstance(info, dict):
            raise self._refused("its key file is not a JSON object")
        return info

    def _assertion(self, info: Mapping[str, Any]) -> str:
        try:
            return signed_assertion(info, int(self._now()))
        except ImportError as error:
            raise self._refused(EXTRA) from error
        except (KeyError, TypeError, ValueError) as error:
            raise self._refused(f"its key file is incomplete ({type(error).__name__})") from error

    def _by_library(self) -> Expiring[str]:
        """Use the credentials that google-auth finds: workload, gcloud's own, the metadata server; blocks."""
        try:
            auth = importlib.import_module("google.auth")
            session = importlib.import_module("google.auth.transport.requests").Request
            failures = importlib.import_module("google.auth.exceptions")
        except ImportError as error:
            raise self._refused(
                f"set GOOGLE_APPLICATION_CREDENTIALS to a service account's key file, or {EXTRA}"
            ) from error
        try:
            if self._library is None:
                self._library, _ = auth.default(scopes=[SCOPE])
            self._library.refresh(session())
        except failures.TransportError as error:
            raise UpstreamFailure(
                f"The identity service of the provider {self._provider!r} cannot be reached."
            ) from error
        except (failures.GoogleAuthError, ValueError) as error:
            raise self._refused(f"google-auth raised {type(error).__name__}") from error
        expiry = self._library.expiry  # in UTC, but naive
        expires_at = expiry.replace(tzinfo=UTC).timestamp() if expiry else self._now() + DEFAULT_LIFE_S
        return Expiring(str(self._library.token), expires_at)

    def _refused(self, why: str) -> GatewayError:
        message = f"The provider {self._provider!r} has no usable Google credentials: {why}."
        return UpstreamRefused(401, {"message": message, "code": "invalid_credentials"}, provider=self._provider)


def signed_assertion(info: Mapping[str, Any], issued_at: int) -> str:
    """The JSON Web Token with which a service account asks for an access token (RFC 7523), signed with RS256.

    Raises:
        ImportError: ``cryptography`` is not installed.
        KeyError, TypeError, ValueError: The key file lacks something, or its key is none.
    """
    hashes = importlib.import_module("cryptography.hazmat.primitives.hashes")
    padding = importlib.import_module("cryptography.hazmat.primitives.asymmetric.padding")
    serialization = importlib.import_module("cryptography.hazmat.primitives.serialization")
    head = {"alg": "RS256", "typ": "JWT", "kid": info.get("private_key_id")}
    claims = {
        "iss": info["client_email"],
        "scope": SCOPE,
        "aud": info.get("token_uri") or TOKEN_URL,
        "iat": issued_at,
        "exp": issued_at + LIFE_S,
    }
    message = b".".join(_encoded(orjson.dumps(part)) for part in (head, claims))
    key = serialization.load_pem_private_key(info["private_key"].encode(), password=None)
    signature = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return (message + b"." + _encoded(signature)).decode()


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")

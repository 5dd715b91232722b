"""Access tokens of Microsoft Entra ID for an application that knows its secret.

Source: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

import time
from collections.abc import Callable, Mapping
from urllib.parse import quote

from shared.providers.hosts.fetch import Fetch, fetch_token
from shared.providers.hosts.refreshed import Expiring, Refreshed

SCOPE = "https://cognitiveservices.azure.com/.default"
AUTHORITY = "https://login.microsoftonline.com"
_VARIABLES = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")


class EntraTokens:
    """The token of the application that the environment names.

    Args:
        environ: ``AZURE_TENANT_ID``, ``AZURE_CLIENT_ID``, ``AZURE_CLIENT_SECRET``; ``AZURE_AUTHORITY_HOST`` for
            sovereign clouds.
    """

    def __init__(self, fetch: Fetch, environ: Mapping[str, str], *, now: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._environ = environ
        self._now = now
        self._token = Refreshed(self._obtain, now=now)

    @property
    def configured(self) -> bool:
        """Whether the environment names an application."""
        return all(self._environ.get(name) for name in _VARIABLES)

    async def get(self) -> str:
        """The access token.

        Raises:
            UpstreamRefused, UpstreamFailure: There is none.
        """
        return await self._token.get()

    async def aclose(self) -> None:
        """Stop a refresh in progress."""
        await self._token.aclose()

    async def _obtain(self) -> Expiring[str]:
        tenant, client, secret = (self._environ[name] for name in _VARIABLES)
        authority = (self._environ.get("AZURE_AUTHORITY_HOST") or AUTHORITY).rstrip("/")
        authority = authority if "://" in authority else f"https://{authority}"
        form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret, "scope": SCOPE}
        url = f"{authority}/{quote(tenant, safe='')}/oauth2/v2.0/token"
        return await fetch_token(self._fetch, url, form, provider="azure", now=self._now())

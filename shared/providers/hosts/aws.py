"""Find AWS credentials: the configuration's, the environment's, or those that botocore finds.

Source: https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

import asyncio
import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import UpstreamRefused
from shared.providers.base import Provider
from shared.providers.hosts.refreshed import Expiring, Refreshed
from shared.providers.hosts.sigv4 import AwsCredentials

# botocore renews what is temporary long before its end; here it is only spared a call per request.
ASK_AGAIN_S = 300.0
AHEAD_S = 60.0


class AwsIdentity:
    """Credentials for providers.

    Args:
        environ: ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``.
    """

    def __init__(self, environ: Mapping[str, str], *, now: Callable[[], float] = time.time) -> None:
        self._environ = environ
        self._now = now
        self._chain: Any = None
        self._found = Refreshed(self._find, ahead_s=AHEAD_S, now=now)

    async def credentials(self, provider: Provider) -> AwsCredentials:
        """Return the provider's credentials.

        Raises:
            UpstreamRefused: 401, there are none.
        """
        if provider.credentials:
            return _configured(provider)
        access, secret = self._environ.get("AWS_ACCESS_KEY_ID"), self._environ.get("AWS_SECRET_ACCESS_KEY")
        if access and secret:
            return AwsCredentials(access, secret, self._environ.get("AWS_SESSION_TOKEN", ""))
        found = await self._found.get()
        if found is None:
            raise _missing(
                provider,
                "set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or install the extra "
                "'bedrock' for profiles, roles and instance credentials",
            )
        return found

    async def aclose(self) -> None:
        """Stop a search in progress."""
        await self._found.aclose()

    async def _find(self) -> Expiring[AwsCredentials | None]:
        # Profiles are files and instance roles are HTTP requests: botocore blocks.
        found = await asyncio.to_thread(self._search)
        return Expiring(found, self._now() + ASK_AGAIN_S)

    def _search(self) -> AwsCredentials | None:
        if self._chain is None:
            try:
                session = importlib.import_module("botocore.session").get_session()
            except ImportError:
                return None
            self._chain = session.get_credentials()
        if self._chain is None:
            return None
        frozen = self._chain.get_frozen_credentials()
        return AwsCredentials(frozen.access_key, frozen.secret_key, frozen.token or "")


def _configured(provider: Provider) -> AwsCredentials:
    """``<access key>:<secret key>`` or ``<access key>:<secret key>:<session token>``."""
    access, _, rest = provider.credentials.partition(":")
    secret, _, token = rest.partition(":")
    if not access or not secret:
        raise _missing(provider, "its credentials must be <access key id>:<secret access key>[:<session token>]")
    return AwsCredentials(access, secret, token)


def _missing(provider: Provider, remedy: str) -> UpstreamRefused:
    message = f"The provider {provider.name!r} has no AWS credentials: {remedy}."
    return UpstreamRefused(401, {"message": message, "code": "invalid_credentials"}, provider=provider.name)

"""Azure OpenAI: the v1 API, or deployments with a dated version where one is configured.

Source: https://learn.microsoft.com/azure/ai-foundry/openai/reference
"""

from urllib.parse import quote

from shared.providers.base import Provider, ProviderKey
from shared.providers.hosts.base import Destination, target_below
from shared.providers.hosts.entra import EntraTokens
from shared.providers.wires.base import UpstreamRequest

# What a dated version serves below the resource, not below a deployment.
_RESOURCE_WIDE = ("/responses", "/files", "/batches", "/models", "/vector_stores", "/uploads")


class AzureHost:
    """An Azure OpenAI resource; a key goes into ``api-key``, without one the application's token is the bearer."""

    name = "azure"

    def __init__(self, tokens: EntraTokens | None = None) -> None:
        self._tokens = tokens

    async def destination(
        self, provider: Provider, key: ProviderKey | None, model: str, request: UpstreamRequest
    ) -> Destination:
        """``/openai/v1/…``, or ``/openai/deployments/{deployment}/…?api-version=``.

        Raises:
            UpstreamRefused, UpstreamFailure: There is no key, and no token either.
        """
        origin, target = target_below(
            provider.base_url.removesuffix("/openai/v1"), _path(provider, model, request.path)
        )
        if key:
            return Destination(origin, target, (("api-key", key.value),))
        if self._tokens is not None and self._tokens.configured:
            return Destination(origin, target, (("authorization", f"Bearer {await self._tokens.get()}"),))
        return Destination(origin, target)


def _path(provider: Provider, model: str, path: str) -> str:
    if not provider.api_version:
        return f"/openai/v1{path}"
    joint = "&" if "?" in path else "?"
    version = f"{joint}api-version={quote(provider.api_version, safe='')}"
    if path.startswith(_RESOURCE_WIDE):
        return f"/openai{path}{version}"
    return f"/openai/deployments/{quote(model, safe='')}{path}{version}"

"""Google's Vertex AI: an address per location, a path per publisher, access tokens.

Sources: https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations,
https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest,
https://cloud.google.com/vertex-ai/generative-ai/docs/start/openai
"""

import re
from urllib.parse import quote

from shared.providers.base import Provider, ProviderKey
from shared.providers.hosts.base import Destination, target_below
from shared.providers.hosts.google import GoogleTokens
from shared.providers.wires.base import UpstreamRequest

DEFAULT_LOCATION = "global"
# Which models a publisher has is the same in every project.
_CATALOGUE = re.compile(r"/publishers/[a-z]+/models(\?|$)")
_JURISDICTIONS = frozenset({"us", "eu"})


class VertexHost:
    """Models of Google, Anthropic and others in a project and a location; a key is one of Google's API keys."""

    name = "vertex"

    def __init__(self, tokens: GoogleTokens) -> None:
        self._tokens = tokens

    async def destination(
        self,
        provider: Provider,
        key: ProviderKey | None,
        model: str,  # noqa: ARG002 - stands in the path
        request: UpstreamRequest,
    ) -> Destination:
        """The location's address and the publisher's path.

        Raises:
            UpstreamRefused, UpstreamFailure: There is no access token.
        """
        location = provider.location or DEFAULT_LOCATION
        path = _path(provider.project, location, request.path)
        origin, target = target_below(provider.base_url or base_url(location), path)
        if key:
            return Destination(origin, target, (("x-goog-api-key", key.value),))
        return Destination(origin, target, (("authorization", f"Bearer {await self._tokens.get(provider)}"),))


def base_url(location: str) -> str:
    """The public endpoint of a location: the whole world, a jurisdiction, or a region."""
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in _JURISDICTIONS:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def _path(project: str, location: str, path: str) -> str:
    """Expand a wire's path to one in the project: a publisher's model, or the endpoint in OpenAI's format."""
    if _CATALOGUE.match(path):
        return f"/v1beta1{path}"
    prefix = f"/v1/projects/{quote(project, safe='')}/locations/{quote(location, safe='')}"
    if path.startswith("/publishers/"):
        return f"{prefix}{path}"
    if path.startswith("/models/"):
        return f"{prefix}/publishers/google{path}"
    return f"{prefix}/endpoints/openapi{path}"

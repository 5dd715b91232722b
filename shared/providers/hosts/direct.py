"""The plain host: paths below the base URL, the key as a bearer token."""

from shared.providers.base import Key, Provider
from shared.providers.hosts.base import Destination, target_below
from shared.providers.wires.base import UpstreamRequest


class DirectHost:
    """A provider reached at its own address."""

    name = "direct"

    async def destination(
        self,
        provider: Provider,
        key: Key | None,
        model: str,  # noqa: ARG002 - the same for every model here
        request: UpstreamRequest,
    ) -> Destination:
        """The base URL and a bearer token, if there is a key."""
        origin, target = target_below(provider.base_url, request.path)
        headers = {"authorization": f"Bearer {key.value}"} if key else {}
        return Destination(origin, target, headers)

"""The plain hosts: paths below the base URL, the key in one header."""

from shared.providers.base import Provider, ProviderKey
from shared.providers.hosts.base import Destination, target_below
from shared.providers.wires.base import UpstreamRequest


class DirectHost:
    """A provider reached at its own address.

    Args:
        name: As in the registry's rows.
        header: The one that carries the key.
        scheme: Prefix of the key.
    """

    def __init__(self, name: str = "direct", *, header: str = "authorization", scheme: str = "Bearer ") -> None:
        self.name = name
        self._header = header
        self._scheme = scheme

    async def destination(
        self,
        provider: Provider,
        key: ProviderKey | None,
        model: str,  # noqa: ARG002 - the same for every model here
        request: UpstreamRequest,
    ) -> Destination:
        """The base URL, and the key if there is one."""
        origin, target = target_below(provider.base_url, request.path)
        return Destination(origin, target, ((self._header, f"{self._scheme}{key.value}"),) if key else ())


DIRECT_HOSTS = (
    DirectHost(),
    DirectHost("x-api-key", header="x-api-key", scheme=""),
    DirectHost("x-goog-api-key", header="x-goog-api-key", scheme=""),
)

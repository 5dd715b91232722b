"""The host interface: URL and credentials of a provider's requests."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from shared.providers.base import Provider, ProviderKey
from shared.providers.transport import Origin
from shared.providers.wires.base import UpstreamRequest


@dataclass(slots=True)
class Destination:
    """Target of one request.

    Attributes:
        target: Path and query as sent on the wire.
        headers: Credentials and other headers of the host, lower-case names.
    """

    origin: Origin
    target: bytes
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


class Host(Protocol):
    """A rule for URL and credentials; knows no body."""

    name: str

    async def destination(
        self, provider: Provider, key: ProviderKey | None, model: str, request: UpstreamRequest
    ) -> Destination:
        """Return URL and credentials of a request."""
        ...


@lru_cache(maxsize=4096)
def target_below(base_url: str, path: str) -> tuple[Origin, bytes]:
    """Join a provider's base URL and a path below it.

    Raises:
        ValueError: The URL is not an absolute http(s) one.
    """
    origin = Origin.parse(base_url)
    rest = base_url.split("://", 1)[1]
    below = rest.partition("/")[2].rstrip("/")
    return origin, (f"/{below}{path}" if below else path).encode("ascii")

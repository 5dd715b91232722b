"""Amazon Bedrock: an address per region, requests signed or with a bearer token.

Sources: https://docs.aws.amazon.com/general/latest/gr/bedrock.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html
"""

from collections.abc import Callable
from datetime import UTC, datetime

from shared.providers.base import Provider, ProviderKey
from shared.providers.hosts.aws import AwsIdentity
from shared.providers.hosts.base import Destination, target_below
from shared.providers.hosts.sigv4 import signed_headers
from shared.providers.wires.base import UpstreamRequest

SERVICE = "bedrock"
_CATALOGUE = ("/foundation-models", "/inference-profiles")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class BedrockHost:
    """The runtime of Bedrock in one region.

    Args:
        now: Decides the signature's date.
    """

    name = "bedrock"

    def __init__(self, identity: AwsIdentity, *, now: Callable[[], datetime] = _utc_now) -> None:
        self._identity = identity
        self._now = now

    async def destination(
        self,
        provider: Provider,
        key: ProviderKey | None,
        model: str,  # noqa: ARG002 - stands in the path
        request: UpstreamRequest,
    ) -> Destination:
        """The region's address, with the key as a bearer token or else signed.

        Raises:
            UpstreamRefused: There are neither a key nor credentials to sign with.
        """
        base = provider.base_url or base_url(provider.region, runtime=not request.path.startswith(_CATALOGUE))
        origin, target = target_below(base, request.path)
        if key:
            return Destination(origin, target, (("authorization", f"Bearer {key.value}"),))
        headers = signed_headers(
            request.method,
            origin.authority.decode("ascii"),
            target.decode("ascii"),
            request.body,
            credentials=await self._identity.credentials(provider),
            region=provider.region,
            service=SERVICE,
            now=self._now(),
        )
        return Destination(origin, target, tuple(headers.items()))


def base_url(region: str, *, runtime: bool = True) -> str:
    """The public endpoint of a region: the one that runs models, or the one that lists them."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://bedrock{'-runtime' if runtime else ''}.{region}.{domain}"

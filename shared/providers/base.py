"""A configured provider: its URL, credentials, limits and capabilities."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.settings.model import BreakerSettings, RetrySettings, TimeoutSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKey:
    """One credential of a provider. ``name`` is for logs; ``value`` never is."""

    name: str
    value: str = field(repr=False)
    weight: float = 1.0
    models: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The way to a provider, where it is not that of all.

    Attributes:
        proxy: URL of a proxy, or ``direct``; empty: that of the environment.
        ca_file: Path of the authorities that are trusted in place of the system's.
        client_cert: Path of the certificate that is presented.
        client_key: Path of its key; empty: it stands in ``client_cert``.
    """

    proxy: str = field(default="", repr=False)
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A configured provider.

    Attributes:
        name: The prefix in ``provider/model``.
        wire: Name of the format it speaks.
        host: Name of the rule for URL and credentials.
        base_url: Without a slash at its end.
        keys: Empty: it is called without credentials.
        request_types: Names of the request types that it offers.
        batches: Whether it has OpenAI's files and batches itself.
        flex: Whether it has OpenAI's service tier ``flex``.
        concurrency: Maximum concurrent calls, per process.
        stream_usage: Whether it can be asked to report a stream's usage (``stream_options.include_usage``).
        strict: Whether it refuses request fields beyond OpenAI's.
        deployments: Model to deployment, for hosts that name deployments.
        network: Its proxy and certificates, if it has its own.
    """

    name: str
    wire: str
    host: str
    base_url: str
    keys: tuple[ProviderKey, ...] = ()
    request_types: frozenset[str] = frozenset()
    batches: bool = False
    flex: bool = False
    timeouts: TimeoutSettings = field(default_factory=TimeoutSettings)
    retry: RetrySettings = field(default_factory=RetrySettings)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    concurrency: int = 1000
    headers: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    stream_usage: bool = False
    strict: bool = False
    api_version: str = ""
    deployments: Mapping[str, str] = field(default_factory=dict)
    project: str = ""
    location: str = ""
    region: str = ""
    credentials: str = field(default="", repr=False)
    network: Network = Network()

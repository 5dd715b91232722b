"""The transports of a process: one for most providers, one each for those with a proxy or certificates of their own."""

from collections.abc import Mapping

from shared.providers.base import Provider
from shared.providers.registry import IncompleteProvider, Providers
from shared.providers.transport import Limits, Proxies, UpstreamTransport, client_context

_DEFAULT_LIMITS = Limits()


def environment_proxies(environ: Mapping[str, str]) -> Proxies:
    """Return the proxies that the environment names.

    Raises:
        IncompleteProvider: A variable that is used holds no usable URL.
    """
    try:
        return Proxies.of_environment(environ)
    except ValueError as error:
        raise IncompleteProvider(f"the environment variable {error}") from None


def own_sender(
    provider: Provider, environ: Mapping[str, str], limits: Limits = _DEFAULT_LIMITS
) -> UpstreamTransport | None:
    """Return the transport of a provider that needs one of its own; None: it has no proxy and no certificates.

    It reads files: call it before the event loop serves, or in a thread.

    Raises:
        IncompleteProvider: The proxy is no URL, or a file cannot be read.
    """
    network = provider.network
    if network == type(network)():
        return None
    name = f"providers.{provider.name}"
    try:
        proxies = Proxies.always(network.proxy) if network.proxy else environment_proxies(environ)
    except ValueError as error:
        raise IncompleteProvider(f"{name}.proxy {error}") from None
    files = (network.ca_file, network.client_cert, network.client_key)
    try:
        context = client_context(*files) if any(files) else None
    except OSError as error:
        named = ", ".join(file for file in files if file)
        reason = error.strerror or error
        raise IncompleteProvider(
            f"{name}: ca_file, client_cert and client_key must be PEM files that can be read and that belong together, "
            f"the key without a passphrase: {reason} ({named})"
        ) from None
    return UpstreamTransport(limits, context, proxies)


def check_senders(providers: Providers, environ: Mapping[str, str]) -> None:
    """Refuse proxies and certificates that cannot be used; see ``own_sender``.

    Raises:
        IncompleteProvider: One cannot.
    """
    environment_proxies(environ)
    own_senders(providers, environ)


def own_senders(providers: Providers, environ: Mapping[str, str]) -> dict[str, UpstreamTransport]:
    """Return the transports of the providers that need one of their own, by name; see ``own_sender``.

    Raises:
        IncompleteProvider: The proxy of one is no URL, or a file cannot be read.
    """
    found = {
        name: own_sender(provider, environ, Limits(max_connections=provider.concurrency))
        for name, provider in providers.items()
    }
    return {name: sender for name, sender in found.items() if sender is not None}

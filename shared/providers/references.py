"""Checks that what a configuration refers to exists: providers of aliases, routes and fallbacks, receivers' URLs."""

from collections.abc import Collection, Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit

from shared.providers.registry import DEFAULT_PROVIDER, IncompleteProvider, Providers
from shared.settings.cache import LOCAL_EMBEDDING, CacheSettings
from shared.settings.model import Settings
from shared.telemetry.tracing import EXTRA, is_installed


class InvalidReference(IncompleteProvider):
    """The configuration refers to something that does not exist; one line per fault."""


def check_references(settings: Settings, providers: Providers, also: Collection[str] = ()) -> None:
    """Refuse a configuration that cannot work.

    Args:
        settings: The effective configuration.
        providers: The configured providers.
        also: Names of providers that are added later.

    Raises:
        InvalidReference: A name leads to no configured provider, a webhook's URL cannot be called, or an
            alert names an unknown provider or webhook.
    """
    faults = [*_models(settings, providers, also), *_webhooks(settings), *_alerts(settings, providers, also)]
    faults += _telemetry(settings, providers, also)
    faults += _sign_in(settings)
    faults += _embedding(settings)
    if faults:
        raise InvalidReference("\n".join(faults))


def _models(settings: Settings, providers: Providers, also: Collection[str]) -> Iterator[str]:
    for place, model in named_models(settings):
        if model in settings.aliases or model in settings.routes:
            continue
        name = model.partition("/")[0] if "/" in model else DEFAULT_PROVIDER
        if name not in providers and name not in also:
            yield f"{place}: {model!r} leads to no configured provider. {providers.unknown(name)}"


def named_models(settings: Settings) -> Iterator[tuple[str, str]]:
    """Iterate over all models that the configuration sends calls to, with the keys that name them."""
    for name, model in settings.aliases.items():
        yield f"aliases.{name}", model
    for name, route in settings.routes.items():
        for at, target in enumerate(route.targets):
            yield f"routes.{name}.targets.{at}", target.model
    for name, models in settings.fallbacks.items():
        for at, model in enumerate(models):
            yield f"fallbacks.{name}.{at}", model
    for name, key in settings.virtual_keys.items():
        for at, model in enumerate(key.fallbacks):
            yield f"virtual_keys.{name}.fallbacks.{at}", model
    yield from _cache_models(settings.cache)


def _cache_models(cache: CacheSettings) -> Iterator[tuple[str, str]]:
    semantic = cache.semantic
    if cache.mode != "semantic":
        return
    if semantic.embedding != LOCAL_EMBEDDING:
        yield "cache.semantic.embedding", semantic.embedding
    if semantic.judge:
        yield "cache.semantic.judge", semantic.judge


def _webhooks(settings: Settings) -> Iterator[str]:
    for name, webhook in settings.webhooks.items():
        private = webhook.allow_private_network or settings.server.allow_private_network
        fault = _url_fault(webhook.url, insecure=private)
        if fault:
            yield f"webhooks.{name}.url: {fault}"


def _alerts(settings: Settings, providers: Providers, also: Collection[str]) -> Iterator[str]:
    for name, rule in settings.alerts.items():
        if rule.provider is not None and rule.provider not in providers and rule.provider not in also:
            yield f"alerts.{name}.provider: {providers.unknown(rule.provider)}"
        for webhook in rule.webhooks:
            if webhook not in settings.webhooks:
                known = ", ".join(sorted(settings.webhooks)) or "none"
                yield f"alerts.{name}.webhooks: unknown webhook {webhook[:64]!r}. Configured: {known}."


def _sign_in(settings: Settings) -> Iterator[str]:
    if settings.auth.oidc is not None and find_spec("joserfc") is None:
        yield "auth.oidc: signing in needs the extra oidc: pip install 'finops-gateway[oidc]'"


def _embedding(settings: Settings) -> Iterator[str]:
    is_local = settings.cache.mode == "semantic" and settings.cache.semantic.embedding == LOCAL_EMBEDDING
    if is_local and find_spec("wordllama") is None:
        yield "cache.semantic.embedding: local ones need the extra semantic: pip install 'finops-gateway[semantic]'"


def _telemetry(settings: Settings, providers: Providers, also: Collection[str]) -> Iterator[str]:
    telemetry = settings.telemetry
    if telemetry.otlp_endpoint is not None and not is_installed():
        yield f"telemetry.otlp_endpoint: traces need the extra otel: pip install '{EXTRA}'"
    for name in telemetry.propagate_to:
        if name != "*" and name not in providers and name not in also:
            yield f"telemetry.propagate_to: {providers.unknown(name)}"


def _url_fault(url: str, *, insecure: bool) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is not a valid URL"
    if parts.scheme != "https" and not (insecure and parts.scheme == "http"):
        more = "" if insecure else "; http:// is for private networks, with allow_private_network = true"
        return f"must start with https://{more}"
    return "" if host and port != 0 else "names no host"

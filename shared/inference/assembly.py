"""Assembly of a process's inference path from its configuration, for both composition roots."""

import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from redis.asyncio import Redis

from shared.cache.store import CacheStore, cache_scripts
from shared.governance.ledger.writer import Redaction
from shared.governance.pricing.prices import FREE, PriceBook
from shared.inference.answer_cache import AnswerCache
from shared.inference.billing import Billing
from shared.inference.conversations import Conversations
from shared.inference.inference import Inference
from shared.inference.lane_choice import LaneChooser
from shared.inference.owned_ids import OwnedIds
from shared.inference.route import Routing
from shared.inference.submission import Settle, Submitter, nothing_to_settle
from shared.inference.traced import TracedInference, TracedSubmitter
from shared.jobs.queue import JobQueue
from shared.jobs.store import JobStore
from shared.patience.times import LaneTimes
from shared.providers.answer_memory import MEGABYTE, AnswerMemory
from shared.providers.client import ProviderClient, gate_of
from shared.providers.health.board import HealthBoard
from shared.providers.health.gate import Gate
from shared.providers.health.sharing import SharedHealth
from shared.providers.hosts.aws import AwsIdentity
from shared.providers.hosts.azure import AzureHost
from shared.providers.hosts.base import Host
from shared.providers.hosts.bedrock import BedrockHost
from shared.providers.hosts.direct import DIRECT_HOSTS
from shared.providers.hosts.entra import EntraTokens
from shared.providers.hosts.fetch import TransportFetch
from shared.providers.hosts.google import GoogleTokens
from shared.providers.hosts.vertex import VertexHost
from shared.providers.registry import Providers, configured_providers, rows_of
from shared.providers.senders import environment_proxies, own_senders
from shared.providers.transport import Limits, UpstreamTransport
from shared.providers.wires.anthropic import AnthropicWire
from shared.providers.wires.base import Wire
from shared.providers.wires.bedrock import BedrockWire
from shared.providers.wires.gemini import GeminiWire
from shared.providers.wires.ollama import OllamaWire
from shared.providers.wires.openai import OpenAIWire
from shared.providers.wires.vertex import VertexWire
from shared.settings.model import ServerSettings, Settings
from shared.settings.secrets import secrets_of
from shared.store.commands import RedisCommands
from shared.store.encryption import PLAIN, BodyCipher
from shared.store.multiplexed import MultiplexedClient
from shared.telemetry.tracing import Tracing
from shared.telemetry.upstream import UNWATCHED, CacheWatch, SpendWatch, UpstreamWatch

CACHE_TIMEOUT_S = 2.0


class SharedStore(NamedTuple):
    """Access to the store that processes share.

    Attributes:
        commands: Sends commands.
        subscription: Makes a client for subscriptions, without a time limit on replies.
        cipher: Seals bodies.
    """

    commands: RedisCommands
    subscription: Callable[[], Redis]
    cipher: BodyCipher = PLAIN

    def conversations(self, max_stored: int) -> Conversations:
        """Return the stored responses, of which one caller keeps so many bytes."""
        return Conversations(self.commands, self.cipher, max_stored)


def build_billing(settings: Settings, commands: RedisCommands, watch: SpendWatch = UNWATCHED) -> Billing:
    """Build the billing of calls. It reads files: call it before the event loop serves, or in a thread."""
    PriceBook.warm()
    return Billing(settings, commands, watch, price_sources(settings))


def build_tracing(settings: Settings, tier: str, version: str) -> Tracing | None:
    """Build what makes and exports spans; None if no collector is configured.

    It imports the extra `otel`: call it before the event loop serves, or in a thread.

    Args:
        settings: The effective configuration.
        tier: ``api`` or ``worker``.
        version: Of the gateway.
    """
    if settings.telemetry.otlp_endpoint is None:
        return None
    redact = Redaction(settings.log.redact).text if settings.log.content else None
    return Tracing(settings.telemetry, tier, version, redact)


def build_submitter(
    inference: Inference, queue: JobQueue, store: JobStore, tracing: Tracing | None, settle: Settle = nothing_to_settle
) -> Submitter:
    """Build what submits jobs, with spans if there is something that makes them."""
    if tracing is None:
        return Submitter(inference, queue, store, settle)
    return TracedSubmitter(tracing, inference, queue, store, settle)


def build_lanes(inference: Inference, billing: Billing, commands: RedisCommands, settings: Settings) -> LaneChooser:
    """Build what chooses the lanes of jobs that can wait."""
    chooser = LaneChooser(inference.catalogue, billing, LaneTimes(commands), settings.jobs.patience)
    chooser.runs_now = bool(settings.guardrails)  # the other lanes send what no guardrail has checked
    return chooser


def price_sources(settings: Settings) -> dict[str, str]:
    """Return the price source of each provider that has one, as ``PriceBook`` takes them."""
    sources = {name: FREE if row.free else row.prices for name, row in rows_of(settings).items()}
    # A usual name for a provider of one's own that speaks Gemini's format.
    return {"google": "google", **{name: source for name, source in sources.items() if source}}


def build_inference(
    settings: Settings,
    environ: Mapping[str, str] | None = None,
    *,
    watch: UpstreamWatch = UNWATCHED,
    cache_watch: CacheWatch = UNWATCHED,
    store: SharedStore | None = None,
    billing: Billing | None = None,
    tracing: Tracing | None = None,
) -> Inference:
    """Build the inference path; it opens nothing before the first call, and hears from other processes after ``start``.

    Args:
        settings: The effective configuration.
        environ: Environment with the keys of well-known providers; default: the process's.
        watch, cache_watch: Notified of every attempt, and of the use of the cache.
        store: Shares the providers' health between processes, and stores responses; None: neither.
        billing: Reserves and books; closed with the inference path. None: nothing is billed.
        tracing: Makes spans; None: nothing is traced, at no cost.

    Raises:
        IncompleteProvider: A provider cannot be called as configured, or an alias or a route does not resolve.
    """
    environ = os.environ if environ is None else environ
    providers = configured_providers(settings, environ)
    gates = {name: gate_of(provider) for name, provider in providers.items()}
    client, close = _client(settings, providers, gates, environ)
    board = HealthBoard(providers, gates)
    return _inference_class(settings, environ, watch, tracing)(
        providers,
        client,
        routing=Routing(settings, providers, board, billing.price if billing else None),
        board=board,
        watch=watch,
        max_total_s=settings.server.max_total_s,
        billing=billing,
        conversations=store.conversations(settings.jobs.max_stored_bytes) if store else None,
        close=close,
        sharing=SharedHealth(board, store.commands, store.subscription) if store else None,
        owned=OwnedIds(store.commands) if store else None,
        cache=_answer_cache(settings, store, cache_watch),
    )


def _inference_class(
    settings: Settings, environ: Mapping[str, str], watch: UpstreamWatch, tracing: Tracing | None
) -> Callable[..., Inference]:
    """Return the class for what is configured: a plain path has no test for traces or guardrails."""
    if not settings.guardrails:
        return Inference if tracing is None else partial(TracedInference, tracing)
    from shared.inference.guarded import GuardedInference, TracedGuardedInference  # noqa: PLC0415 - without, not loaded
    from shared.inference.guardrails import Guardrails  # noqa: PLC0415

    transport = UpstreamTransport(limits=Guardrails.limits(), proxies=environment_proxies(environ))
    guardrails = Guardrails(settings.guardrails, transport, watch)
    if tracing is None:
        return partial(GuardedInference, guardrails)
    return partial(TracedGuardedInference, guardrails, tracing)


def _client(
    settings: Settings, providers: Providers, gates: Mapping[str, Gate], environ: Mapping[str, str]
) -> tuple[ProviderClient, Callable[[], Awaitable[None]]]:
    """Build what sends requests to providers, and what closes its connections and identities."""
    sender, own = _transport(providers, environ), own_senders(providers, environ)
    hosts, close = _hosts(sender, own.values(), environ)
    client = ProviderClient(
        sender,
        hosts,
        _wires(),
        gates,
        secrets=_secrets(settings, providers),
        memory=_answer_memory(settings.server),
        own_senders=own,
    )
    return client, close


def _transport(providers: Providers, environ: Mapping[str, str]) -> UpstreamTransport:
    most = max((provider.concurrency for provider in providers.values()), default=1)
    return UpstreamTransport(limits=Limits(max_connections=most), proxies=environment_proxies(environ))


def _hosts(
    sender: UpstreamTransport, own_senders: Iterable[UpstreamTransport], environ: Mapping[str, str]
) -> tuple[dict[str, Host], Callable[[], Awaitable[None]]]:
    """Build the hosts, and what closes their identities and then all transports."""
    fetch = TransportFetch(sender)
    aws, entra, google = AwsIdentity(environ), EntraTokens(fetch, environ), GoogleTokens(fetch, environ)

    async def close() -> None:
        for identity in (aws, entra, google):
            await identity.aclose()
        for each in (sender, *own_senders):
            await each.aclose()

    hosts: list[Host] = [*DIRECT_HOSTS, AzureHost(entra), BedrockHost(aws), VertexHost(google)]
    return {host.name: host for host in hosts}, close


def _answer_memory(server: ServerSettings) -> AnswerMemory:
    return AnswerMemory(int(server.max_answer_mb * MEGABYTE), int(server.max_answers_mb * MEGABYTE))


def _answer_cache(settings: Settings, store: SharedStore | None, watch: CacheWatch) -> AnswerCache | None:
    """Build the cache; None if it is off, or there is no store."""
    cache_scripts()  # read now: files block a running loop, and a cache that is off is purged too
    cache = settings.cache
    if cache.mode == "off" or store is None:
        return None
    if cache.url is None:
        answers = CacheStore(store.commands, cache, cipher=store.cipher)
    else:
        url = cache.url.get_secret_value()
        own = MultiplexedClient(url, timeout_s=CACHE_TIMEOUT_S, client_name="finops-cache")
        answers = CacheStore(own, cache, owns_commands=True, cipher=store.cipher)
    return AnswerCache(answers, cache, watch, store.conversations(settings.jobs.max_stored_bytes))


def _secrets(settings: Settings, providers: Providers) -> Iterator[str]:
    """Everything that no error message may repeat."""
    yield from secrets_of(settings)
    for provider in providers.values():
        yield from (key.value for key in provider.keys)
        yield from provider.headers.values()


def _wires() -> dict[str, Wire]:
    openai = OpenAIWire()
    vertex = VertexWire(gemini=GeminiWire(on_vertex=True), claude=AnthropicWire(on_vertex=True), others=openai)
    wires: list[Wire] = [openai, AnthropicWire(), GeminiWire(), BedrockWire(), OllamaWire(), vertex]
    return {wire.name: wire for wire in wires}

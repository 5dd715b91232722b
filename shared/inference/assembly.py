"""Builds the inference path of a process from its configuration: what both composition roots have in common."""

import os
from collections.abc import Mapping

from shared.inference.conversations import Conversations
from shared.inference.inference import Inference
from shared.providers.client import ProviderClient
from shared.providers.hosts.aws import AwsIdentity
from shared.providers.hosts.azure import AzureHost
from shared.providers.hosts.base import Host
from shared.providers.hosts.bedrock import BedrockHost
from shared.providers.hosts.direct import DIRECT_HOSTS
from shared.providers.hosts.entra import EntraTokens
from shared.providers.hosts.fetch import TransportFetch
from shared.providers.hosts.google import GoogleTokens
from shared.providers.hosts.vertex import VertexHost
from shared.providers.registry import configured_providers
from shared.providers.transport import Limits, UpstreamTransport
from shared.providers.wires.anthropic import AnthropicWire
from shared.providers.wires.base import Wire
from shared.providers.wires.bedrock import BedrockWire
from shared.providers.wires.gemini import GeminiWire
from shared.providers.wires.ollama import OllamaWire
from shared.providers.wires.openai import OpenAIWire
from shared.providers.wires.vertex import VertexWire
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.telemetry.upstream import UNWATCHED, UpstreamWatch


def build_inference(
    settings: Settings,
    environ: Mapping[str, str] | None = None,
    *,
    watch: UpstreamWatch = UNWATCHED,
    commands: RedisCommands | None = None,
) -> Inference:
    """The inference path; opens nothing until the first call.

    Args:
        settings: The configuration.
        environ: Where providers find their keys; default: the process's.
        watch: Told of every attempt.
        commands: Where responses are kept; None: nowhere.

    Raises:
        IncompleteProvider: A provider cannot be called as configured.
    """
    environ = os.environ if environ is None else environ
    providers = configured_providers(settings, environ)
    openai = OpenAIWire()
    vertex = VertexWire(gemini=GeminiWire(on_vertex=True), claude=AnthropicWire(on_vertex=True), others=openai)
    wires: list[Wire] = [openai, AnthropicWire(), GeminiWire(), BedrockWire(), OllamaWire(), vertex]
    most = max((provider.concurrency for provider in providers.values()), default=1)
    sender = UpstreamTransport(limits=Limits(max_connections=most))
    fetch = TransportFetch(sender)
    aws, entra, google = AwsIdentity(environ), EntraTokens(fetch, environ), GoogleTokens(fetch, environ)
    hosts: list[Host] = [*DIRECT_HOSTS, AzureHost(entra), BedrockHost(aws), VertexHost(google)]
    client = ProviderClient(sender, {host.name: host for host in hosts}, {wire.name: wire for wire in wires})

    async def close() -> None:
        for identity in (aws, entra, google):
            await identity.aclose()
        await sender.aclose()

    conversations = Conversations(commands) if commands is not None else None
    return Inference(
        providers,
        client,
        fallbacks=settings.fallbacks,
        watch=watch,
        conversations=conversations,
        close=close,
    )

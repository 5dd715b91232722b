"""Builds the inference path of a process from its configuration: what both composition roots have in common."""

import os
from collections.abc import Mapping

from shared.governance.prices import PriceBook
from shared.inference.accounts import Accounts
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


def build_accounts(settings: Settings, commands: RedisCommands) -> Accounts:
    """Where calls are admitted and booked. It reads files: call it before the loop serves, or in a thread."""
    PriceBook.warm()
    return Accounts(settings, commands)


def build_inference(
    settings: Settings,
    environ: Mapping[str, str] | None = None,
    *,
    watch: UpstreamWatch = UNWATCHED,
    accounts: Accounts | None = None,
) -> Inference:
    """The inference path; opens nothing until the first call.

    Args:
        settings: The effective configuration.
        environ: Where well-known providers' keys are found; default: the process's.
        watch: Told of every attempt.
        accounts: Where calls are admitted and booked; closed with the inference path. None: nobody counts.

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

    return Inference(providers, client, fallbacks=settings.fallbacks, watch=watch, accounts=accounts, close=close)

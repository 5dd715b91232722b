"""A gateway with every wire behind every host, each before the simulator, which checks what it is sent."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from simulator.serve import RunningSimulator
from tests.api.conftest import Gateway, Start, sim, start
from tests.providers.hosts.test_vertex import ACCOUNT

__all__ = ["sim", "start"]

QUICK = {"max_attempts": 1}


def providers_of(sim: RunningSimulator) -> dict[str, dict[str, Any]]:
    """A provider for each wire and host; every credential there is a way to show."""
    keys = [{"value": "sk-upstream-key-0123456789"}]
    account = orjson.dumps({**ACCOUNT, "token_uri": f"{sim.origin}/token"}).decode()
    settings: dict[str, dict[str, Any]] = {
        "openai": {"base_url": sim.base_url, "keys": keys},
        "own": {"wire": "openai", "base_url": sim.base_url},
        "anthropic": {"base_url": sim.origin, "keys": keys},
        "gemini": {"base_url": f"{sim.origin}/v1beta", "keys": keys},
        "ollama": {"base_url": f"{sim.origin}/v1"},
        "ollama-native": {"wire": "ollama", "base_url": sim.origin},
        "azure": {"base_url": sim.origin, "keys": keys},
        "azure-entra": {"host": "azure", "base_url": sim.origin},
        "azure-dated": {"host": "azure", "base_url": sim.origin, "keys": keys, "api_version": "2024-10-21"},
        "vertex": {"base_url": sim.origin, "project": "p", "location": "eu", "credentials": account},
        "bedrock": {"base_url": sim.origin, "region": "eu-west-1", "credentials": "AKID:secret"},
        "bedrock-bearer": {"host": "bedrock", "base_url": sim.origin, "region": "eu-west-1", "keys": keys},
    }
    return {name: {**provider, "retry": QUICK} for name, provider in settings.items()}


def environ_of(sim: RunningSimulator) -> Mapping[str, str]:
    """What Entra's identity is found by."""
    return {
        "AZURE_TENANT_ID": "tenant",
        "AZURE_CLIENT_ID": "app",
        "AZURE_CLIENT_SECRET": "hush",
        "AZURE_AUTHORITY_HOST": sim.origin,
    }


@pytest.fixture
async def everyone(start: Start, sim: RunningSimulator) -> Gateway:
    """The gateway."""
    return await start(providers=providers_of(sim), environ=environ_of(sim))

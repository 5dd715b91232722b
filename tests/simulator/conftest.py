"""A running simulator, a bare HTTP client and OpenAI's own client, which validates every reply strictly."""

from collections.abc import AsyncIterator

import httpx
import openai
import pytest

from simulator.serve import RunningSimulator, running


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulator]:
    async with running() as simulator:
        yield simulator


@pytest.fixture
async def http(sim: RunningSimulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=sim.base_url, trust_env=False) as client:
        yield client


@pytest.fixture
async def lenient(sim: RunningSimulator) -> AsyncIterator[openai.AsyncOpenAI]:
    """For what OpenAI sends but its client's types forbid: base64 embeddings, unfinished text chunks."""
    async with openai.AsyncOpenAI(base_url=sim.base_url, api_key="sk-simulated-1234", max_retries=0) as sdk:
        yield sdk


@pytest.fixture
async def client(sim: RunningSimulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=sim.base_url,
        api_key="sk-simulated-1234",
        max_retries=0,
        timeout=10,
        _strict_response_validation=True,
    ) as sdk:
        yield sdk

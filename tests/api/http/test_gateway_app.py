"""The application around the framework: calls and probes never wait for it, other paths do, and load it once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.datastructures import State

from api.app import create_app
from api.gateway_app import GatewayApp
from shared.settings.model import Settings
from tests.api.conftest import CHAT, RunningSimulator, Start, settings_for
from tests.waiting import wait_until


@asynccontextmanager
async def nothing(_app: Starlette) -> AsyncIterator[None]:
    yield


@pytest.fixture
async def app(sim: RunningSimulator, redis_url: str) -> AsyncIterator[GatewayApp]:
    app = create_app(settings_for(redis_url, sim.base_url), environ={})
    async with app.router.lifespan_context(app):
        yield app


def client_of(app: GatewayApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")


async def test_calls_and_probes_do_not_load_the_framework(app: GatewayApp) -> None:
    async with client_of(app) as client:
        for path in ("/health/live", "/health/ready", "/health", "/metrics"):
            assert (await client.get(path)).status_code == 200
        assert (await client.post("/openai/v1/chat/completions", json=CHAT)).status_code == 200
    assert not app.loaded


async def test_requests_of_other_paths_wait_for_one_loading(app: GatewayApp) -> None:
    async with client_of(app) as client:
        answers = await asyncio.gather(*(client.get(path) for path in ("/openai/v1/models", "/", "/nowhere")))
        assert [answer.status_code for answer in answers] == [200, 200, 404]
        assert app.loaded
        assert (await client.get("/openapi.json")).json()["openapi"]
        assert (await client.post("/health/live")).status_code == 405


async def test_a_server_loads_the_framework_once_it_serves(start: Start) -> None:
    gateway = await start()
    await wait_until(lambda: gateway.app.loaded)


async def test_the_framework_shares_the_state_of_the_application() -> None:
    app = create_app(Settings(), environ={})
    framework = await app.load()
    assert framework is app.framework() is await app.load()
    assert framework.state is app.state


async def test_a_loading_that_failed_is_tried_again() -> None:
    states = []

    def build(state: State) -> FastAPI:
        states.append(state)
        if len(states) == 1:
            raise MemoryError
        return FastAPI()

    app = GatewayApp(nothing, lambda inner: inner, build)
    async with client_of(app) as client:
        with pytest.raises(MemoryError):
            await client.get("/docs")
        assert (await client.get("/docs")).status_code == 200
    assert states == [app.state, app.state]

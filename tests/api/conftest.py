"""A gateway on a real socket, before the simulator and a real store, and a worker that runs when a test asks it to."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

import api.framework  # noqa: F401 - when tests are collected: no request of a test waits for it, and coverage sees it
from api.app import create_app
from api.server import ApiServer
from api.services import Services
from shared.jobs.bodies import Bodies, BodyPolicy
from shared.jobs.model import Claim, Deferral, Outcome, State
from shared.jobs.queue import JobQueue
from shared.jobs.shard_ids import shard_of_id
from shared.settings.model import Settings
from simulator.serve import RunningSimulator, running
from tests.serving import PromptServer
from worker.handle import RunHandle
from worker.tasks import JobRunner
from worker.webhooks import WebhookDelivery

ADMIN_KEY = "test-admin-key-0123456789"
KEY_A = "sk-bf-team-a-0123456789"
KEY_B = "sk-bf-team-b-0123456789"
SHARDS = int(os.environ.get("TEST_SHARDS", "1"))
"""``TEST_SHARDS=4 pytest tests/api/jobs`` runs these tests over several shards."""
CHAT = {"model": "sim/gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


class _Server(ApiServer, PromptServer):
    """The API server with the end of a test's own."""


class Worker:
    """Runs queued jobs on request, in this event loop, with the engine's calls and the real runner."""

    def __init__(self, services: Services) -> None:
        self._services = services
        webhooks = WebhookDelivery(services.settings, services.commands)
        shards = [shard.commands for shard in services.engine.shards]
        self.bodies = [Bodies(commands, BodyPolicy.of(services.settings)) for commands in shards]
        self._queues = [JobQueue(commands, services.queue.limits) for commands in shards]
        streams = services.settings.streams_jobs
        self.runners = [
            JobRunner(services.inference, services.governance, webhooks, bodies=bodies, streams=streams)
            for bodies in self.bodies
        ]

    def _shard(self, claim: Claim) -> int:
        return shard_of_id(claim.id, len(self._queues))

    async def claim(self, count: int = 1) -> tuple[Claim, ...]:
        claims: list[Claim] = []
        for queue in self._queues:
            claims += (await queue.claim("w", count - len(claims))).claims
        return tuple(claims)

    async def work_off(self) -> int:
        done = 0
        while claims := await self.claim(32):
            await asyncio.gather(*(self.run(claim) for claim in claims))
            done += len(claims)
        return done

    async def run(self, claim: Claim) -> None:
        shard = self._shard(claim)
        outcome = await self.runners[shard].run(claim, RunHandle(claim, 0.0, 0.0, lambda handle: None))
        if isinstance(outcome, Deferral):
            await self._queues[shard].defer(claim, outcome)
        else:
            await self._services.store.finish(claim, await self.bodies[shard].pack_result(claim, outcome))

    async def complete(self, claim: Claim, body: bytes = b'{"done":true}', **more: Any) -> None:
        await self._services.store.finish(claim, Outcome(state=State.COMPLETED, status_code=200, result=body, **more))


class Gateway:
    """A running gateway and its clients."""

    def __init__(self, app: Any, port: int) -> None:
        self.app = app
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.AsyncClient(base_url=self.url, timeout=20)
        self._sdks: list[AsyncOpenAI] = []

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    @property
    def worker(self) -> Worker:
        return Worker(self.services)

    def sdk(self, key: str = "sk-any", **more: Any) -> AsyncOpenAI:
        self._sdks.append(AsyncOpenAI(base_url=f"{self.url}/openai", api_key=key, **{"max_retries": 0, **more}))
        return self._sdks[-1]

    async def post(self, path: str, json: Any = None, **more: Any) -> httpx.Response:
        return await self.http.post(path, json=json, **more)

    async def submit(self, json: Any = CHAT, path: str = "/openai/chat/completions", **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.http.post(path, json=json, headers={"x-bf-async": "true", **named})
        assert answer.status_code == 200, answer.text
        return answer.headers["x-bf-async-id"]

    async def poll(self, job_id: str, path: str = "/openai/chat/completions", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(path, json={}, headers={"x-bf-async-id": job_id, **named})

    async def aclose(self) -> None:
        await self.http.aclose()
        for sdk in self._sdks:
            await sdk.close()


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulator]:
    async with running() as simulator:
        yield simulator


def settings_for(redis_url: str, base_url: str, **more: Any) -> Settings:
    provider = {
        "wire": "openai",
        "base_url": base_url,
        "keys": [{"value": "sk-upstream-key-0123456789"}],
        "retry": {"max_attempts": 1},
    }
    settings: dict[str, Any] = {
        "redis": {"url": redis_url, "shards": SHARDS},
        "providers": {"sim": provider, "openai": provider},
        # Many tests mix calls with and without a key; tests of "auto" say so.
        "auth": {"admin_key": ADMIN_KEY, "require_virtual_key": False},
        "log": {"requests": True},
        "server": {"max_body_mb": 1, "shutdown_grace_s": 2},
    }
    return Settings.model_validate({**settings, **more})


Start = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def start(sim: RunningSimulator, redis_url: str) -> AsyncIterator[Start]:
    """Start a gateway; keyword arguments are tables of its configuration."""
    running: list[tuple[Gateway, _Server, asyncio.Task[None]]] = []

    async def start(**more: Any) -> Gateway:
        url = more.pop("redis_url", redis_url)
        environ = more.pop("environ", {})
        settings = settings_for(url, sim.base_url, **more)
        app = create_app(settings, environ=environ)
        server = _Server(app, settings)
        listener = socket.create_server(("127.0.0.1", 0))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        gateway = Gateway(app, listener.getsockname()[1])
        running.append((gateway, server, task))
        gateway.server = server  # type: ignore[attr-defined]
        gateway.task = task  # type: ignore[attr-defined]
        await server.wait_until_ready(task)
        return gateway

    yield start
    for gateway, server, task in running:
        await gateway.aclose()
        server.end()
        await task


@pytest.fixture
async def gateway(start: Start) -> Gateway:
    """A gateway without virtual keys."""
    return await start()


@pytest.fixture
async def tenants(start: Start) -> Gateway:
    """A gateway with two virtual keys, which takes calls without a key too."""
    return await start(
        auth={"admin_key": ADMIN_KEY, "require_virtual_key": False},
        virtual_keys={"team-a": {"value": KEY_A}, "team-b": {"value": KEY_B, "models": ["openai/*"]}},
    )

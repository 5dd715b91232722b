"""Readiness tells whether the store takes writes, not whether it answers."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from bench.redis_servers import Server, server
from shared.settings.model import Settings


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    with server(tmp_path / "server") as store:
        app = create_app(Settings.model_validate({"redis": {"url": store.url}}), environ={})
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                yield store, client


@pytest.mark.parametrize(
    ("breaks", "mends", "reason"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "replica"),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "full"),
        (
            ("CONFIG", "SET", "min-replicas-to-write", "1"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
            "too few replicas",
        ),
    ],
)
async def test_a_store_that_refuses_writes_makes_the_api_unready(
    gateway: tuple[Server, httpx.AsyncClient], breaks: tuple[str, ...], mends: tuple[str, ...], reason: str
) -> None:
    store, client = gateway
    assert (await client.get("/health/ready")).status_code == 200
    store.ask(*breaks)
    unready = await client.get("/health/ready")
    assert (unready.status_code, unready.headers["retry-after"]) == (503, "1")
    assert reason in unready.json()["missing"]["redis"]
    store.ask(*mends)
    assert (await client.get("/health/ready")).status_code == 200

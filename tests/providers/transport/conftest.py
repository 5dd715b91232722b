"""Both event loops, and a certificate nobody else trusts."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import httpx
import pytest
import uvloop

from shared.providers.transport import UpstreamTransport
from tests.certificates import make_certificate


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test here runs on the standard loop and on the one we serve with."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def transport() -> AsyncIterator[UpstreamTransport]:
    async with UpstreamTransport() as opened:
        yield opened


class Tls(NamedTuple):
    server: ssl.SSLContext
    trusting: ssl.SSLContext


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A fresh certificate for localhost, and the trust in its authority."""
    made = make_certificate(tmp_path_factory.mktemp("tls"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.file, made.key)
    return Tls(server, ssl.create_default_context(cafile=str(made.authority)))


@pytest.fixture(params=["ours", "httpx"])
async def either_client(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    transport: httpx.AsyncBaseTransport
    if request.param == "ours":
        transport = UpstreamTransport()
    else:
        transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=300))
    async with httpx.AsyncClient(transport=transport, timeout=5.0) as opened:
        yield opened

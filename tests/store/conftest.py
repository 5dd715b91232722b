"""Both event loops; the wreckage a store can be found in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from shared.store.embedded import EmbeddedStore
from tests.certificates import Certificate, make_certificate


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test here runs on the standard loop and on the one we serve with."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(data: Path) -> Iterator[EmbeddedStore]:
    """Not started."""
    made = EmbeddedStore(data, stop_grace_s=0.5)
    yield made
    made.stop()


@pytest.fixture
def own_store(store: EmbeddedStore) -> EmbeddedStore:
    """A store that the test may kill."""
    store.start()
    return store


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A fresh certificate for localhost."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def listen() -> AsyncIterator[Callable[..., Awaitable[int]]]:
    """Starts servers on 127.0.0.1 that behave as a test says; gives their port."""
    talking: set[asyncio.Task[None]] = set()
    async with AsyncExitStack() as servers:

        async def start(conversation: Conversation, **options: Any) -> int:
            async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with suppress(asyncio.CancelledError, ConnectionError):
                    await conversation(reader, writer)
                writer.close()

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                talking.add(asyncio.create_task(talk(reader, writer)))

            server = await asyncio.start_server(accept, "127.0.0.1", 0, **options)
            servers.callback(server.close)
            port: int = server.sockets[0].getsockname()[1]
            return port

        yield start
        for conversation in talking:
            conversation.cancel()
        if talking:
            await asyncio.wait(talking)

"""Job runs while the store does not answer, over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis

from shared.governance.keys.authenticate import Authenticator
from shared.governance.keys.caller import ANONYMOUS
from shared.inference.assembly import SharedStore, build_inference
from shared.inference.inference import Inference
from shared.jobs.model import Claim, Deferral, Outcome, State
from shared.settings.model import Settings
from shared.store.commands import PooledCommands
from shared.store.multiplexed import MultiplexedClient
from shared.surfaces.response_ids import mint_response_id
from simulator.serve import RunningSimulator
from tests.inference.conftest import sim  # noqa: F401 - a fixture
from tests.worker.test_tasks import claim, handle_of
from worker.tasks import JobRunner
from worker.webhooks import WebhookDelivery


class Line:
    """A connection to the store that can be cut and mended.

    Args:
        store_url: The store, at a socket path or at host and port.
    """

    def __init__(self, store_url: str) -> None:
        self._store = urlsplit(store_url)
        self._writers: set[asyncio.StreamWriter] = set()
        self.cut = False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes both ways, or hang up."""
        if self.cut:
            writer.close()
            return
        store_reader, store_writer = await self._connect()
        self._writers |= {writer, store_writer}
        await asyncio.gather(_pump(reader, store_writer), _pump(store_reader, writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._store.scheme == "unix":
            return await asyncio.open_unix_connection(self._store.path)
        return await asyncio.open_connection(self._store.hostname, self._store.port)

    def hang_up(self) -> None:
        """Cut what is open and refuse what comes."""
        self.cut = True
        for writer in self._writers:
            writer.close()
        self._writers.clear()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[tuple[Line, str]]:
    line = Line(redis_url)
    server = await asyncio.start_server(line.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield line, f"redis://127.0.0.1:{port}"
    line.hang_up()
    server.close()
    await server.wait_closed()


@pytest.fixture
async def inference(line: tuple[Line, str], sim: RunningSimulator) -> AsyncIterator[Inference]:  # noqa: F811
    settings = Settings.model_validate({"providers": {"sim": {"wire": "openai", "base_url": sim.base_url}}})
    commands = MultiplexedClient(line[1])
    inference = build_inference(settings, {}, store=SharedStore(commands, lambda: Redis.from_url(line[1])))
    yield inference
    await inference.aclose()
    await commands.aclose()


async def run(inference: Inference, job: Claim) -> Outcome | Deferral:
    settings = Settings()
    webhooks = WebhookDelivery(settings, PooledCommands(FakeAsyncRedis(), knows_script_flags=False))
    return await JobRunner(inference, Authenticator(settings), webhooks, streams=False).run(job, handle_of(job))


async def test_an_outage_during_recall_defers_the_job(inference: Inference, line: tuple[Line, str]) -> None:
    assert inference.conversations is not None
    part = {"type": "output_text", "text": "hello", "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    response: dict[str, Any] = {"id": mint_response_id(), "object": "response", "output": [message]}
    await inference.conversations.keep({"input": "hi"}, response, ANONYMOUS)
    body = orjson.dumps({"model": "sim/gpt", "input": "go on", "previous_response_id": response["id"]})
    job = claim("sim/gpt", body, id=mint_response_id(), request_type="responses")

    line[0].hang_up()
    deferral = await run(inference, job)
    assert isinstance(deferral, Deferral)
    assert deferral.reason == "store_unavailable"

    line[0].cut = False
    outcome = await run(inference, job)
    assert isinstance(outcome, Outcome)
    assert outcome.state is State.COMPLETED

"""Callers that hang up, as the server's own connection tells of it: the right request hears, and no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from api.http.cycle import CallerLine, Flag, line_to_caller
from api.http.disconnect import Hangup
from api.http.request_context import RequestContext
from shared.errors import ClientGone
from tests.api.conftest import CHAT, Gateway
from tests.waiting import wait_until

HANGS = {**CHAT, "model": "sim/gpt-4o@hang"}
PATH = "/openai/chat/completions"


def request(body: object, *lines: str) -> bytes:
    sent = orjson.dumps(body)
    head = [f"POST {PATH} HTTP/1.1", "host: x", "content-type: application/json", f"content-length: {len(sent)}"]
    return "\r\n".join([*head, *lines, "", ""]).encode() + sent


@asynccontextmanager
async def connection(gateway: Gateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
    return head, await reader.readexactly(int(length.partition(b": ")[2]))


async def test_a_long_body_does_not_hide_the_hang_up(gateway: Gateway, sim):
    long = {**HANGS, "messages": [{"role": "user", "content": "x" * 300_000}]}
    async with connection(gateway) as (_, writer):
        writer.write(request(long))
        await sim.wait_until(lambda log: log.open_count == 1)
    await sim.wait_until(lambda log: log.open_count == 0)


async def test_a_body_without_a_length_does_not_hide_it_either(gateway: Gateway, sim):
    sent = orjson.dumps(HANGS)
    chunked = b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(sent), sent)
    async with connection(gateway) as (_, writer):
        writer.write(f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n".encode() + chunked)
        await sim.wait_until(lambda log: log.open_count == 1)
    await sim.wait_until(lambda log: log.open_count == 0)


async def test_with_another_request_behind_it_the_one_that_runs_hears_of_the_hang_up(gateway: Gateway, sim):
    async with connection(gateway) as (_, writer):
        writer.write(request(HANGS) + request(CHAT))
        await sim.wait_until(lambda log: log.open_count == 1)
    await sim.wait_until(lambda log: log.open_count == 0)
    assert len(sim.requests) == 1  # the one behind it never ran


async def test_requests_behind_one_another_are_answered_in_their_order(gateway: Gateway):
    models = [f"sim/model-{number}" for number in range(3)]
    async with connection(gateway) as (reader, writer):
        writer.write(b"".join(request({**CHAT, "model": model}) for model in models))
        answered = [orjson.loads((await answer(reader))[1])["model"] for _ in models]
    assert answered == [model.removeprefix("sim/") for model in models]


async def test_a_connection_serves_on_after_a_wait_and_its_next_request_hears_of_the_hang_up(gateway: Gateway, sim):
    async with connection(gateway) as (reader, writer):
        writer.write(request(CHAT, "x-bf-async: 1", "x-bf-async-wait: 30"))
        await wait_until(lambda: gateway.services.waits.open == 1)
        await gateway.worker.work_off()
        head, body = await answer(reader)
        assert b"x-bf-async-status: completed" in head
        assert orjson.loads(body)["choices"]
        writer.write(request(HANGS))
        await sim.wait_until(lambda log: log.open_count == 1)
    await sim.wait_until(lambda log: log.open_count == 0)


async def test_a_waiting_submit_is_forgotten_when_its_caller_hangs_up_and_its_job_is_not(gateway: Gateway):
    async with connection(gateway) as (_, writer):
        writer.write(request(CHAT, "x-bf-async: 1", "x-bf-async-wait: 30"))
        await wait_until(lambda: gateway.services.waits.open == 1)
    await wait_until(lambda: gateway.services.waits.open == 0)
    assert await gateway.worker.work_off() == 1


@pytest.mark.parametrize("raw_headers", [[(b"host", b"x")], ((b"host", b"x"),)])
def test_a_request_that_waits_lets_go_of_its_headers_where_they_can_be_let_go(raw_headers):
    context = RequestContext("req_1", dict(raw_headers), started=0.0, raw_headers=raw_headers)
    context.forget_headers()
    assert not context.headers
    assert len(raw_headers) == isinstance(raw_headers, tuple)


class Request:
    """As uvicorn's: its ``receive`` belongs to it, and so does the line."""

    def __init__(self) -> None:
        self.flow = Reading()
        self.message_event = CallerLine(self.flow)  # type: ignore[arg-type]

    async def receive(self) -> dict[str, str]:
        return {"type": "http.disconnect"}


class Reading:
    resumed = 0

    def resume_reading(self) -> None:
        self.resumed += 1


async def test_a_caller_who_was_gone_before_is_gone():
    asked = Request()
    asked.message_event.hang_up()
    with pytest.raises(ClientGone), Hangup(asked.receive):
        await asyncio.Event().wait()
    assert asked.flow.resumed == 0


async def test_a_finished_request_is_not_notified_of_a_hang_up():
    asked = Request()
    with Hangup(asked.receive):
        assert asked.flow.resumed == 1
    asked.message_event.hang_up()
    with Hangup(asked.receive):
        pass
    await asyncio.get_running_loop().run_in_executor(None, int)  # several turns of the loop, uncancelled
    assert line_to_caller(asked.receive) is asked.message_event


async def test_a_flag_wakes_all_who_still_wait_and_holds_those_who_come_after_it_was_lowered():
    flag = Flag()
    first, second = (asyncio.create_task(flag.wait()) for _ in range(2))
    await asyncio.wait([first, second], timeout=0)
    first.cancel()
    await asyncio.wait([first])
    flag.set()
    assert await second
    assert await flag.wait()
    flag.clear()
    third = asyncio.create_task(flag.wait())
    assert await asyncio.wait([third], timeout=0) == (set(), {third})
    flag.set()
    assert await third

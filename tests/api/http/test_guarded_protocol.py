"""What a hostile or slow caller can send to the socket: a clear refusal, and the process serves everybody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from api.http import guarded_protocol
from tests.api.conftest import CHAT, Gateway, Start
from tests.waiting import wait_until

HEAD = b"GET /health/live HTTP/1.1\r\nhost: x\r\n"


@asynccontextmanager
async def connection(gateway: Gateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=2**24)
    try:
        yield reader, writer
    finally:
        writer.close()


async def response(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def refusal(gateway: Gateway, *parts: bytes) -> tuple[int, dict]:
    """Send the parts; return status and error of the only response, after which the connection ends."""
    async with connection(gateway) as (reader, writer):
        for part in parts:
            writer.write(part)
        status, headers, body = await asyncio.wait_for(response(reader), 10)
        assert headers["connection"] == "close"
        assert headers["x-request-id"].startswith("req_")
        assert await asyncio.wait_for(reader.read(), 10) == b""
        return status, orjson.loads(body)["error"]


BODY = orjson.dumps(CHAT)
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431, "headers_too_large"),
        (HEAD + b"x: " + b"a" * 70_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (HEAD + b"x: " + b"a" * 600_000, 431, "headers_too_large"),
        (HEAD + b"x: y\r\n" * 201 + b"\r\n", 431, "headers_too_large"),
        (b"GET /health/live HTTP/1.1\r\n\r\n", 400, None),
        (HEAD + b"host: y\r\n\r\n", 400, None),
        (HEAD + b"authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n", 400, None),
        (HEAD + b"x-bf-vk: a\r\nX-BF-VK: b\r\n\r\n", 400, None),
        (HEAD + b"x-api-key: a\r\nx-api-key: a\r\n\r\n", 400, None),
        (HEAD + b"x-goog-api-key: a\r\nx-goog-api-key: a\r\n\r\n", 400, None),
        (POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, None),
        (b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, None),
        (b"GET /health/live\r\n\r\n", 400, None),
        (b"\x16\x03\x01\x02\x00\x01", 400, None),
        (b"CONNECT host:443 HTTP/1.1\r\nhost: x\r\n\r\n", 400, None),
        (POST + b"connection: upgrade\r\nupgrade: foo\r\ncontent-length: 5\r\n\r\n", 400, None),
        (POST + b"transfer-encoding: chunked\r\n\r\n1;" + b"x" * 600_000, 431, "headers_too_large"),
        (POST + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 100_000, 431, "headers_too_large"),
    ],
)
async def test_a_malformed_or_oversized_request_is_refused(gateway: Gateway, request_bytes: bytes, status: int, code):
    found, error = await refusal(gateway, request_bytes)
    assert (found, error["code"], error["type"]) == (status, code, "invalid_request_error")


async def test_a_refusal_has_the_envelope_of_its_surface(gateway: Gateway):
    async with connection(gateway) as (reader, writer):
        writer.write(b"POST /anthropic/v1/messages HTTP/1.1\r\n\r\n")
        status, _, body = await response(reader)
    assert (status, orjson.loads(body)["type"]) == (400, "error")


async def test_a_body_after_an_upgrade_is_not_the_next_request(gateway: Gateway):
    inner = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"
    head = POST + b"connection: upgrade\r\nupgrade: foo\r\ncontent-length: %d\r\n\r\n" % len(inner)
    status, _ = await refusal(gateway, head, inner)
    assert status == 400


async def test_a_trailer_is_no_header(gateway: Gateway, sim):
    chunked = b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nx-bf-async: true\r\n\r\n" % (len(BODY), BODY)
    async with connection(gateway) as (reader, writer):
        writer.write(POST + chunked)
        status, headers, _ = await response(reader)
    assert status == 200
    assert "x-bf-async-id" not in headers
    assert len(sim.requests) == 1


async def test_a_head_that_is_almost_too_large_is_served(gateway: Gateway):
    async with connection(gateway) as (reader, writer):
        writer.write(HEAD + b"x: " + b"a" * 65_000)
        writer.write(b"\r\n\r\n" + HEAD + b"\r\n")
        assert [(await response(reader))[0] for _ in range(2)] == [200, 200]


async def test_garbage_behind_a_request_leaves_its_answer_whole(gateway: Gateway):
    async with connection(gateway) as (reader, writer):
        writer.write(POST + b"content-length: %d\r\n\r\n%b\x00garbage\r\n\r\n" % (len(BODY), BODY))
        status, headers, body = await response(reader)
        assert (status, headers["connection"]) == (200, "close")
        assert orjson.loads(body)["choices"]
        assert await reader.read() == b""


async def test_an_unfinished_head_times_out_and_a_silent_connection_is_closed(start: Start):
    gateway = await start(server={"header_timeout_s": 0.2})
    status, error = await refusal(gateway, HEAD)
    assert (status, error["code"]) == (408, "request_timeout")
    async with connection(gateway) as (reader, _):
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_a_body_that_drips_times_out_although_the_request_runs(start: Start, sim):
    gateway = await start(server={"body_stall_s": 0.2})
    status, error = await refusal(gateway, POST + b"content-length: 100\r\n\r\n{")
    assert (status, error["code"]) == (408, "request_timeout")
    assert sim.requests == []


async def test_an_answer_that_nobody_takes_is_dropped(start: Start):
    gateway = await start(server={"write_stall_s": 0.2, "max_body_mb": 20})
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    many = 4000  # the answers are more than both sockets' buffers hold
    writer.write((b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n") * many)
    limits = gateway.server.config.http_protocol_class.keywords["limits"]  # type: ignore[attr-defined]
    await wait_until(lambda: limits.connections == 1)
    await wait_until(lambda: limits.connections == 0)
    assert gateway.services.metrics.registry.get_sample_value("finops_http_refused_total", {"reason": "write_timeout"})
    writer.close()


async def test_connections_above_the_limit_are_refused(start: Start):
    gateway = await start(server={"max_connections": 2})
    async with connection(gateway) as (reader, writer), connection(gateway):
        status, error = await refusal(gateway, HEAD + b"\r\n")
        assert (status, error["code"]) == (503, "overloaded")
        writer.write(HEAD + b"\r\n")
        assert (await response(reader))[0] == 200


async def test_bodies_above_the_budget_are_refused_and_small_ones_are_not(start: Start):
    gateway = await start(server={"max_inflight_mb": 1, "max_body_mb": 4})
    declared = POST + b"content-length: %d\r\n\r\n" % 2**21
    assert (await refusal(gateway, declared))[0] == 503
    chunked = POST + b"transfer-encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 2**16 + b"\r\n") * 40
    assert (await refusal(gateway, chunked))[0] == 503
    assert (await gateway.post("/v1/chat/completions", CHAT)).status_code == 200
    limits = gateway.server.config.http_protocol_class.keywords["limits"]  # type: ignore[attr-defined]
    await wait_until(lambda: limits.body_bytes == 0)


async def test_an_idle_connection_is_closed_and_one_whose_request_runs_is_not(start: Start):
    gateway = await start(server={"write_stall_s": 0.4})  # so that the sweep is frequent
    gateway.server.config.timeout_keep_alive = 0.2  # type: ignore[attr-defined]
    async with connection(gateway) as (reader, writer):
        slow = orjson.dumps({**CHAT, "model": "sim/gpt-4o@latency=1"})
        writer.write(POST + b"content-length: %d\r\n\r\n%b" % (len(slow), slow))
        assert (await asyncio.wait_for(response(reader), 20))[0] == 200
        assert await asyncio.wait_for(reader.read(), 10) == b""
    async with connection(gateway) as (reader, writer):
        writer.write(b"POST /nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n")
        assert (await asyncio.wait_for(response(reader), 20))[0] == 404
        writer.write(b"later")  # the body is not wanted, but has to end
        assert await asyncio.wait_for(reader.read(), 10) == b""


def shut_down(gateway: Gateway) -> None:
    """Begin the orderly end of the connections, as the server does when its process ends."""
    for each in list(gateway.server.server_state.connections):
        each.shutdown()


async def test_a_new_connection_still_sends_its_first_request_while_the_process_ends(gateway: Gateway):
    async with connection(gateway) as (reader, writer):
        await wait_until(lambda: gateway.server.server_state.connections)
        shut_down(gateway)
        writer.write(HEAD + b"\r\n")
        status, headers, _ = await asyncio.wait_for(response(reader), 10)
        assert (status, headers["connection"]) == (200, "close")
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_a_connection_without_a_request_is_closed_when_the_process_ends(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(guarded_protocol, "FIRST_REQUEST_S", 0.05)
    async with connection(gateway) as (reader, _):
        await wait_until(lambda: gateway.server.server_state.connections)
        shut_down(gateway)
        assert await asyncio.wait_for(reader.read(), 10) == b""
    async with connection(gateway) as (reader, writer):
        writer.write(HEAD + b"\r\n")
        await asyncio.wait_for(response(reader), 10)
        shut_down(gateway)  # between two requests it is closed at once
        assert await asyncio.wait_for(reader.read(), 10) == b""

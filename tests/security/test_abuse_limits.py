"""The limits against abuse that are promised to everybody, one test a promise, at a running gateway."""

import asyncio
import base64
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from shared.settings.model import Settings
from tests.api.conftest import CHAT, Gateway, Start
from tests.rogue import Rogue, rogue_upstream

LIMIT = 64 * 1024
SECRET = "sk-live/of+the=provider-0123456789"


@asynccontextmanager
async def connection(gateway: Gateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def exchange(gateway: Gateway, *parts: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Send the parts on a connection of their own; return status, headers and body of the first response."""
    async with connection(gateway) as (reader, writer):
        for part in parts:
            writer.write(part)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await asyncio.wait_for(reader.readexactly(int(headers["content-length"])), 20)
        return int(head[0].split()[1]), headers, orjson.loads(body) if body else {}


def one_long_header(size: int) -> bytes:
    start = b"GET /health/live HTTP/1.1\r\nhost: x\r\nx-long: "
    return start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"


def many_headers(size: int) -> bytes:
    lines = b"".join(b"x-%03d: %b\r\n" % (number, b"a" * 300) for number in range(190))
    start = b"GET /health/live HTTP/1.1\r\nhost: x\r\n" + lines + b"x-last: "
    return start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"


def long_path(size: int) -> bytes:
    start, end = b"GET /health/live?", b" HTTP/1.1\r\nhost: x\r\n\r\n"
    return start + b"a" * (size - len(start) - len(end)) + end


@pytest.mark.parametrize("head", [one_long_header, many_headers, long_path])
async def test_request_line_and_headers_may_have_64_kib_together(gateway: Gateway, head) -> None:
    assert len(head(LIMIT)) == LIMIT
    whole, too_long = head(LIMIT), head(LIMIT + 1)
    assert (await exchange(gateway, whole))[0] == 200
    assert (await exchange(gateway, whole[:100], whole[100:40_000], whole[40_000:]))[0] == 200
    for parts in ((too_long,), (too_long[:50_000], too_long[50_000:]), (head(300_000)[:-2],)):
        status, headers, body = await exchange(gateway, *parts)
        assert (status, body["error"]["code"]) == (431, "headers_too_large")
        assert headers["connection"] == "close"


async def test_a_body_in_the_same_packet_does_not_count_as_headers(gateway: Gateway) -> None:
    body = orjson.dumps({**CHAT, "user": "a" * 100_000})
    start = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\nx: " % len(body)
    for size, status in ((LIMIT, 200), (LIMIT + 1, 431)):
        head = start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"
        assert (await exchange(gateway, head + body))[0] == status


@pytest.mark.parametrize(
    ("path", "is_native"),
    [
        ("/anthropic/v1/messages", lambda body: body["type"] == "error"),
        ("/genai/v1beta/models/m", lambda b: b["error"]),
    ],
)
async def test_a_refusal_of_the_head_is_in_the_envelope_of_its_surface(gateway: Gateway, path: str, is_native) -> None:
    head = b"POST %b HTTP/1.1\r\nhost: x\r\nx: %b\r\n\r\n" % (path.encode(), b"a" * LIMIT)
    status, _, body = await exchange(gateway, head)
    assert status == 431
    assert is_native(body)


def test_headers_have_ten_seconds_and_a_body_that_stalls_sixty() -> None:
    server = Settings().server
    assert (server.header_timeout_s, server.body_stall_s, server.max_header_kb) == (10, 60, 64)


async def test_a_connection_too_many_is_503_with_retry_after(start: Start) -> None:
    gateway = await start(server={"max_connections": 1})
    async with connection(gateway) as (_, writer):
        writer.write(b"GET ")
        await writer.drain()
        status, headers, body = await exchange(gateway, b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (status, body["error"]["code"]) == (503, "overloaded")
    assert int(headers["retry-after"]) >= 1


CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
SCHEDULE = {"every_s": 3600, "request": {"type": "chat.completions", "body": CHAT}}
DEEP = [
    ("/v1/chat/completions", CHAT),
    ("/openai/v1/chat/completions", CHAT),
    ("/v1/async/chat/completions", CHAT),
    ("/v1/completions", {"model": "sim/x", "prompt": "a"}),
    ("/v1/embeddings", {"model": "sim/x", "input": "a"}),
    ("/v1/responses", {"model": "sim/x", "input": "a"}),
    ("/v1/moderations", {"model": "sim/x", "input": "a"}),
    ("/v1/images/generations", {"model": "sim/x", "prompt": "a"}),
    ("/v1/audio/speech", {"model": "sim/x", "input": "a", "voice": "alloy"}),
    ("/anthropic/v1/messages", {**CHAT, "max_tokens": 5}),
    ("/genai/v1beta/models/gpt-4o:generateContent", CONTENTS),
    ("/v1/threads", {"messages": []}),
    ("/v1/batches", {"input_file_id": "x", "endpoint": "/v1/embeddings", "completion_window": "24h"}),
    ("/v1/async/schedules", SCHEDULE),
    ("/v1/async/jobs/bulk", {"action": "cancel", "filter": {}}),
]


def nested(fields: dict[str, Any], levels: int, padding: int = 0) -> bytes:
    """The fields in JSON, with one more that makes them so many levels deep."""
    inner = b"[" * (levels - 1) + b"]" * (levels - 1)
    return orjson.dumps({**fields, "padding": "a" * padding})[:-1] + b',"deep":' + inner + b"}"


@pytest.mark.parametrize(("path", "fields"), DEEP, ids=[path for path, _ in DEEP])
async def test_json_may_be_nested_200_levels_deep(gateway: Gateway, sim, path: str, fields: dict[str, Any]) -> None:
    async def send(levels: int, padding: int) -> tuple[int, str]:
        headers = {"content-type": "application/json"}
        answer = await gateway.http.post(path, content=nested(fields, levels, padding), headers=headers)
        return answer.status_code, answer.text

    for padding in (0, 200_000):
        status, text = await send(200, padding)
        if padding and status == 413:  # an endpoint for small bodies
            continue
        assert status < 500, text
        assert "nested" not in text
        sent = len(sim.requests)
        status, text = await send(201, padding)
        assert status == 400, text
        assert "nested deeper than 200 levels" in text
        assert (await send(100_000, padding))[0] in {400, 413}
        assert len(sim.requests) == sent


@pytest.fixture
async def rogue() -> AsyncIterator[Rogue]:
    async with rogue_upstream() as upstream:
        yield upstream


@pytest.fixture
async def before_rogue(start: Start, rogue: Rogue) -> Gateway:
    """A gateway before an upstream that answers as a test says; every request type has a provider, and a circuit."""
    up = {"wire": "openai", "base_url": rogue.url, "keys": [{"value": SECRET}], "retry": {"max_attempts": 1}}
    up["breaker"] = {"consecutive_failures": 1000}
    return await start(providers={"up": up, "openai": up}, server={"max_answer_mb": 1})


ASKED: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {**CHAT, "model": "up/x"}),
    ("/v1/chat/completions", {**CHAT, "model": "up/x", "stream": True}),
    ("/v1/embeddings", {"model": "up/x", "input": "a"}),
    ("/v1/responses", {"model": "up/x", "input": "a"}),
    ("/v1/audio/speech", {"model": "up/x", "input": "a", "voice": "alloy"}),
    ("/anthropic/v1/messages", {**CHAT, "model": "up/x", "max_tokens": 5}),
    ("/genai/v1beta/models/up/x:generateContent", CONTENTS),
    ("/v1/threads", {"messages": []}),
]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
async def test_a_compressed_answer_is_refused_and_never_expanded(
    before_rogue: Gateway, rogue: Rogue, coding: str
) -> None:
    bomb = zlib.compress(bytes(100_000_000))  # 100 KB; the gateway does not look into it, whatever it is
    rogue.answer("200 OK", bomb, b"content-encoding: " + coding.encode())
    for path, body in ASKED:
        answer = await before_rogue.post(path, body)
        assert answer.status_code == 502, (path, answer.text[:200])
        assert len(answer.content) < 1000
    rogue.answer("400 Bad Request", bomb, b"content-encoding: " + coding.encode())
    answer = await before_rogue.post(*ASKED[0])
    assert (answer.status_code, len(answer.content) < 1000) == (400, True)
    assert {head.lower().count(b"accept-encoding: identity") for head in rogue.heads} == {1}


async def test_an_endless_answer_stops_at_its_limit(before_rogue: Gateway, rogue: Rogue) -> None:
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    rogue.reply = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n" + chunk * 64
    )
    for path, body in (ASKED[0], ASKED[2], ASKED[3]):
        answer = await before_rogue.post(path, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "answer_too_large"), path


WRITTEN = [
    SECRET,
    quote(SECRET, safe=""),
    quote(SECRET, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d"),
    *(base64.b64encode(b"u" * before + SECRET.encode()).decode() for before in range(3)),
    base64.urlsafe_b64encode(f"user:{SECRET}".encode()).decode(),
]


@pytest.mark.parametrize("written", WRITTEN)
async def test_an_error_of_a_provider_reaches_the_caller_without_its_key(
    before_rogue: Gateway, rogue: Rogue, written: str
) -> None:
    bodies = [
        orjson.dumps({"error": {"message": f"Bad key {written}.", written: [{"param": written}]}}),
        orjson.dumps({"detail": f"Bad key {written}."}),
        orjson.dumps({"error": f"Bad key {written}."}),
        f"<html>Bad key {written}</html>".encode(),
    ]
    sent = f"x-request-id: {written}\r\nx-ratelimit-key: Bearer {written}".encode()
    core = written[8:-8]
    for status, error in [("503 Service Unavailable", bodies[0]), *(("401 Unauthorized", each) for each in bodies)]:
        rogue.answer(status, error, sent)
        surfaces = (ASKED[1], ASKED[5], ASKED[6]) if error is bodies[0] else ()
        for path, body in (ASKED[0], ASKED[7], *surfaces):
            answer = await before_rogue.post(path, body)
            assert answer.status_code >= 400
            assert core not in answer.text + str(answer.headers), path


FAILED = {"type": "response.failed", "response": {"status": "failed", "error": {"message": f"Bad key {SECRET}"}}}
BAD = {"error": {"message": f"Bad key {SECRET}", "code": 401}}


@pytest.mark.parametrize(
    ("at", "event"), [(0, BAD), (3, FAILED), (3, {"type": "error", "message": f"Bad key {SECRET}"}), (5, BAD), (6, BAD)]
)
async def test_an_error_within_an_answer_is_without_the_key_too(
    before_rogue: Gateway, rogue: Rogue, at: int, event: dict[str, Any]
) -> None:
    path, body = ASKED[at]
    if event.get("type") != "error":  # that is an event, never a whole answer
        rogue.answer("200 OK", orjson.dumps(event.get("response", event)))
        assert SECRET not in (await before_rogue.post(path, body)).text
    begun: dict[str, Any] = {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}}
    text = b"".join(b"data: %b\n\n" % orjson.dumps(each) for each in ([begun] if at == 3 else []) + [event])
    rogue.reply = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + text
    path = path.replace(":generateContent", ":streamGenerateContent?alt=sse")
    answer = await before_rogue.post(path, body if "genai" in path else {**body, "stream": True})
    assert "Bad key" in answer.text
    assert SECRET not in answer.text

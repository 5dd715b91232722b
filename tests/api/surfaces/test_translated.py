"""What the surfaces of other formats have in common: providers that do not stream or talk nonsense, and the books."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import orjson
import pytest
from google import genai
from google.genai import errors, types

from simulator.serve import RunningSimulator
from tests.api.conftest import Gateway

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
MESSAGE = {"role": "assistant", "content": "It is sunny.", "tool_calls": [CALL]}
WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "tool_calls"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}
ASK: dict[str, Any] = {"model": "odd/m", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
Start = Callable[..., Awaitable[Gateway]]


@asynccontextmanager
async def upstream_sending(body: bytes, media_type: bytes = b"application/json") -> AsyncIterator[str]:
    """A provider that says the same to everybody."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: %s\r\n" % media_type)
        writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def odd(url: str) -> dict[str, Any]:
    return {"odd": {"wire": "openai", "base_url": url, "retry": {"max_attempts": 1}}}


@asynccontextmanager
async def google(gateway: Gateway) -> AsyncIterator[Any]:
    client = genai.Client(api_key="any", http_options=types.HttpOptions(base_url=f"{gateway.url}/genai"))
    yield client.aio.models
    await client.aio.aclose()
    client.close()


async def test_callers_read_events_even_where_the_provider_does_not_stream(start: Start):
    async with upstream_sending(orjson.dumps(WHOLE)) as url:
        gateway = await start(providers=odd(url))
        async with (
            anthropic.AsyncAnthropic(base_url=f"{gateway.url}/anthropic", api_key="any") as client,
            client.messages.stream(**ASK) as stream,
        ):
            message = await stream.get_final_message()
        async with google(gateway) as models:
            chunks = [each async for each in await models.generate_content_stream(model="odd/m", contents="hello")]
    assert [block.type for block in message.content] == ["text", "tool_use"]
    assert message.content[1].input == {"city": "Oslo"}
    assert (message.stop_reason, message.usage.output_tokens) == ("tool_use", 4)
    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or []]
    assert "".join(part.text or "" for part in parts) == "It is sunny."
    assert [part.function_call.args for part in parts if part.function_call] == [{"city": "Oslo"}]
    assert chunks[-1].usage_metadata.total_token_count == 7


@pytest.mark.parametrize("body", [b"[]", b'{"choices": 5}', b'{"choices": [{"message": "x"}]}'])
async def test_a_malformed_answer_is_a_502(start: Start, body: bytes):
    async with upstream_sending(body) as url:
        gateway = await start(providers=odd(url))
        message = await gateway.post("/anthropic/v1/messages", ASK)
        content = await gateway.post("/genai/v1/models/odd/m:generateContent", CONTENTS)
        streamed = await gateway.post("/genai/v1/models/odd/m:streamGenerateContent", CONTENTS)
    assert (message.status_code, message.json()["type"]) == (502, "error")
    assert (content.status_code, content.json()["error"]["status"]) == (502, "UNAVAILABLE")
    assert streamed.json()[-1]["error"]["code"] == 502


CONTENTS = {"contents": [{"parts": [{"text": "hello"}]}]}


async def test_a_stream_that_is_none_says_so_at_its_end(start: Start):
    async with upstream_sending(b'data: {"choices": 5}\n\ndata: [DONE]\n\n', b"text/event-stream") as url:
        gateway = await start(providers=odd(url))
        async with google(gateway) as models:
            stream = await models.generate_content_stream(model="odd/m", contents="hello")
            with pytest.raises(errors.ServerError) as failure:
                [chunk async for chunk in stream]
    assert failure.value.code == 502


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/anthropic/v1/messages", {**ASK, "model": "openai/gpt-4o", "stream": True}),
        ("/genai/v1/models/openai/gpt-4o:streamGenerateContent?alt=sse", CONTENTS),
        ("/genai/v1/models/openai/gpt-4o:generateContent", CONTENTS),
    ],
)
async def test_what_is_answered_is_booked_as_answered(
    start: Start, sim: RunningSimulator, path: str, body: dict[str, Any]
):
    gateway = await start()
    answer = await gateway.post(path, body)
    assert answer.status_code == 200
    billing = gateway.services.inference._billing
    await billing.ledger.flush()
    [(_, fields)] = await gateway.services.commands.execute("XRANGE", "finops:ledger", "-", "+")
    entry = orjson.loads(fields[1])
    assert (entry["status"], entry["provider"], entry["surface"]) == (200, "openai", path.split("/")[1])
    assert not entry.get("estimated")


async def test_an_alias_is_no_model_of_the_surfaces_own(start: Start, sim: RunningSimulator):
    gateway = await start(aliases={"quick": "openai/gpt-4o"})
    assert (await gateway.post("/anthropic/v1/messages", {**ASK, "model": "quick"})).status_code == 200
    assert (await gateway.post("/genai/v1/models/quick:generateContent", CONTENTS)).status_code == 200
    assert {entry.body["model"] for entry in sim.log.entries} == {"gpt-4o"}

"""The official SDK on the bridge: its strict models, its stream helper, its parser."""

from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import httpx2
import orjson
import pytest
from openai import APIError, AsyncOpenAI
from pydantic import BaseModel

from shared.surfaces.responses.answer import chat_to_response
from shared.surfaces.responses.event_log import events_after, read_starting_after
from shared.surfaces.responses.items import input_items_page, stored_input
from shared.surfaces.responses.request import responses_to_chat
from shared.surfaces.responses.skeleton import response_skeleton
from shared.surfaces.responses.stream import ResponseEvents
from shared.surfaces.sse import EventSplitter
from tests.surfaces.responses.chats import USAGE, chat, chunk, function, stream_bytes

FACTS = {"response_id": "resp_" + "0f" * 24, "created_at": 1795360000}


class Gateway:
    """The smallest server that serves Responses from a chat model with one answer."""

    def __init__(self, message, chunks, finish_reason="stop"):
        self.answer = chat(message, finish_reason, USAGE)
        self.chunks = [*chunks, chunk({}, finish_reason), chunk(usage=USAGE)]
        self.asked = None
        self.fields = {}
        self.log = []

    async def __call__(self, scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
        kind, sent = self.route(scope["method"], scope["path"], query, body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode())]})
        for piece in sent:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def route(self, method, path, query, body):
        if path.endswith("/input_items"):
            items = stored_input(self.fields, FACTS["response_id"])
            page = input_items_page(items, query.get("after"), query.get("limit"), query.get("order"))
            return "application/json", [orjson.dumps(page)]
        if method == "GET" and query.get("stream"):
            after = read_starting_after(query.get("starting_after"))
            return "text/event-stream", list(events_after(self.log, after))
        if method == "GET":
            return "application/json", [orjson.dumps(response_skeleton(self.fields, **FACTS, background=True))]
        self.fields = orjson.loads(body)
        self.asked = responses_to_chat(self.fields)
        if not self.fields.get("stream"):
            return "application/json", [orjson.dumps(chat_to_response(self.answer, self.fields, **FACTS))]
        return "text/event-stream", self.stream()

    def stream(self):
        events = ResponseEvents(self.fields, **FACTS, background=bool(self.fields.get("background")))
        data = stream_bytes(self.chunks)
        sent = [events.start(), *(events.feed(data[at : at + 7]) for at in range(0, len(data), 7))]
        if events.error:
            sent.append(events.fail(events.error))
        self.log = EventSplitter().feed(b"".join(sent))
        return sent


@asynccontextmanager
async def client_of(gateway):
    http = httpx2.AsyncClient(transport=httpx2.ASGITransport(gateway))
    async with AsyncOpenAI(
        api_key="k", base_url="http://gateway/v1", http_client=http, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


class Sum(BaseModel):
    total: int


TOOL = {
    "type": "function",
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    "strict": True,
}


async def test_create_reads_text_and_usage():
    gateway = Gateway({"content": "Hello", "reasoning_content": "Hm"}, [])
    async with client_of(gateway) as client:
        response = await client.responses.create(model="a/b", input="Hi", instructions="Be brief.")

    assert response.output_text == "Hello"
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert (response.usage.output_tokens_details.reasoning_tokens, response.model) == (4, "a/b")
    assert gateway.asked["messages"][0] == {"role": "developer", "content": "Be brief."}


async def test_parse_asks_for_the_schema_and_reads_the_answer():
    gateway = Gateway({"content": '{"total": 3}'}, [])
    async with client_of(gateway) as client:
        response = await client.responses.parse(model="a/b", input="1 + 2", text_format=Sum)

    assert response.output_parsed == Sum(total=3)
    form = gateway.asked["response_format"]
    assert (form["type"], form["json_schema"]["name"], form["json_schema"]["strict"]) == ("json_schema", "Sum", True)


async def test_the_stream_helper_reads_a_parsed_answer():
    chunks = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "Hm"}),
        *(chunk({"content": piece}) for piece in ('{"to', 'tal": ', "3}")),
    ]
    async with client_of(Gateway({}, chunks)) as client:
        async with client.responses.stream(model="a/b", input="1 + 2", text_format=Sum) as stream:
            texts = [event.snapshot async for event in stream if event.type == "response.output_text.delta"]
        response = await stream.get_final_response()

    assert texts == ['{"to', '{"total": ', '{"total": 3}']
    assert response.output_parsed == Sum(total=3)
    assert response.usage.total_tokens == 29


async def test_the_stream_helper_reads_parallel_calls_and_the_next_round_takes_them_back():
    calls = [function("add", '{"a":1}', "c0"), function("add", '{"a":2}', "c1")]
    chunks = [
        chunk({"content": "I add."}),
        chunk({"tool_calls": [{"index": 0, **function("add", "", "c0")}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]}),
        chunk({"tool_calls": [{"index": 1, **calls[1]}]}),
    ]
    gateway = Gateway({"content": "3"}, chunks, "tool_calls")
    async with client_of(gateway) as client:
        async with client.responses.stream(model="a/b", input="?", tools=[TOOL]) as stream:
            response = await stream.get_final_response()
        outputs = [
            {"type": "function_call_output", "call_id": call.call_id, "output": "3"}
            for call in response.output
            if call.type == "function_call"
        ]
        output_items = [item.to_dict() for item in response.output]
        await client.responses.create(model="a/b", input=[{"role": "user", "content": "?"}, *output_items, *outputs])

    assert [call.parsed_arguments for call in response.output[1:]] == [{"a": 1}, {"a": 2}]
    assert gateway.asked["messages"][1:] == [
        {"role": "assistant", "content": "I add.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c0", "content": "3"},
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
    ]


async def test_a_cut_stream_ends_as_incomplete():
    async with client_of(Gateway({}, [chunk({"content": "Hel"})], "length")) as client:
        stream = await client.responses.create(model="a/b", input="Hi", stream=True)
        events = [event async for event in stream]

    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "max_output_tokens"


async def test_an_error_before_the_first_event_is_raised():
    gateway = Gateway({}, [])
    events = ResponseEvents({}, **FACTS)
    error = {"message": "no luck", "type": "upstream_error", "code": "upstream_error"}
    gateway.stream = lambda: [events.fail(error)]
    async with client_of(gateway) as client:
        stream = await client.responses.create(model="a/b", input="Hi", stream=True)
        with pytest.raises(APIError, match="no luck"):
            await anext(aiter(stream))


async def test_an_error_after_it_is_a_failed_response():
    gateway = Gateway({}, [chunk({"content": "a"}), {"error": {"message": "no luck"}}])
    async with client_of(gateway) as client:
        stream = await client.responses.create(model="a/b", input="Hi", stream=True)
        events = [event async for event in stream]

    assert events[-1].type == "response.failed"
    assert events[-1].response.error.message == "no luck"


async def test_a_background_stream_is_resumed_where_it_was_left():
    async with client_of(Gateway({}, [chunk({"content": "Hello"})])) as client:
        stream = await client.responses.create(model="a/b", input="Hi", stream=True, background=True)
        events = [event async for event in stream]
        rest = await client.responses.retrieve(FACTS["response_id"], stream=True, starting_after=3)
        assert [event async for event in rest] == events[4:]
        pending = await client.responses.retrieve(FACTS["response_id"])
        async with client.responses.stream(response_id=FACTS["response_id"], starting_after=3) as helper:
            resumed = [event.sequence_number async for event in helper]

    assert [event.type for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert (pending.status, pending.output_text) == ("queued", "")
    assert resumed == [event.sequence_number for event in events[4:]]


async def test_input_items_are_listed_page_by_page():
    gateway = Gateway({"content": "A"}, [])
    questions = [{"role": "user", "content": str(n)} for n in range(5)]
    async with client_of(gateway) as client:
        response = await client.responses.create(model="a/b", input=questions)
        listed = client.responses.input_items.list(response.id, limit=2, order="asc")
        texts = [item.content[0].text async for item in listed]

    assert texts == list("01234")

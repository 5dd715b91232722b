"""Google's own client against a tiny application made of nothing but the surface's functions."""

from collections.abc import AsyncIterator

import httpx2
import orjson
import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from shared.errors import GatewayError
from shared.surfaces.genai import (
    ResponseEvents,
    chat_request,
    count_request,
    counted,
    embedding_request,
    embedding_response,
    error_of,
    model_of,
    models_page,
    pending_response,
    response_of,
)
from shared.surfaces.sse import DONE, encode_event

USAGE = {"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16}
MODEL = "openai/gpt-4o"
MODELS = [{"id": name, "created": 1_700_000_000} for name in (MODEL, "anthropic/claude-sonnet-4-6", "gemini/x")]
SIGNED = {"extra_content": {"google": {"thought_signature": "c2lnbmVk"}}}


def script(chat):
    """A model in OpenAI's format: calls a tool that it has not called yet, else says how many messages it read."""
    if chat.get("tools") and chat["messages"][-1]["role"] != "tool":
        function = {"name": chat["tools"][0]["function"]["name"], "arguments": '{"city":"Paris"}'}
        call = {"id": "call_1", "type": "function", "function": function, **SIGNED}
        return {"content": None, "reasoning_content": "Hm.", "tool_calls": [call]}, "tool_calls"
    if chat.get("response_format"):
        return {"content": '{"city":"Oslo"}'}, "stop"
    return {"content": f"read {len(chat['messages'])}"}, "stop"


def complete(chat):
    message, finish = script(chat)
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "model": chat["model"], "choices": [choice], "usage": USAGE}


def stream(chat):
    message, finish = script(chat)
    deltas = [{"role": "assistant", "content": None}]
    deltas += [{"reasoning_content": message["reasoning_content"]}] if "reasoning_content" in message else []
    deltas += [{"content": word} for word in (message["content"] or "").partition(" ") if word]
    for call in message.get("tool_calls", []):
        deltas.append({"tool_calls": [{**call, "index": 0, "function": {"name": call["function"]["name"]}}]})
        deltas += [
            {"tool_calls": [{"index": 0, "function": {"arguments": each}}]} for each in call["function"]["arguments"]
        ]
    head = {"id": "chatcmpl-1", "model": chat["model"]}
    yield b": keep-alive\n\n"
    for delta in deltas:
        yield encode_event(orjson.dumps(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}))
    yield encode_event(orjson.dumps(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    if chat["model"] == "cut":
        yield encode_event(orjson.dumps({"error": {"message": "Cut.", "type": "upstream_error", "status": 502}}))
    yield encode_event(orjson.dumps(head | {"choices": [], "usage": USAGE}))
    yield DONE


def answer(path, query, headers, body):
    """Status and body."""
    resource, _, method = path.removeprefix("/v1beta/models").removeprefix("/").rpartition(":")
    if body is None:
        token = query.get("pageToken", "")
        return 200, models_page(MODELS, page_size="2", page_token=token) if not method else model_of({"id": method})
    if headers.get("x-bf-async-id") == "failed":
        return 429, error_of(429, {"message": "Too many.", "code": "rate_limited", "retry_after_s": 3})
    if method == "countTokens":
        return 200, counted(len(str(count_request(body, model=resource)["messages"])))
    if method == "batchEmbedContents":
        asked = embedding_request(body, model=resource)
        data = [{"index": index, "embedding": [len(text)]} for index, text in enumerate(asked["input"])]
        return 200, embedding_response({"data": data, "usage": USAGE}, batch=True)
    chat = chat_request(body, model=resource, stream=method == "streamGenerateContent")
    if headers.get("x-bf-async") == "true":
        return 200, pending_response("0b6e", chat["model"])
    if chat.get("stream"):
        events = ResponseEvents(as_array=query.get("alt") != "sse")
        return 200, b"".join(events.feed(data) for data in stream(chat))
    return 200, response_of(complete(chat))


async def app(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    query = dict(httpx2.QueryParams(scope["query_string"].decode()).items())
    try:
        status, reply = answer(scope["path"], query, headers, orjson.loads(body) if body else None)
    except GatewayError as error:
        status, reply = error.status, error_of(error.status, error.envelope()["error"])
    kind = b"text/event-stream" if isinstance(reply, bytes) else b"application/json"
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": reply if isinstance(reply, bytes) else orjson.dumps(reply)})


@pytest.fixture
async def models() -> AsyncIterator[genai.models.AsyncModels]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app)) as http:
        options = types.HttpOptions(base_url="http://gateway", api_version="v1beta", httpx_async_client=http)
        yield genai.Client(api_key="sk-bf-1", http_options=options).aio.models


def get_weather(city: str) -> str:
    """Current weather of a city."""
    return f"12 C in {city}"


BY_HAND = types.AutomaticFunctionCallingConfig(disable=True)


async def test_a_response(models):
    response = await models.generate_content(
        model=MODEL, contents="Weather?", config={"system_instruction": "Be brief.", "temperature": 0.5}
    )
    assert response.text == "read 2"
    assert response.candidates[0].finish_reason is types.FinishReason.STOP
    assert response.model_version == MODEL
    assert (response.usage_metadata.prompt_token_count, response.usage_metadata.candidates_token_count) == (12, 4)


async def test_a_tool_loop_that_the_sdk_runs_itself(models):
    response = await models.generate_content(model=MODEL, contents="Weather?", config={"tools": [get_weather]})
    assert response.text == "read 3"
    called = response.automatic_function_calling_history[1].parts
    assert called[0].thought
    assert called[1].function_call.args == {"city": "Paris"}
    assert called[1].thought_signature == b"signed"


async def test_a_tool_loop_by_hand_in_streams(models):
    config = types.GenerateContentConfig(tools=[get_weather], automatic_function_calling=BY_HAND)
    whole = await models.generate_content(model=MODEL, contents="Weather?", config=config)
    history = [types.UserContent("Weather?")]
    async for chunk in await models.generate_content_stream(model=MODEL, contents="Weather?", config=config):
        history.append(chunk.candidates[0].content)
        usage = chunk.usage_metadata
    parts = [part for content in history[1:] for part in content.parts]
    assert parts == whole.candidates[0].content.parts
    assert usage == whole.usage_metadata
    history.append(
        types.Content(role="user", parts=[types.Part.from_function_response(name="get_weather", response={"a": 1})])
    )
    with pytest.raises(errors.ClientError, match="answers none"):
        await models.generate_content(model=MODEL, contents=history[-1:], config=config)
    history[-1].parts[0].function_response.id = "call_1"
    ended = await models.generate_content(model=MODEL, contents=history, config=config)
    assert ended.text == "read 3"


async def test_a_stream_of_text(models):
    chunks = [chunk async for chunk in await models.generate_content_stream(model=MODEL, contents="Hi")]
    assert [chunk.text for chunk in chunks if chunk.text] == ["read", " ", "1"]
    assert chunks[-1].candidates[0].finish_reason is types.FinishReason.STOP


async def test_structured_output(models):
    class City(BaseModel):
        city: str

    config = {"response_mime_type": "application/json", "response_schema": City}
    response = await models.generate_content(model=MODEL, contents="A city.", config=config)
    assert response.parsed == City(city="Oslo")


async def test_an_error_in_a_stream_is_raised(models):
    chunks = await models.generate_content_stream(model="cut", contents="Hi")
    with pytest.raises(errors.ServerError, match="Cut") as caught:
        [chunk async for chunk in chunks]
    assert (caught.value.code, caught.value.status) == (502, "UNAVAILABLE")


async def test_what_has_no_counterpart_is_a_bad_request_that_names_it(models):
    part = types.Part(executable_code=types.ExecutableCode(code="1", language="PYTHON"))
    with pytest.raises(errors.ClientError) as caught:
        await models.generate_content(model=MODEL, contents=types.UserContent([part]))
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert "contents[0].parts[0].executableCode" in caught.value.message
    assert caught.value.details["error"]["details"][0]["reason"] == "unsupported_parameter"


async def test_jobs_are_pending_responses_and_failed_ones_errors(models):
    def headers(**named):
        return {"http_options": {"headers": {name.replace("_", "-"): value for name, value in named.items()}}}

    pending = await models.generate_content(model=MODEL, contents="Hi", config=headers(x_bf_async="true"))
    assert (pending.response_id, pending.candidates, pending.text) == ("0b6e", [], None)
    with pytest.raises(errors.ClientError, match="Too many") as caught:
        await models.generate_content(model=MODEL, contents="Hi", config=headers(x_bf_async_id="failed"))
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")


async def test_tokens_embeddings_and_models(models):
    assert (await models.count_tokens(model=MODEL, contents="Hi")).total_tokens > 0
    embedded = await models.embed_content(model="openai/e", contents=["a", "bc"], config={"output_dimensionality": 1})
    assert [each.values for each in embedded.embeddings] == [[1], [2]]
    listed = [model async for model in await models.list(config={"page_size": 2})]
    assert [model.name for model in listed] == [f"models/{model['id']}" for model in MODELS]
    assert listed[0].supported_actions == ["generateContent", "streamGenerateContent", "countTokens"]
    assert (await models.get(model="gpt-4o")).display_name == "gpt-4o"

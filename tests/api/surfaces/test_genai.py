"""Google's own SDK, with only its base URL changed, before providers of three wires: at once, streamed, as jobs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from simulator.serve import RunningSimulator
from tests.api.conftest import KEY_A, KEY_B, Gateway

SCOPE_KEY = {"keys": [{"value": "sk-upstream-key-0123456789"}], "retry": {"max_attempts": 1}}
MODELS = ["gemini-2.5-flash", "anthropic/claude-haiku-4-5", "openai/gpt-4o"]
JOB = {"x-bf-async": "true"}
SAY = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="weather",
            description="The weather.",
            parameters=types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}),
        )
    ]
)
ANY = types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY"))
Sdk = Callable[..., genai.Client]


class City(BaseModel):
    name: str
    people: int


@pytest.fixture
async def gateway(start: Callable[..., Awaitable[Gateway]], sim: RunningSimulator) -> Gateway:
    keys = {"team-a": {"value": KEY_A}, "team-b": {"value": KEY_B, "models": ["openai/*"]}}
    providers = {
        "gemini": {"base_url": f"{sim.origin}/v1beta", **SCOPE_KEY},
        "anthropic": {"base_url": f"{sim.origin}/anthropic", **SCOPE_KEY},
        "openai": {"base_url": sim.base_url, **SCOPE_KEY},
    }
    return await start(providers=providers, virtual_keys=keys, aliases={"quick": "openai/gpt-4o"})


@pytest.fixture
async def sdk(gateway: Gateway) -> AsyncIterator[Sdk]:
    made: list[genai.Client] = []

    def make(key: str = KEY_A, *, base_url: str = f"{gateway.url}/genai", **more: Any) -> genai.Client:
        made.append(genai.Client(api_key=key, http_options=types.HttpOptions(base_url=base_url, **more)))
        return made[-1]

    yield make
    for client in made:
        await client.aio.aclose()
        client.close()


def with_headers(headers: dict[str, str], **more: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(http_options=types.HttpOptions(headers=headers), **more)


@pytest.mark.parametrize("model", [*MODELS, "quick"])
async def test_content_is_generated(sdk: Sdk, model: str):
    answer = await sdk().aio.models.generate_content(
        model=model, contents="hello", config=types.GenerateContentConfig(system_instruction="Be brief.")
    )
    assert answer.text
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata.candidates_token_count > 0
    assert answer.response_id


@pytest.mark.parametrize("model", MODELS)
async def test_its_stream_says_the_same(sdk: Sdk, model: str):
    whole = await sdk().aio.models.generate_content(model=model, contents="hello")
    chunks = [chunk async for chunk in await sdk().aio.models.generate_content_stream(model=model, contents="hello")]
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    assert chunks[-1].usage_metadata.total_token_count == whole.usage_metadata.total_token_count
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


async def test_without_alt_sse_a_stream_is_one_array(gateway: Gateway):
    answer = await gateway.post("/genai/v1beta/models/openai/gpt-4o:streamGenerateContent", SAY)
    assert answer.headers["content-type"] == "application/json"
    chunks = answer.json()
    assert "".join(part["text"] for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"])
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize("model", MODELS)
async def test_a_function_is_called_and_its_result_goes_back(sdk: Sdk, model: str):
    config = types.GenerateContentConfig(tools=[WEATHER], tool_config=ANY)
    models = sdk().aio.models
    first = await models.generate_content(model=model, contents="weather?", config=config)
    [call] = first.function_calls
    streamed = [
        each async for each in await models.generate_content_stream(model=model, contents="weather?", config=config)
    ]
    assert [call.name for chunk in streamed for call in chunk.function_calls or []] == ["weather"]
    result = types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"sky": "blue"}))
    turns = [types.UserContent("weather?"), first.candidates[0].content, types.UserContent(result)]
    second = await models.generate_content(
        model=model, contents=turns, config=types.GenerateContentConfig(tools=[WEATHER])
    )
    assert second.text


@pytest.mark.parametrize("model", MODELS)
async def test_an_answer_has_the_wanted_form(sdk: Sdk, model: str):
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=City)
    answer = await sdk().aio.models.generate_content(model=model, contents="Oslo?", config=config)
    assert isinstance(answer.parsed, City)


async def test_the_plain_client_works_alike(gateway: Gateway, sdk: Sdk):
    answer = await asyncio.to_thread(sdk().models.generate_content, model=MODELS[0], contents="hello")
    assert answer.text


@pytest.mark.parametrize("model", MODELS)
async def test_tokens_are_counted_or_estimated(sdk: Sdk, sim: RunningSimulator, model: str):
    few = await sdk().aio.models.count_tokens(model=model, contents="hello")
    many = await sdk().aio.models.count_tokens(model=model, contents="hello " * 400)
    assert 0 < few.total_tokens < many.total_tokens
    paths = [entry.path for entry in sim.log.entries]
    assert all("count" in path for path in paths)
    if model == MODELS[0]:
        assert (
            few.total_tokens
            == (
                await sdk().aio.models.generate_content(model=model, contents="hello")
            ).usage_metadata.prompt_token_count
        )


@pytest.mark.parametrize("model", ["gemini-embedding-001", "openai/text-embedding-3-small"])
async def test_texts_are_embedded(sdk: Sdk, gateway: Gateway, model: str):
    config = types.EmbedContentConfig(task_type="RETRIEVAL_QUERY", output_dimensionality=16)
    answer = await sdk().aio.models.embed_content(model=model, contents=["a", "b"], config=config)
    assert [len(each.values) for each in answer.embeddings] == [16, 16]
    one = await gateway.post(f"/genai/v1beta/models/{model}:embedContent", {"content": {"parts": [{"text": "a"}]}})
    assert len(one.json()["embedding"]["values"]) > 16


@pytest.mark.parametrize("model", MODELS)
async def test_content_is_a_job_by_header(sdk: Sdk, gateway: Gateway, model: str):
    ask = {"model": model, "contents": "hello"}
    pending = await sdk().aio.models.generate_content(**ask, config=with_headers(JOB))
    assert pending.candidates == []
    headers = {name.lower(): value for name, value in pending.sdk_http_response.headers.items()}
    assert (headers["x-bf-async-status"], headers["x-bf-async-id"]) == ("queued", pending.response_id)
    poll = with_headers({"x-bf-async-id": pending.response_id})
    assert (await sdk().aio.models.generate_content(**ask, config=poll)).candidates == []
    await gateway.worker.work_off()
    done = await sdk().aio.models.generate_content(**ask, config=poll)
    assert done.text == (await sdk().aio.models.generate_content(**ask)).text
    with pytest.raises(errors.ClientError) as failure:
        await sdk(KEY_B).aio.models.generate_content(**ask, config=poll)
    assert (failure.value.code, failure.value.status) == (404, "NOT_FOUND")


async def test_embeddings_are_a_job_too(sdk: Sdk, gateway: Gateway):
    def config(headers: dict[str, str]) -> types.EmbedContentConfig:
        return types.EmbedContentConfig(http_options=types.HttpOptions(headers=headers))

    ask = {"model": "openai/text-embedding-3-small", "contents": ["a", "b"]}
    pending = await sdk().aio.models.embed_content(**ask, config=config(JOB))
    assert not pending.embeddings
    await gateway.worker.work_off()
    job_id = {name.lower(): value for name, value in pending.sdk_http_response.headers.items()}["x-bf-async-id"]
    done = await sdk().aio.models.embed_content(**ask, config=config({"x-bf-async-id": job_id}))
    assert len(done.embeddings) == 2
    path = "/genai/v1beta/models/openai/text-embedding-3-small:embedContent"
    one = await gateway.post(path, {"content": {"parts": [{"text": "a"}]}}, headers={**JOB, "x-goog-api-key": KEY_A})
    assert one.json() == {"embedding": {"values": []}, "status": "queued"}


async def test_a_failed_or_cancelled_job_is_the_sdks_own_error(sdk: Sdk, gateway: Gateway):
    ask = {"model": "openai/gpt-4o@status=429", "contents": "hello"}
    failed = await sdk().aio.models.generate_content(**ask, config=with_headers(JOB))
    await gateway.worker.work_off()
    with pytest.raises(errors.ClientError) as failure:
        await sdk().aio.models.generate_content(**ask, config=with_headers({"x-bf-async-id": failed.response_id}))
    assert (failure.value.code, failure.value.status) == (429, "RESOURCE_EXHAUSTED")
    cancelled = await sdk().aio.models.generate_content(**ask, config=with_headers(JOB))
    await gateway.services.store.cancel(cancelled.response_id)
    with pytest.raises(errors.ClientError) as failure:
        await sdk().aio.models.generate_content(**ask, config=with_headers({"x-bf-async-id": cancelled.response_id}))
    assert (failure.value.code, failure.value.status) == (409, "ABORTED")


@pytest.mark.parametrize(
    ("model", "config", "code", "status"),
    [
        ("nobody/x", {}, 400, "INVALID_ARGUMENT"),
        ("openai/gpt-4o", {"top_k": 3}, 400, "INVALID_ARGUMENT"),
        ("openai/gpt-4o", {"cached_content": "cachedContents/1"}, 400, "INVALID_ARGUMENT"),
        ("openai/gpt-4o", {"tools": [types.Tool(google_search=types.GoogleSearch())]}, 400, "INVALID_ARGUMENT"),
        ("gemini-x@status=404", {}, 404, "NOT_FOUND"),
        ("openai/x@status=429", {}, 429, "RESOURCE_EXHAUSTED"),
        ("anthropic/claude-x@status=503", {}, 503, "UNAVAILABLE"),
        ("openai/gpt-4o", {"http_options": {"headers": {"x-bf-async": "perhaps"}}}, 400, "INVALID_ARGUMENT"),
        ("openai/gpt-4o", {"http_options": {"headers": {"x-bf-async-id": "nothing"}}}, 404, "NOT_FOUND"),
    ],
)
async def test_errors_use_the_surfaces_own_envelope(sdk: Sdk, model: str, config: Any, code: int, status: str):
    with pytest.raises(errors.APIError) as failure:
        await sdk().aio.models.generate_content(model=model, contents="hello", config=config)
    assert (failure.value.code, failure.value.status) == (code, status)
    details = failure.value.details["error"]
    assert details["message"]
    assert details["code"] == code


async def test_a_stream_is_no_job(sdk: Sdk):
    config = with_headers(JOB)
    stream = await sdk().aio.models.generate_content_stream(model="openai/gpt-4o", contents="hello", config=config)
    with pytest.raises(errors.ClientError, match="x-bf-async"):
        [chunk async for chunk in stream]


@pytest.mark.parametrize("fault", ["cut=3", "error_event=3"])
@pytest.mark.parametrize("model", MODELS)
async def test_a_stream_that_breaks_off_raises(sdk: Sdk, model: str, fault: str):
    stream = await sdk().aio.models.generate_content_stream(model=f"{model}@{fault}", contents="hello")
    with pytest.raises(errors.APIError) as failure:
        [chunk async for chunk in stream]
    assert failure.value.code >= 500


async def test_keys_are_read_wherever_google_puts_them_and_are_never_logged(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    path = "/genai/v1/models/anthropic/claude-haiku-4-5:generateContent"
    assert (await gateway.post(path, SAY, headers={"x-goog-api-key": KEY_A})).status_code == 200
    assert (await gateway.post(path, SAY, headers={"authorization": f"Bearer {KEY_A}"})).status_code == 200
    caplog.clear()
    with suppress_client_logs():
        assert (await gateway.post(f"{path}?key={KEY_A}", SAY)).status_code == 200
        blocked = await gateway.post(f"{path}?key={KEY_B}", SAY)
        unknown = await gateway.post(f"{path}?key=sk-bf-nobody-0123456789", SAY)
        listed = await gateway.http.get(f"/genai/v1beta/models?key={KEY_B}&pageSize=1000")
        odd = await gateway.post(f"/genai/v1beta/models/x:nothing?key={KEY_B}", SAY)
    assert (blocked.status_code, blocked.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert (unknown.status_code, unknown.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert {each["baseModelId"].split("/")[0] for each in listed.json()["models"]} == {"openai"} | {"quick"}
    assert odd.json()["error"]["code"] == 404
    for key in (KEY_A, KEY_B, "sk-bf-nobody-0123456789"):
        assert key not in caplog.text
        assert all(key not in str(vars(record)) for record in caplog.records)


class suppress_client_logs:  # noqa: N801 - used like a function
    """The test's own client logs the addresses it asks; what is looked for is what the gateway writes."""

    def __enter__(self):
        self._levels = {name: logging.getLogger(name).level for name in ("httpx", "httpcore")}
        for name in self._levels:
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def __exit__(self, *_: object):
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)


async def test_a_query_of_absurd_size_is_refused(gateway: Gateway):
    query = "&".join(f"a{at}=1" for at in range(100))
    answer = await gateway.post(f"/genai/v1beta/models/openai/gpt-4o:generateContent?{query}", SAY)
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


async def test_models_are_listed_page_by_page(sdk: Sdk):
    names = [model.name async for model in await sdk().aio.models.list(config={"page_size": 3})]
    assert "models/gemini/gemini-2.5-flash" in names
    assert {name.split("/")[1] for name in names} == {"gemini", "anthropic", "openai", "quick"}
    assert len(names) == len(set(names))
    assert (await sdk().aio.models.get(model="gemini-2.5-flash")).name == "models/gemini/gemini-2.5-flash"
    with pytest.raises(errors.ClientError) as failure:
        await sdk().aio.models.get(model="nothing")
    assert failure.value.code == 404
    with suppress(StopAsyncIteration), pytest.raises(errors.ClientError):
        await sdk().aio.models.list(config={"page_size": -1})


async def test_not_found_uses_the_surfaces_own_envelope(gateway: Gateway):
    for method, path in (
        ("GET", "/genai/v1/nothing"),
        ("POST", "/genai/v1/models/gpt-4o"),
        ("POST", "/genai/v1/models/gpt-4o:batchGenerateContent"),
        ("DELETE", "/genai/v1beta/models/gpt-4o:generateContent"),
        ("POST", "/genai/v1beta/models/x%0d%0aset-cookie:generateContent"),
    ):
        answer = await gateway.http.request(method, path, json=SAY)
        assert answer.json()["error"]["code"] == answer.status_code, path
        assert answer.status_code in {404, 405}
    refused = await gateway.post(
        "/genai/v1/models/gpt-4o:generateContent", SAY, headers={"content-encoding": "gzip", "x-goog-api-key": KEY_A}
    )
    assert refused.json()["error"]["details"][0]["fieldViolations"][0]["field"] == "content-encoding"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("models/:generateContent", SAY),
        (f"models/{'x' * 300}:generateContent", SAY),
        ("models/openai/%00%1b:generateContent", SAY),
        ("models/openai/gpt-4o:generateContent", []),
        ("models/openai/gpt-4o:generateContent", {"contents": []}),
        ("models/openai/gpt-4o:generateContent", {**SAY, "contents": "hello"}),
        ("models/openai/gpt-4o:generateContent", {**SAY, "surprise": 1}),
        ("models/openai/gpt-4o:generateContent", {**SAY, "fallbacks": 5}),
        ("models/openai/gpt-4o:generateContent", {**SAY, "generationConfig": {"topK": "many"}}),
        ("models/openai/gpt-4o:generateContent", {**SAY, "generationConfig": {"responseSchema": {"type": "STRING"}}}),
        ("models/openai/gpt-4o:countTokens", {"generateContentRequest": 5}),
        ("models/openai/text-embedding-3-small:embedContent", {"content": {"parts": [{"inlineData": {}}]}}),
        ("models/openai/text-embedding-3-small:batchEmbedContents", {"requests": []}),
        ("models/anthropic/claude-haiku-4-5:embedContent", {"content": {"parts": [{"text": "a"}]}}),
    ],
)
async def test_what_cannot_be_asked_is_a_400_of_googles(
    gateway: Gateway, sim: RunningSimulator, path: str, body: object
):
    answer = await gateway.post(f"/genai/v1beta/{path}", body, headers={"x-goog-api-key": KEY_A})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert error["message"]
    assert not sim.log.entries


@pytest.mark.parametrize(
    ("place", "model"),
    [
        ("publishers/openai/models", "gpt-4o"),
        ("projects/p/locations/l/publishers/google/models", "openai/gpt-4o"),
        ("projects/p/locations/l/publishers/anthropic/models", "claude-haiku-4-5"),
        ("projects/p/locations/global/publishers/google/models", "gemini-2.5-flash"),
    ],
)
async def test_vertex_callers_are_served_too(gateway: Gateway, sim: RunningSimulator, place: str, model: str):
    answer = await gateway.post(f"/genai/v1beta1/{place}/{model}:generateContent?key={KEY_A}", SAY)
    assert answer.json()["candidates"][0]["content"]["parts"]
    assert len(sim.log.entries) == 1


async def test_google_publishes_on_vertex_where_vertex_is_configured(start: Any, sim: RunningSimulator):
    gateway = await start(providers={"vertex": {"base_url": sim.origin, "project": "p", **SCOPE_KEY}})
    place = "/genai/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash"
    assert (await gateway.post(f"{place}:generateContent", SAY)).json()["candidates"]
    assert (await gateway.post(f"{place}:countTokens", SAY)).json()["totalTokens"] > 0
    assert [entry.path.rpartition("/")[2] for entry in sim.log.entries] == [
        "gemini-2.5-flash:generateContent",
        "gemini-2.5-flash:countTokens",
    ]
    assert "generateContentRequest" not in sim.log.entries[-1].body


async def test_googles_sdk_for_vertex_with_a_key_of_ours(gateway: Gateway):
    options = types.HttpOptions(base_url=f"{gateway.url}/genai")
    client = genai.Client(vertexai=True, api_key=KEY_A, http_options=options)
    answer = await client.aio.models.generate_content(model="openai/gpt-4o", contents="hello")
    assert answer.text
    await client.aio.aclose()
    client.close()


async def test_a_fallback_may_be_asked_for(gateway: Gateway, sim: RunningSimulator):
    body = {**SAY, "fallbacks": ["openai/gpt-4o"], "safetySettings": []}
    path = f"/genai/v1beta/models/gemini-2.5-flash@status=503:generateContent?key={KEY_A}"
    assert (await gateway.post(path, body)).json()["candidates"]
    assert len(sim.log.entries) == 2


FULL: dict[str, Any] = {
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "Look."},
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}, "mediaResolution": {"level": "X"}},
                {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "files/a"}, "videoMetadata": {"startOffset": "3s"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "a", "name": "weather", "args": {"city": "Oslo"}}, "thoughtSignature": "c2ln"},
            ],
        },
        {
            "role": "user",
            "parts": [{"functionResponse": {"id": "a", "name": "weather", "response": {"sky": "blue"}}}],
        },
    ],
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_LOW_AND_ABOVE"}],
    "tools": [
        {"functionDeclarations": [{"name": "weather", "parametersJsonSchema": {"type": "object", "properties": {}}}]},
        {"googleSearch": {}},
    ],
    "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}, "retrievalConfig": {"languageCode": "de"}},
    "cachedContent": "cachedContents/1",
    "labels": {"team": "a"},
    "serviceTier": "flex",
    "generationConfig": {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "maxOutputTokens": 100,
        "stopSequences": ["END"],
        "candidateCount": 1,
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "mediaResolution": "MEDIA_RESOLUTION_LOW",
        "thinkingConfig": {"thinkingBudget": 0, "includeThoughts": False},
    },
}


async def test_what_a_caller_says_reaches_google_as_it_was_said(gateway: Gateway, sim: RunningSimulator):
    path = f"/genai/v1beta/models/gemini-2.5-flash:generateContent?key={KEY_A}"
    answer = await gateway.post(path, FULL)
    assert answer.status_code == 200, answer.text
    assert sim.log.entries[-1].body == FULL
    assert sim.log.entries[-1].path == "/v1beta/models/gemini-2.5-flash:generateContent"


async def test_thought_signatures_come_and_go_back(sdk: Sdk, sim: RunningSimulator):
    config = types.GenerateContentConfig(
        tools=[WEATHER], tool_config=ANY, thinking_config=types.ThinkingConfig(include_thoughts=True)
    )
    model = "gemini-3-pro-preview"
    first = await sdk().aio.models.generate_content(model=model, contents="weather?", config=config)
    [call] = [part for part in first.candidates[0].content.parts if part.function_call]
    assert call.thought_signature
    result = types.FunctionResponse(id=call.function_call.id, name="weather", response={"sky": "blue"})
    turns = [
        types.UserContent("weather?"),
        first.candidates[0].content,
        types.UserContent(types.Part(function_response=result)),
    ]
    await sdk().aio.models.generate_content(model=model, contents=turns, config=config)
    sent = sim.log.entries[-1].body["contents"][1]["parts"]
    assert [part["thoughtSignature"] for part in sent if "functionCall" in part]

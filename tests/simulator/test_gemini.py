"""The simulated Gemini API, asked by Google's own client and by hand."""

import base64

import httpx
import orjson
import pytest
from google import genai
from google.genai import errors, types

from simulator.google.checks import SKIPPED_SIGNATURE
from simulator.serve import running

NEW, OLD = "gemini-3-flash-preview", "gemini-2.5-flash"
HI = [{"role": "user", "parts": [{"text": "Hi"}]}]
BY_HAND = types.AutomaticFunctionCallingConfig(disable=True)


@pytest.fixture
async def google(sim):
    async with httpx.AsyncClient(trust_env=False) as client:
        options = types.HttpOptions(base_url=sim.origin, api_version="v1beta", httpx_async_client=client)
        yield genai.Client(api_key="k-123456789", http_options=options).aio.models


@pytest.fixture
async def raw(sim):
    async with httpx.AsyncClient(base_url=sim.origin, trust_env=False) as client:
        yield client


async def post(raw, path, **body):
    return await raw.post(path, json=body)


async def refused(raw, model=NEW, **body):
    """The message of a 400."""
    reply = await post(raw, f"/v1beta/models/{model}:generateContent", **({"contents": HI} | body))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    return error["message"]


def get_weather(city: str) -> str:
    """Current weather of a city."""
    return city


async def test_the_same_question_has_the_same_answer_streamed_or_not(google):
    whole = await google.generate_content(model=OLD, contents="Hi")
    chunks = [chunk async for chunk in await google.generate_content_stream(model=OLD, contents="Hi")]
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    assert chunks[-1].usage_metadata == whole.usage_metadata
    assert chunks[-1].candidates[0].finish_reason is types.FinishReason.STOP
    assert [chunk.candidates[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert whole.usage_metadata.candidates_token_count == len(chunks) - 1


async def test_options_shape_the_answer(google):
    short = await google.generate_content(model=OLD, contents="Hi", config={"max_output_tokens": 3})
    assert short.candidates[0].finish_reason is types.FinishReason.MAX_TOKENS
    echo = await google.generate_content(
        model="sim-echo", contents="one two END three", config={"stop_sequences": ["END"]}
    )
    assert echo.text == "one two "
    two = await google.generate_content(
        model=OLD, contents="Hi", config={"candidate_count": 2, "response_logprobs": True}
    )
    assert len({candidate.content.parts[0].text for candidate in two.candidates}) == 2
    assert two.candidates[0].logprobs_result.chosen_candidates[0].log_probability < 0


async def test_schemas_are_filled_in_both_dialects(google):
    openapi = {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}}
    for name, schema in (("response_schema", openapi), ("response_json_schema", {**openapi, "type": "object"})):
        config = {"response_mime_type": "application/json", name: schema}
        answer = await google.generate_content(model=OLD, contents="Hi", config=config)
        assert orjson.loads(answer.text).keys() == {"n"}
    loose = await google.generate_content(model=OLD, contents="Hi", config={"response_mime_type": "application/json"})
    assert orjson.loads(loose.text).keys() == {"answer"}


async def test_thoughts_are_shown_if_asked_for_and_counted_anyway(google):
    document = {"thinking_config": {"thinking_budget": 1024, "include_thoughts": True}}
    answer = await google.generate_content(model=OLD, contents="Hi", config=document)
    assert answer.candidates[0].content.parts[0].thought
    assert answer.usage_metadata.thoughts_token_count == 8
    chunks = [chunk async for chunk in await google.generate_content_stream(model=OLD, contents="Hi", config=document)]
    assert (
        sum(
            bool(chunk.candidates[0].content.parts and chunk.candidates[0].content.parts[0].thought) for chunk in chunks
        )
        == 8
    )
    hidden = await google.generate_content(model=f"{OLD}@reasoning", contents="Hi")
    assert not hidden.candidates[0].content.parts[0].thought
    assert hidden.usage_metadata.thoughts_token_count == 8


async def test_a_tool_loop_that_the_sdk_runs_itself(google):
    answer = await google.generate_content(model=NEW, contents="Hi", config={"tools": [get_weather]})
    _, called, _ = answer.automatic_function_calling_history
    assert called.parts[0].function_call.id
    assert called.parts[0].thought_signature
    assert answer.text


async def test_older_models_neither_number_nor_sign_their_calls(google):
    config = types.GenerateContentConfig(tools=[get_weather], automatic_function_calling=BY_HAND)
    part = (await google.generate_content(model=OLD, contents="Hi", config=config)).candidates[0].content.parts[0]
    assert (part.function_call.name, part.function_call.id, part.thought_signature) == ("get_weather", None, None)
    chunks = [chunk async for chunk in await google.generate_content_stream(model=OLD, contents="Hi", config=config)]
    assert [bool(chunk.function_calls) for chunk in chunks] == [True, False]


@pytest.mark.parametrize(
    ("calling", "name"), [("NONE", None), ("ANY", "g"), ("AUTO", "g"), ("VALIDATED", "g"), (None, "g")]
)
async def test_the_choice_of_functions(raw, calling, name):
    tools = [{"functionDeclarations": [{"name": "f"}, {"name": "g", "parameters": {"type": "OBJECT"}}]}]
    config = {"functionCallingConfig": {"mode": calling, "allowedFunctionNames": ["g"]}}
    reply = await post(raw, f"/v1beta/models/{OLD}:generateContent", contents=HI, tools=tools, toolConfig=config)
    part = reply.json()["candidates"][0]["content"]["parts"][0]
    assert part.get("functionCall", {}).get("name") == name


async def test_calls_must_be_answered_and_signed(raw):
    called = {"functionCall": {"name": "f", "args": {}}}
    result = {"functionResponse": {"name": "f", "response": {}}}
    history = [*HI, {"role": "model", "parts": [called]}, {"role": "user", "parts": [result]}]
    assert "thought_signature" in await refused(raw, contents=history)
    assert "number of function response parts" in await refused(raw, OLD, contents=[*history[:2], *HI])
    for signature, status in ((SKIPPED_SIGNATURE, 200), (base64.b64encode(b"forged").decode(), 400), ("abc", 400)):
        history[1]["parts"] = [{**called, "thoughtSignature": signature}]
        reply = await post(raw, f"/v1beta/models/{NEW}:generateContent", contents=history)
        assert reply.status_code == status
    before = [*HI, {"role": "model", "parts": [called]}, {"role": "user", "parts": [result]}, *HI]
    assert (await post(raw, f"/v1beta/models/{NEW}:generateContent", contents=before)).status_code == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"contents": []}, "contents is not specified"),
        ({"contents": [{"parts": []}]}, "must not be empty"),
        ({"contents": ["Hi"]}, "not an object"),
        ({"contents": [{"role": "system", "parts": [{"text": "x"}]}]}, "valid role"),
        ({"contents": [{"parts": [{"text": ""}]}]}, "must have a text parameter"),
        ({"contents": [{"parts": [{"thought": True}]}]}, "must have one field"),
        ({"contents": [{"parts": [{"text": "a", "inlineData": {}}]}]}, "already set"),
        ({"contents": [{"parts": [{"inlineData": {"data": "!", "mimeType": "image/png"}}]}]}, "Base64"),
        ({"contents": [{"parts": [{"inlineData": {"data": ""}}]}]}, "mimeType"),
        ({"contents": [{"parts": [{"sparkle": 1}]}]}, 'Unknown name "sparkle"'),
        ({"sparkle": 1}, 'Unknown name "sparkle"'),
        ({"generationConfig": {"sparkle": 1}}, "Unknown name \"sparkle\" at 'generation_config'"),
        ({"generationConfig": {"candidateCount": 99}}, "candidateCount"),
        ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW", "thinkingBudget": 1}}}, "only set only one"),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}, "thinking mode"),
    ],
)
async def test_invalid_requests_are_refused(raw, body, message):
    assert message in await refused(raw, **body)


async def test_levels_are_for_newer_models(raw):
    assert "not supported" in await refused(raw, OLD, generationConfig={"thinkingConfig": {"thinkingLevel": "LOW"}})


async def test_a_blocked_prompt_has_feedback_and_no_candidates(google):
    answer = await google.generate_content(model="sim-blocked", contents="Hi")
    assert (answer.candidates, answer.prompt_feedback.block_reason) == (None, types.BlockedReason.SAFETY)
    (chunk,) = [chunk async for chunk in await google.generate_content_stream(model="sim-blocked", contents="Hi")]
    assert chunk.prompt_feedback.block_reason is types.BlockedReason.SAFETY


async def test_errors_have_googles_envelope(raw):
    path = f"/v1beta/models/{NEW}@status=429,retry_after=3:generateContent"
    reply = await post(raw, path, contents=HI)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["status"]) == (429, 429, "RESOURCE_EXHAUSTED")
    assert error["details"] == [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3s"}]
    assert "retry-after" not in reply.headers
    assert (await post(raw, f"/v1beta/models/{NEW}@status=500:generateContent")).json()["error"]["status"] == "INTERNAL"


async def test_a_wrong_key_is_an_invalid_argument():
    async with running(api_keys=["right"]) as sim, httpx.AsyncClient(base_url=sim.origin, trust_env=False) as client:
        for headers in ({}, {"x-goog-api-key": "wrong"}):
            reply = await client.post(f"/v1beta/models/{NEW}:generateContent", json={"contents": HI}, headers=headers)
            assert reply.status_code == 400
            assert reply.json()["error"]["details"][0]["reason"] == "API_KEY_INVALID"


async def test_faults_in_streams(raw):
    async def streamed(fault, query="?alt=sse"):
        reply = await post(raw, f"/v1beta/models/{OLD}@{fault}:streamGenerateContent{query}", contents=HI)
        return reply.text

    whole = await streamed("tokens=3")
    assert whole.count("data: ") == 4
    assert "finishReason" in whole
    assert "finishReason" not in await streamed("tokens=3,no_done")
    assert (await streamed("error_event=1")).count("data: ") == 2
    assert '"code":503' in await streamed("error_event=1")
    assert '"cont\r\n\r\n' in await streamed("bad_chunk=1")
    assert len(orjson.loads(await streamed("tokens=3", ""))) == 4
    assert orjson.loads(await streamed("error_event=1", ""))[-1]["error"]["code"] == 503
    assert orjson.loads(await streamed("error_event=0", ""))[0]["error"]["code"] == 503


async def test_an_error_in_a_stream_is_raised_by_the_sdk(google):
    chunks = await google.generate_content_stream(model=f"{OLD}@error_event=1", contents="Hi")
    with pytest.raises(errors.ServerError, match="overloaded"):
        [chunk async for chunk in chunks]


async def test_tokens_are_counted(google, raw):
    assert (await google.count_tokens(model=OLD, contents="12345678")).total_tokens == 2
    picture = {"inlineData": {"mimeType": "image/png", "data": ""}}
    whole = {
        "model": f"models/{OLD}",
        "contents": [{"parts": [picture]}],
        "systemInstruction": {"parts": [{"text": "1234"}]},
    }
    reply = await post(raw, f"/v1beta/models/{OLD}:countTokens", generateContentRequest=whole)
    assert reply.json() == {"totalTokens": 259}


async def test_embeddings(google, raw):
    made = await google.embed_content(
        model="gemini-embedding-001", contents=["a", "b"], config={"output_dimensionality": 3}
    )
    assert [len(each.values) for each in made.embeddings] == [3, 3]
    content = {"parts": [{"text": "a"}]}
    one = await post(raw, "/v1beta/models/text-embedding-004:embedContent", content=content)
    assert len(one.json()["embedding"]["values"]) == 768
    for body in ({}, {"requests": [{"model": "models/other", "content": content}]}, {"requests": [5]}):
        assert (await post(raw, "/v1beta/models/m:batchEmbedContents", **body)).status_code == 400
    for body in ({}, {"content": content, "outputDimensionality": -1}):
        assert (await post(raw, "/v1beta/models/m:embedContent", **body)).status_code == 400


async def test_vertex_has_the_same_under_its_own_paths(raw):
    models = "/v1/projects/p/locations/global/publishers/google/models"
    reply = await post(raw, f"{models}/{NEW}:generateContent", contents=HI, labels={"team": "a"})
    assert reply.json()["modelVersion"] == NEW
    content = {"parts": [{"text": "a"}]}
    batch = await post(raw, f"{models}/gemini-embedding-001:batchEmbedContents", requests=[{"content": content}])
    assert len(batch.json()["embeddings"][0]["values"]) == 3072
    instances = [{"content": "a"}]
    predicted = await post(
        raw, f"{models}/text-embedding-005:predict", instances=instances, parameters={"outputDimensionality": 4}
    )
    assert len(predicted.json()["predictions"][0]["embeddings"]["values"]) == 4


async def test_models_are_listed(google):
    listed = [model async for model in await google.list()]
    assert "models/gemini-2.5-flash" in [model.name for model in listed]
    assert (await google.get(model="gemini-embedding-001")).supported_actions == ["embedContent"]


def nested(depth):
    schema = {"type": "STRING"}
    for _ in range(depth):
        schema = {"type": "ARRAY", "items": schema}
    return schema


@pytest.mark.parametrize(
    "body",
    [
        {"contents": HI, "tools": [{"functionDeclarations": [{"name": "f", "parameters": nested(150)}]}]},
        {"contents": HI, "tools": [5, {"functionDeclarations": [5]}]},
        {"contents": [{"role": [], "parts": [{"text": "x"}]}]},
        {"contents": HI, "tools": "x", "toolConfig": 5, "systemInstruction": 5},
        {"contents": HI, "systemInstruction": {"parts": [5]}},
        {"contents": [*HI, {"role": "model", "parts": [{"functionCall": 5}]}]},
        {"contents": HI, "generationConfig": {"responseMimeType": "application/json", "responseSchema": [5]}},
        {"contents": HI, "generationConfig": 5},
        {"contents": HI, "generationConfig": {"thinkingConfig": 5, "stopSequences": 5}},
    ],
)
async def test_nonsense_never_breaks_it(raw, body):
    for method in ("generateContent", "countTokens", "streamGenerateContent?alt=sse"):
        assert (await post(raw, f"/v1beta/models/{OLD}:{method}", **body)).status_code in {200, 400}

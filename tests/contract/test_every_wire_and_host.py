"""One suite for every wire behind every host, at once, as a stream and as a job, through OpenAI's own SDK."""

from typing import Any

import orjson
import pytest
from openai import APIStatusError
from openai.types.chat import ChatCompletion
from openai.types.chat.chat_completion_message import ChatCompletionMessage

from shared.surfaces.chat_assembly import ChatAssembly
from tests.api.conftest import Gateway

pytestmark = pytest.mark.slow

MODELS = (
    "openai/gpt-4o",
    "own/gpt-4o",
    "azure/gpt-4o",
    "azure-entra/gpt-4o",
    "azure-dated/gpt-4o",
    "anthropic/claude-sonnet-4-5",
    "gemini/gemini-2.5-pro",
    "ollama/llama3.1:8b",
    "ollama-native/llama3.1:8b",
    "vertex/gemini-2.5-pro",
    "vertex/claude-sonnet-4-5",
    "vertex/openai/gpt-oss-120b",
    "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0",
    "bedrock-bearer/amazon.nova-pro-v1:0",
)
# Theirs say what they thought; OpenAI's own models keep it to themselves.
THINKERS = tuple(model for model in MODELS if "claude" in model or "gemini" in model)
PATH = "/openai/chat/completions"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather somewhere.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNgAAIAAAUAAen63NgAAAAASUVORK5CYII="
)
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "What is the weather in Rome?"}]}
CALLS = [
    {"id": f"call_{city}", "type": "function", "function": {"name": "get_weather", "arguments": f'{{"city":"{city}"}}'}}
    for city in ("Rome", "Oslo")
]
LOOP: dict[str, Any] = {
    "tools": [TOOL],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "The weather in Rome and Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "tool", "tool_call_id": "call_Rome", "content": "sunny"},
        {"role": "tool", "tool_call_id": "call_Oslo", "content": '{"sky": "rain"}'},
    ],
}


class Ways:
    """Asks the same in each way."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def at_once(self, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._gateway.post(PATH, body)
        assert answer.status_code == 200, answer.text
        whole: dict[str, Any] = answer.json()
        return whole

    async def streamed(self, body: dict[str, Any]) -> dict[str, Any]:
        asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
        answer = await self._gateway.post(PATH, asked)
        assert answer.status_code == 200, answer.text
        *events, end = [event + "\n\n" for event in answer.text.split("\n\n") if event]
        assert end == "data: [DONE]\n\n"
        assembly = ChatAssembly()
        for event in events:
            assembly.add(event.encode())
        whole: dict[str, Any] = orjson.loads(assembly.completion())
        return whole

    async def as_a_job(self, body: dict[str, Any]) -> dict[str, Any]:
        job_id = await self._gateway.submit(body)
        assert await self._gateway.worker.work_off() == 1
        answer = await self._gateway.poll(job_id)
        assert answer.status_code == 200, answer.text
        whole: dict[str, Any] = answer.json()
        return whole

    async def message(self, model: str, **body: Any) -> tuple[ChatCompletionMessage, str, dict[str, Any]]:
        """What all three ways agree on: the message, why it ended, and the whole body of the first."""
        asked = {"model": model, **body}
        bodies = [await way(asked) for way in (self.at_once, self.streamed, self.as_a_job)]
        for whole in bodies:
            ChatCompletion.model_validate(whole, strict=True)
        first, *others = [_substance(whole) for whole in bodies]
        for other in others:
            assert other == first
        choice = ChatCompletion.model_validate(bodies[0]).choices[0]
        return choice.message, choice.finish_reason, bodies[0]


def _substance(body: dict[str, Any]) -> dict[str, Any]:
    """What an answer says, without ids and times."""
    (choice,) = body["choices"]
    message = choice["message"]
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    return {
        "content": message.get("content") or "",
        "reasoning": message.get("reasoning_content") or "",
        "calls": [(call["name"], orjson.loads(call["arguments"])) for call in calls],
        "finish": choice["finish_reason"],
        "usage": {name: body["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")},
    }


@pytest.fixture
def ways(everyone: Gateway) -> Ways:
    return Ways(everyone)


@pytest.mark.parametrize("model", MODELS)
async def test_chat(ways: Ways, model: str) -> None:
    message, finish, body = await ways.message(model, **ASK, temperature=0.5, max_tokens=200, stop=["END"])
    assert message.content
    assert finish == "stop"
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("model", MODELS)
async def test_a_truncated_answer_has_finish_reason_length(ways: Ways, model: str) -> None:
    _, finish, body = await ways.message(model, **ASK, max_tokens=2)
    assert finish == "length"
    assert body["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("model", MODELS)
async def test_a_tool_is_called(ways: Ways, model: str) -> None:
    message, finish, _ = await ways.message(model, **ASK, tools=[TOOL], tool_choice="auto")
    assert finish == "tool_calls"
    (call,) = message.tool_calls or ()
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert orjson.loads(call.function.arguments).keys() == {"city"}


@pytest.mark.parametrize("model", MODELS)
async def test_results_of_parallel_tools_go_back(ways: Ways, model: str) -> None:
    message, finish, _ = await ways.message(model, **LOOP)
    assert finish == "stop"
    assert message.content


@pytest.mark.parametrize("model", MODELS)
async def test_a_picture_is_seen(ways: Ways, model: str) -> None:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    message, _, _ = await ways.message(model, messages=[{"role": "user", "content": parts}])
    assert message.content


@pytest.mark.parametrize("model", MODELS)
async def test_an_answer_keeps_to_a_schema(ways: Ways, model: str) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": SCHEMA}}
    message, finish, _ = await ways.message(model, **ASK, response_format=form)
    answer = orjson.loads(message.content or "")
    assert isinstance(answer["city"], str)
    assert isinstance(answer["degrees"], int)
    assert (answer.keys(), finish) == (SCHEMA["properties"].keys(), "stop")


@pytest.mark.parametrize("model", THINKERS)
async def test_thoughts_are_returned_and_go_back(ways: Ways, model: str) -> None:
    message, _, _ = await ways.message(model, **ASK, reasoning_effort="low", max_tokens=4000)
    thoughts = message.model_extra or {}
    assert thoughts["reasoning_content"]
    back = [*ASK["messages"], message.model_dump(exclude_none=True), {"role": "user", "content": "And tomorrow?"}]
    message, _, _ = await ways.message(model, messages=back, reasoning_effort="low", max_tokens=4000)
    assert message.content


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("fault", "status", "code"), [("status=404", 404, None), ("status=429", 429, None), ("context_length", 400, None)]
)
async def test_an_error_is_the_same_in_every_way(
    everyone: Gateway, model: str, fault: str, status: int, code: str | None
) -> None:
    sdk = everyone.sdk()
    asked: dict[str, Any] = {"model": f"{model}@{fault}", **ASK}
    job_id = await everyone.submit(asked)
    await everyone.worker.work_off()
    errors = []
    for more in ({}, {"stream": True}, {"extra_headers": {"x-bf-async-id": job_id}}):
        with pytest.raises(APIStatusError) as raised:
            await sdk.chat.completions.create(**asked, **more)
        errors.append(raised.value)
    assert [error.status_code for error in errors] == [status] * 3
    assert len({(error.type, error.code, error.message) for error in errors}) == 1

"""Every body and every event of the Responses API, for providers of three wires, by two judges of the format.

They are the types of Open Responses and those of OpenAI's SDK in strict mode. The requests are those that the
compliance suite of Open Responses lists: text, stream, instructions, tools and their results, pictures, several turns.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from simulator.serve import RunningSimulator
from tests.api.conftest import Gateway
from tests.surfaces.responses.judges import judge_event, judge_response, read_events

SCOPE_KEY = {"keys": [{"value": "sk-upstream-key-0123456789"}], "retry": {"max_attempts": 1}}
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a place.",
    "strict": False,
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


def message(role: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": text}


CALL = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"place":"Bonn"}'}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
REQUESTS: dict[str, dict[str, Any]] = {
    "text": {"input": "What is a budget?"},
    "instructions": {
        "input": [message("system", "Be short."), message("user", "What is a budget?")],
        "instructions": "x",
    },
    "a call": {"input": "The weather in 'Bonn'?", "tools": [WEATHER], "tool_choice": "required"},
    "a result": {
        "input": [message("user", "The weather?"), CALL, RESULT],
        "tools": [WEATHER],
    },
    "a picture": {
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is it?"},
                    {"type": "input_image", "image_url": PICTURE, "detail": "auto"},
                ],
            }
        ]
    },
    "turns": {"input": [message("user", "One."), message("assistant", "Two."), message("user", "Three.")]},
    "a schema": {
        "input": "Tell of 'Bonn'.",
        "text": {"format": {"type": "json_schema", "name": "city", "schema": CITY, "strict": True}},
    },
    "reasoning": {"input": "What is a budget?", "reasoning": {"effort": "low", "summary": "auto"}},
    "cut short": {"input": "What is a budget?", "max_output_tokens": 16},
}
MODELS = ("openai/gpt-5", "deepseek/deepseek-chat", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash")


@pytest.fixture
async def gateway(start: Callable[..., Awaitable[Gateway]], sim: RunningSimulator) -> Gateway:
    openai = {"base_url": sim.base_url, **SCOPE_KEY}
    providers = {
        "openai": openai,
        "deepseek": openai,
        "anthropic": {"base_url": f"{sim.origin}/anthropic", **SCOPE_KEY},
        "gemini": {"base_url": f"{sim.origin}/v1beta", **SCOPE_KEY},
    }
    return await start(providers=providers)


@pytest.mark.parametrize("request_of", REQUESTS)
@pytest.mark.parametrize("model", MODELS)
async def test_a_body_is_of_the_format(gateway: Gateway, model: str, request_of: str) -> None:
    answer = await gateway.post("/v1/responses", {"model": model, **REQUESTS[request_of]})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    judge_response(body)
    assert body["output"]
    assert body["status"] in {"completed", "incomplete"}


@pytest.mark.parametrize("request_of", REQUESTS)
@pytest.mark.parametrize("model", MODELS)
async def test_every_event_is_of_the_format(gateway: Gateway, model: str, request_of: str) -> None:
    answer = await gateway.post("/v1/responses", {"model": model, "stream": True, **REQUESTS[request_of]})
    assert answer.status_code == 200, answer.text
    events = read_events(answer.content)
    for event in events:
        judge_event(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] in {"response.completed", "response.incomplete"}


@pytest.mark.parametrize("model", MODELS)
async def test_a_turn_after_a_kept_one_and_a_job_are_of_the_format(gateway: Gateway, model: str) -> None:
    first = (await gateway.post("/v1/responses", {"model": model, "input": "One."})).json()
    more = {"model": model, "input": "Two.", "previous_response_id": first["id"]}
    second = await gateway.post("/v1/responses", more)
    assert second.status_code == 200, second.text
    judge_response(second.json())
    pending = await gateway.post("/v1/responses", {"model": model, "input": "Three.", "background": True})
    assert judge_response(pending.json()).status == "queued"
    await gateway.worker.work_off()
    ended = await gateway.http.get(f"/v1/responses/{pending.json()['id']}")
    assert judge_response(ended.json()).status == "completed"

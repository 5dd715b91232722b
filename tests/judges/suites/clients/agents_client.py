"""The OpenAI Agents SDK over chat completions and over the Responses API, against providers of three wires."""

import os

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from openai.types.shared import Reasoning
from pydantic import BaseModel

GATEWAY = os.environ["JUDGED_GATEWAY"]
MODELS = os.environ["JUDGED_MODELS"].split()
CLASSES = {"chat": OpenAIChatCompletionsModel, "responses": OpenAIResponsesModel}

set_tracing_disabled(True)


class City(BaseModel):
    name: str
    inhabitants: int


@function_tool
def double(number: int) -> int:
    """Double a number."""
    return 2 * number


@pytest.fixture
async def client():
    async with AsyncOpenAI(base_url=f"{GATEWAY}/openai", api_key="none-is-needed") as client:
        yield client


@pytest.fixture(params=[(kind, name) for kind in CLASSES for name in MODELS], ids="-".join)
def model(request, client):
    kind, name = request.param
    return CLASSES[kind](model=name, openai_client=client)


async def test_a_question_is_answered(model):
    ran = await Runner.run(Agent(name="a", model=model, instructions="Be short."), "What is a budget?")
    assert ran.final_output
    assert ran.context_wrapper.usage.output_tokens > 0


async def test_a_stream_brings_the_whole_answer(model):
    ran = Runner.run_streamed(Agent(name="a", model=model), "What is a budget?")
    kinds = [event.data.type async for event in ran.stream_events() if event.type == "raw_response_event"]
    assert kinds.count("response.output_text.delta") > 1
    assert kinds[-1] == "response.completed"
    assert ran.final_output


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_is_called_with_what_was_named_and_its_result_read(model, streamed):
    agent = Agent(name="a", model=model, tools=[double], model_settings=ModelSettings(parallel_tool_calls=False))
    if streamed:
        ran = Runner.run_streamed(agent, "What is double(21)?")
        assert [event async for event in ran.stream_events()]
    else:
        ran = await Runner.run(agent, "What is double(21)?")
    outputs = [item.output for item in ran.new_items if item.type == "tool_call_output_item"]
    assert outputs == [42]
    assert ran.final_output


async def test_an_answer_follows_a_schema(model):
    ran = await Runner.run(Agent(name="a", model=model, output_type=City), "Tell of 'Bonn' with 300000 inhabitants.")
    assert ran.final_output == City(name="Bonn", inhabitants=300_000)


async def test_reasoning_can_be_asked_for(model):
    settings = ModelSettings(reasoning=Reasoning(effort="low"))
    ran = await Runner.run(Agent(name="a", model=model, model_settings=settings), "What is a budget?")
    assert ran.final_output

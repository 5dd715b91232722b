"""pydantic-ai with four of its model classes, each against providers of three wires."""

import os
from dataclasses import dataclass

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.profiles.anthropic import anthropic_model_profile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

GATEWAY = os.environ["JUDGED_GATEWAY"]
MODELS = os.environ["JUDGED_MODELS"].split()
KEY = "none-is-needed"
CLIENTS = {
    "chat": lambda name: OpenAIChatModel(name, provider=OpenAIProvider(base_url=f"{GATEWAY}/openai", api_key=KEY)),
    "responses": lambda name: OpenAIResponsesModel(
        name, provider=OpenAIProvider(base_url=f"{GATEWAY}/openai", api_key=KEY)
    ),
    "anthropic": lambda name: AnthropicModel(
        name,
        provider=AnthropicProvider(base_url=f"{GATEWAY}/anthropic", api_key=KEY),
        profile=anthropic_model_profile("claude-sonnet-4-5"),  # a prefixed name says nothing to the client
    ),
    "genai": lambda name: GoogleModel(name, provider=GoogleProvider(base_url=f"{GATEWAY}/genai", api_key=KEY)),
}


class City(BaseModel):
    name: str
    inhabitants: int


@dataclass
class Asked:
    times: int = 0


@pytest.fixture(params=[(client, model) for client in CLIENTS for model in MODELS], ids="-".join)
def model(request):
    client, name = request.param
    return CLIENTS[client](name)


async def test_a_question_is_answered(model):
    answer = await Agent(model, instructions="Be short.").run("What is a budget?")
    assert answer.output
    assert answer.usage.output_tokens > 0


async def test_a_stream_brings_the_whole_answer(model):
    async with Agent(model).run_stream("What is a budget?") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 1
    assert "".join(pieces) == await stream.get_output()


async def test_a_tool_is_called_with_what_was_named_and_its_result_read(model):
    asked = Asked()
    agent = Agent(model, deps_type=Asked)

    @agent.tool
    async def double(context, number: int) -> int:
        """Double a number."""
        context.deps.times += 1
        return 2 * number

    answer = await agent.run("What is double(21)?", deps=asked)
    calls = [part for message in answer.all_messages() for part in message.parts if part.part_kind == "tool-call"]
    results = [part for message in answer.all_messages() for part in message.parts if part.part_kind == "tool-return"]
    assert [call.args_as_dict() for call in calls] == [{"number": 21}]
    assert [result.content for result in results] == [42]
    assert answer.output


async def test_an_answer_has_the_form_that_was_asked_for(model):
    by_tool = await Agent(model, output_type=City).run("Describe the city 'Bonn' with 300000 inhabitants.")
    assert by_tool.output == City(name="Bonn", inhabitants=300_000)


async def test_an_answer_follows_a_schema(model):
    by_format = await Agent(model, output_type=NativeOutput(City)).run("Tell of 'Bonn' with 300000 inhabitants.")
    assert by_format.output == City(name="Bonn", inhabitants=300_000)

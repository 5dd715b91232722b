"""instructor, which makes objects of answers, in its modes over OpenAI's API, against providers of three wires."""

import os

import instructor
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

GATEWAY = os.environ["JUDGED_GATEWAY"]
MODELS = os.environ["JUDGED_MODELS"].split()
MODES = [
    instructor.Mode.TOOLS,
    instructor.Mode.TOOLS_STRICT,
    instructor.Mode.JSON_SCHEMA,
    instructor.Mode.RESPONSES_TOOLS,
]
QUESTION = [{"role": "user", "content": "Describe the city 'Bonn' with 300000 inhabitants."}]


class City(BaseModel):
    name: str
    inhabitants: int


@pytest.fixture
async def openai_client():
    async with AsyncOpenAI(base_url=f"{GATEWAY}/openai", api_key="none-is-needed") as client:
        yield client


@pytest.fixture(params=MODES, ids=lambda mode: mode.name)
def client(request, openai_client):
    return instructor.from_openai(openai_client, mode=request.param)


@pytest.mark.parametrize("model", MODELS)
async def test_an_object_is_made(client, model):
    made = await client.chat.completions.create(model=model, response_model=City, messages=QUESTION, max_retries=0)
    assert (made.name, made.inhabitants) == ("Bonn", 300_000)


@pytest.mark.parametrize("model", MODELS)
async def test_an_object_grows_in_a_stream(openai_client, model):
    client = instructor.from_openai(openai_client, mode=instructor.Mode.TOOLS)
    growing = [
        part
        async for part in client.chat.completions.create_partial(
            model=model, response_model=City, messages=QUESTION, max_retries=0
        )
    ]
    assert (growing[-1].name, growing[-1].inhabitants) == ("Bonn", 300_000)

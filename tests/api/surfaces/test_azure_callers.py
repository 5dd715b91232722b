"""The official SDK's Azure client before any provider: the path names the model."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.api.conftest import KEY_A, Gateway

MESSAGES = [{"role": "user", "content": "hello"}]
AUDIO = ("a.wav", b"RIFF0000WAVE" * 20)
BASE = "/openai/deployments"


@pytest.fixture
async def azure(tenants: Gateway) -> AsyncIterator[openai.AsyncAzureOpenAI]:
    client = openai.AsyncAzureOpenAI(azure_endpoint=tenants.url, api_key=KEY_A, api_version="2024-10-21", max_retries=0)
    yield client
    await client.close()


@pytest.mark.parametrize("model", ["gpt-4o", "sim/gpt-4o"])
async def test_a_chat_is_answered_and_streamed(azure: openai.AsyncAzureOpenAI, sim: Any, model: str) -> None:
    whole = await azure.chat.completions.create(model=model, messages=MESSAGES)
    stream = await azure.chat.completions.create(model=model, messages=MESSAGES, stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert {entry.body["model"] for entry in sim.log.entries} == {"gpt-4o"}


async def test_its_other_calls_work_too(azure: openai.AsyncAzureOpenAI) -> None:
    assert (await azure.embeddings.create(model="text-embedding-3-small", input="hello")).data
    assert (await azure.audio.transcriptions.create(model="whisper-1", file=AUDIO)).text
    assert (await azure.responses.create(model="gpt-4o", input="hello")).output_text
    assert (await azure.images.generate(model="gpt-image-1", prompt="a cat")).data
    assert (await azure.audio.speech.create(model="tts-1", input="hello", voice="alloy")).content


async def test_a_call_is_a_job_by_header(azure: openai.AsyncAzureOpenAI, tenants: Gateway) -> None:
    ask = {"model": "sim/gpt-4o", "messages": MESSAGES}
    pending = await azure.chat.completions.create(**ask, extra_headers={"x-bf-async": "true"})
    assert not pending.choices
    await tenants.worker.work_off()
    done = await azure.chat.completions.create(**ask, extra_headers={"x-bf-async-id": pending.id})
    assert done.choices[0].message.content


async def test_a_body_need_not_name_the_model_and_is_not_asked_for_it(gateway: Gateway, sim: Any) -> None:
    for body in ({"messages": MESSAGES}, {"messages": MESSAGES, "model": "other"}):
        answer = await gateway.post(f"{BASE}/gpt-4o/chat/completions?api-version=2024-10-21", body)
        assert answer.status_code == 200
        assert sim.log.entries[-1].body["model"] == "gpt-4o"
    for form in ({}, {"model": "other"}):
        answer = await gateway.http.post(f"{BASE}/sim/whisper-1/audio/transcriptions", files={"file": AUDIO}, data=form)
        assert answer.status_code == 200, answer.text
        assert sim.log.entries[-1].form["fields"]["model"] == "whisper-1"


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        (f"{BASE}/gpt%074o/chat/completions", 400, "deployment"),
        (f"{BASE}/{'m' * 300}/chat/completions", 400, "deployment"),
        (f"{BASE}/nobody/gpt/chat/completions", 400, "model"),
    ],
)
async def test_odd_deployments_are_refused(gateway: Gateway, path: str, status: int, param: str) -> None:
    answer = await gateway.post(path, {"messages": MESSAGES})
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


async def test_a_form_that_is_none_is_refused(gateway: Gateway) -> None:
    answer = await gateway.http.post(
        f"{BASE}/whisper-1/audio/transcriptions", content=b"x", headers={"content-type": "multipart/form-data"}
    )
    assert answer.status_code == 400

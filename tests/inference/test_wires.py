"""The whole path, from configuration to answer, over the wires and hosts that are not OpenAI's."""

import orjson
import pytest

from tests.inference.conftest import QUICK, chat
from tests.providers.hosts.test_vertex import ACCOUNT


@pytest.mark.parametrize("wire", ["anthropic", "gemini", "bedrock", "ollama"])
@pytest.mark.parametrize("keys", [(), ({"value": "sk-some-key"},)])
async def test_a_provider_of_ones_own_answers_in_its_format(build, provider, sim, wire, keys):
    base_url = f"{sim.origin}/v1beta" if wire == "gemini" else sim.origin
    settings = {"wire": wire, "base_url": base_url, "region": "eu-west-1", "credentials": "AKID:secret", "keys": keys}
    inference = build(providers={"mine": provider(**settings)})
    answer = await inference.answer(chat("mine/claude-sonnet-4-5"))
    body = orjson.loads(answer.body)
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["content"]
    assert answer.usage["total_tokens"] == body["usage"]["total_tokens"] > 0
    stream = await inference.stream(chat("mine/claude-sonnet-4-5", stream=True))
    events = b"".join([event async for event in stream])
    assert events.endswith(b"data: [DONE]\n\n")


async def test_vertex_answers_with_gemini_and_one_token_for_all_calls(build, sim):
    account = orjson.dumps({**ACCOUNT, "token_uri": f"{sim.origin}/token"}).decode()
    settings = {"base_url": sim.origin, "project": "p", "location": "eu", "credentials": account, "retry": QUICK}
    inference = build(providers={"vertex": settings})
    body = orjson.loads((await inference.answer(chat("vertex/gemini-2.5-pro"))).body)
    assert body["choices"][0]["message"]["content"]
    stream = await inference.stream(chat("vertex/gemini-2.5-pro", stream=True))
    assert b"".join([event async for event in stream]).endswith(b"data: [DONE]\n\n")
    path = "/v1/projects/p/locations/eu/publishers/google/models/gemini-2.5-pro"
    paths = [entry.path for entry in sim.requests]
    assert paths == ["/token", f"{path}:generateContent", f"{path}:streamGenerateContent"]

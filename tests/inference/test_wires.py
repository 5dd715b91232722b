"""The whole path, from configuration to answer, over the wires and hosts that are not OpenAI's."""

import orjson
import pytest

from tests.inference.conftest import chat


@pytest.mark.parametrize("wire", ["anthropic", "bedrock", "ollama"])
@pytest.mark.parametrize("keys", [(), ({"value": "sk-some-key"},)])
async def test_a_provider_of_ones_own_answers_in_its_format(build, provider, sim, wire, keys):
    said = {"wire": wire, "base_url": sim.origin, "region": "eu-west-1", "credentials": "AKID:secret", "keys": keys}
    inference = build(providers={"mine": provider(**said)})
    answer = await inference.answer(chat("mine/claude-sonnet-4-5"))
    body = orjson.loads(answer.body)
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["content"]
    assert answer.usage["total_tokens"] == body["usage"]["total_tokens"] > 0
    stream = await inference.stream(chat("mine/claude-sonnet-4-5", stream=True))
    events = b"".join([event async for event in stream])
    assert events.endswith(b"data: [DONE]\n\n")

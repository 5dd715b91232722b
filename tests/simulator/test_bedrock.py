"""The simulated Bedrock, judged by botocore's own client."""

import asyncio
import contextlib

import botocore.config
import botocore.session
import httpx
import pytest
from botocore.exceptions import ClientError, EventStreamError

from simulator.serve import RunningSimulator

MODEL = "anthropic.claude-3-5-sonnet-20240620-v1:0"
HI = [{"role": "user", "content": [{"text": "Hi"}]}]
CALLED = {"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "look", "input": {}}}]}
TOOLS = {
    "tools": [
        {
            "toolSpec": {
                "name": "look",
                "inputSchema": {"json": {"type": "object", "properties": {"at": {"type": "string"}}}},
            }
        }
    ]
}


@pytest.fixture
def client(sim: RunningSimulator):
    session = botocore.session.Session()
    session.set_credentials("AKIDEXAMPLE", "wJalrXUtnFEMI")
    client = session.create_client(
        "bedrock-runtime",
        region_name="eu-west-1",
        endpoint_url=sim.origin,
        config=botocore.config.Config(
            retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5, parameter_validation=False
        ),
    )
    yield client
    client.close()


async def converse(client, **params):
    return await asyncio.to_thread(client.converse, **{"modelId": MODEL, "messages": HI, **params})


async def events(client, **params):
    def read():
        with contextlib.closing(
            client.converse_stream(**{"modelId": MODEL, "messages": HI, **params})["stream"]
        ) as stream:
            return list(stream)

    return await asyncio.to_thread(read)


async def test_botocore_reads_a_whole_answer(client):
    answer = await converse(client, system=[{"text": "Be kind."}], inferenceConfig={"maxTokens": 3})
    assert answer["stopReason"] == "max_tokens"
    assert answer["output"]["message"]["content"][0]["text"]
    assert answer["usage"]["totalTokens"] == answer["usage"]["inputTokens"] + 3


async def test_botocore_reads_the_frames(client):
    params = {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}
    whole = (await converse(client, **params))["output"]["message"]["content"]
    seen = await events(client, **params)
    assert next(iter(seen[0])) == "messageStart"
    assert [next(iter(event)) for event in seen[-2:]] == ["messageStop", "metadata"]
    deltas = [event["contentBlockDelta"] for event in seen if "contentBlockDelta" in event]
    assert "".join(each["delta"].get("text", "") for each in deltas) == whole[1]["text"]
    thoughts = [each["delta"].get("reasoningContent", {}) for each in deltas]
    assert "".join(each.get("text", "") for each in thoughts) == whole[0]["reasoningContent"]["reasoningText"]["text"]
    assert any("signature" in each for each in thoughts)


async def test_tools_are_called_and_their_results_answered(client):
    called = (await converse(client, toolConfig=TOOLS))["output"]["message"]
    use = called["content"][0]["toolUse"]
    assert use["name"] == "look"
    seen = await events(client, toolConfig=TOOLS)
    assert seen[1]["contentBlockStart"]["start"]["toolUse"]["name"] == "look"
    result = {"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": "blue"}]}}
    messages = [*HI, called, {"role": "user", "content": [result]}]
    after = await converse(client, messages=messages, toolConfig=TOOLS)
    assert after["stopReason"] == "end_turn"
    for choice in ({"any": {}}, {"tool": {"name": "look"}}):
        again = await converse(client, messages=messages, toolConfig={**TOOLS, "toolChoice": choice})
        assert again["stopReason"] == "tool_use"


async def test_a_schema_is_kept_to(client):
    form = {"type": "json_schema", "structure": {"jsonSchema": {"schema": '{"type": "integer"}'}}}
    answer = await converse(client, outputConfig={"textFormat": form})
    assert answer["output"]["message"]["content"][0]["text"].isdigit()
    form["structure"]["jsonSchema"]["schema"] = "{"
    with pytest.raises(ClientError, match="not JSON"):
        await converse(client, outputConfig={"textFormat": form})


async def test_a_system_text_that_demands_json_is_obeyed(client):
    answer = await converse(client, system=[{"text": "Reply with one JSON object."}])
    assert answer["output"]["message"]["content"][0]["text"].startswith('{"answer":')


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ({"messages": []}, "must have a message"),
        ({"messages": [{"role": "assistant", "content": [{"text": "x"}]}]}, "start with a user"),
        ({"messages": [*HI, *HI]}, "alternate"),
        ({"messages": [{"role": "system", "content": [{"text": "x"}]}]}, "role"),
        ({"messages": [{"role": "user", "content": []}]}, "empty"),
        ({"messages": [{"role": "user", "content": [{"text": " "}]}]}, "blank"),
        ({"system": [{"text": " "}]}, "blank"),
        (
            {"messages": [{"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": []}}]}]},
            "toolConfig field must be defined",
        ),
        (
            {
                "messages": [*HI, CALLED, *HI],
                "toolConfig": TOOLS,
            },
            "exactly the toolUse",
        ),
        (
            {"messages": [{"role": "user", "content": [{"toolResult": {"toolUseId": "a b", "content": []}}]}]},
            "failed to satisfy",
        ),
        ({"toolConfig": {"tools": []}}, "length at least 1"),
        ({"messages": [{"role": "user", "content": [{"text": "a", "image": {}}]}]}, "exactly one"),
    ],
)
async def test_invalid_requests_are_refused(client, params, fault):
    with pytest.raises(ClientError, match=fault) as caught:
        await converse(client, **params)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "UnrecognizedClientException"),
        (404, "ResourceNotFoundException"),
        (418, "ValidationException"),
        (424, "ModelErrorException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ],
)
async def test_errors_have_their_names(client, status, code):
    with pytest.raises(ClientError) as caught:
        await converse(client, modelId=f"m@status={status}")
    assert caught.value.response["Error"]["Code"] == code


async def test_streams_break_as_the_real_ones_do(client):
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        await events(client, modelId="m@error_event=2")
    with pytest.raises(Exception, match=r"[Cc]hecksum"):
        await events(client, modelId="m@bad_chunk=2")
    seen = await events(client, modelId="m@no_done")
    assert not any("metadata" in event for event in seen)


def signature(key, service, headers):
    scope = f"{key}/20260101/eu/{service}/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={headers}, Signature={'0' * 64}"


@pytest.mark.parametrize(
    ("authorization", "date", "status"),
    [
        ("Bearer any", "", 200),
        ("AWS4-HMAC-SHA256 nonsense", "", 403),
        (signature("A", "bedrock", "host;x-amz-date"), "20260101T000000Z", 200),
        (signature("A", "bedrock", "host;x-amz-date"), "20260102T000000Z", 403),
        (signature("A", "bedrock", "x-amz-date"), "20260101T000000Z", 403),
        (signature("invalid", "bedrock", "host;x-amz-date"), "20260101T000000Z", 403),
        (signature("A", "s3", "host;x-amz-date"), "20260101T000000Z", 403),
    ],
)
async def test_signatures_have_their_form(sim, authorization, date, status):
    headers = {"authorization": authorization, "x-amz-date": date}
    async with httpx.AsyncClient(base_url=sim.origin, trust_env=False) as http:
        reply = await http.post(f"/model/{MODEL}/converse", json={"messages": HI}, headers=headers)
    assert reply.status_code == status

"""Wires and hosts together, against the simulator, over real sockets."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from shared.errors import UpstreamFailure, UpstreamRefused
from shared.providers.base import ProviderKey
from shared.providers.client import ProviderClient
from shared.providers.hosts.aws import AwsIdentity
from shared.providers.hosts.azure import AzureHost
from shared.providers.hosts.bedrock import BedrockHost
from shared.providers.hosts.direct import DIRECT_HOSTS
from shared.providers.hosts.entra import EntraTokens
from shared.providers.hosts.fetch import TransportFetch
from shared.providers.hosts.google import GoogleTokens
from shared.providers.hosts.vertex import VertexHost
from shared.providers.transport import UpstreamTransport
from shared.providers.wires.anthropic import AnthropicWire
from shared.providers.wires.base import ProviderRequest, Wire
from shared.providers.wires.bedrock import BedrockWire
from shared.providers.wires.ollama import OllamaWire
from shared.providers.wires.openai import OpenAIWire
from shared.providers.wires.vertex import VertexWire
from shared.surfaces.request_types import EMBEDDINGS
from simulator.serve import RunningSimulator, running
from tests.providers.hosts.request_cases import provider_of
from tests.providers.hosts.test_vertex import ACCOUNT
from tests.providers.wires.bedrock.judge import MODEL
from tests.providers.wires.chat_chunks import HI, assemble, chunks_of, request_of

TOOL = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
ASKED = {
    "text": {},
    "tool": {"tools": [TOOL]},
    "schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
    "short": {"max_tokens": 2},
    "result": {
        "messages": [
            *HI,
            {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "blue"},
        ],
        "tools": [TOOL],
    },
    "image": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                ],
            }
        ]
    },
}  # fmt: skip
WIRES: list[Wire] = [BedrockWire(), OllamaWire()]


def forwarded(fields: dict[str, Any]) -> ProviderRequest:
    """A request whose wire forwards the caller's bytes."""
    return replace(request_of(fields, fields["model"]), body=orjson.dumps(fields))


class Upstream:
    """A client of a running simulator, with the hosts of a process that has credentials in its environment."""

    def __init__(self, sim: RunningSimulator) -> None:
        self.sim = sim
        self.transport = UpstreamTransport()
        fetch = TransportFetch(self.transport)
        environ = {
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
            "AZURE_TENANT_ID": "tenant",
            "AZURE_CLIENT_ID": "app",
            "AZURE_CLIENT_SECRET": "hush",
            "AZURE_AUTHORITY_HOST": sim.origin,
        }
        aws, entra, google = AwsIdentity(environ), EntraTokens(fetch, environ), GoogleTokens(fetch, environ)
        self.identities = [aws, entra, google]
        hosts = [*DIRECT_HOSTS, AzureHost(entra), BedrockHost(aws), VertexHost(google)]
        vertex = VertexWire(gemini=OpenAIWire(), claude=AnthropicWire(on_vertex=True), others=OpenAIWire())
        wires = [*WIRES, OpenAIWire(), vertex]
        self.client = ProviderClient(
            self.transport, {host.name: host for host in hosts}, {wire.name: wire for wire in wires}
        )

    def provider(self, wire, **more):
        host = {"ollama": "direct", "openai": "azure"}.get(wire, wire)
        return provider_of(host, **{"wire": wire, "base_url": self.sim.origin, "region": "eu-west-1", **more})

    @contextlib.asynccontextmanager
    async def open(self, wire, ask, key: ProviderKey | None = None, **more):
        provider = self.provider(wire, **more)
        request = self.client.wire(provider).request(ask)
        async with await self.client.open(
            provider, key, ask.model, request, headers={}, total_s=5, stream=ask.stream
        ) as exchange:
            yield exchange

    async def answer(self, wire, ask, **more):
        async with self.open(wire, ask, **more) as exchange:
            body = await exchange.read()
        return orjson.loads(self.client.wire(self.provider(wire)).answer(ask, body, exchange.content_type).body)

    async def stream(self, wire, ask):
        translation = self.client.wire(self.provider(wire)).stream(ask)
        async with self.open(wire, ask) as exchange:
            out = b"".join([translation.feed(chunk) async for chunk in exchange.chunks()])
        return translation, out


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running() as sim:
        upstream = Upstream(sim)
        yield upstream
        for identity in upstream.identities:
            await identity.aclose()
        await upstream.transport.aclose()


def without_ids(answer):
    for call in answer["choices"][0]["message"].get("tool_calls", ()):
        assert call.pop("id")
    return answer


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("wire", ["bedrock", "ollama"])
async def test_streams_add_up_to_whole_answers(upstream: Upstream, wire: str, asked: str) -> None:
    fields = {"messages": HI, **ASKED[asked]}
    whole = await upstream.answer(wire, request_of(fields, MODEL))
    fields |= {"stream": True, "stream_options": {"include_usage": True}}
    translation, out = await upstream.stream(wire, request_of(fields, MODEL))
    assert translation.complete
    assert without_ids(assemble(chunks_of(out))) == without_ids(whole)
    reasons = {"tool": "tool_calls", "short": "length"}
    assert whole["choices"][0]["finish_reason"] == reasons.get(asked, "stop")
    if asked == "schema":
        assert orjson.loads(whole["choices"][0]["message"]["content"]).keys() == {"n"}


@pytest.mark.parametrize("wire", ["bedrock", "ollama"])
async def test_thoughts_come_through(upstream: Upstream, wire: str) -> None:
    message = (await upstream.answer(wire, request_of({"messages": HI}, "qwen@reasoning")))["choices"][0]["message"]
    assert message["reasoning_content"]
    if wire == "bedrock":
        assert message["thinking_blocks"][0]["signature"]


@pytest.mark.parametrize("fault", ["cut=2", "no_done", "error_event=2", "bad_chunk=2"])
@pytest.mark.parametrize("wire", ["bedrock", "ollama"])
async def test_no_fault_passes_for_a_whole_answer(upstream: Upstream, wire: str, fault: str) -> None:
    ask = request_of({"messages": HI, "stream": True}, f"m@{fault}")
    try:
        translation, _ = await upstream.stream(wire, ask)
    except (UpstreamFailure, ValueError):
        assert fault in {"cut=2", "bad_chunk=2"}
        return
    assert not translation.complete
    assert (translation.error is not None) == fault.startswith("error_event")


@pytest.mark.parametrize(
    ("wire", "status", "code"), [("bedrock", 429, "ThrottlingException"), ("ollama", 404, "model_not_found")]
)
async def test_refusals_carry_a_reason(upstream: Upstream, wire: str, status: int, code: str) -> None:
    with pytest.raises(UpstreamRefused) as caught:
        await upstream.answer(wire, request_of({"messages": HI}, f"m@status={status},retry_after=3"))
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (status, code, 3.0)
    assert caught.value.error["message"].startswith("Simulated failure")


async def test_a_bearer_token_does_instead_of_a_signature(upstream: Upstream) -> None:
    ask = request_of({"messages": HI}, MODEL)
    assert await upstream.answer("bedrock", ask, key=ProviderKey(name="k", value="bedrock-api-key"))
    assert upstream.sim.requests[-1].path == f"/model/{MODEL}/converse"
    with pytest.raises(UpstreamRefused) as caught:
        await upstream.answer("bedrock", ask, credentials="AKIDinvalid:secret")
    assert caught.value.status == 403


async def test_ollama_embeds(upstream: Upstream) -> None:
    body = await upstream.answer("ollama", request_of({"input": ["a", "b"], "dimensions": 4}, "nomic", EMBEDDINGS))
    assert [len(each["embedding"]) for each in body["data"]] == [4, 4]


async def test_azure_takes_entras_token(upstream: Upstream) -> None:
    body = await upstream.answer("openai", forwarded({"model": "gpt", "messages": HI}))
    assert body["choices"][0]["message"]["content"]
    asked, called = upstream.sim.requests
    assert asked.path == "/tenant/oauth2/v2.0/token"
    assert called.headers["authorization"].startswith("Bearer ****")


async def test_vertex_takes_a_service_accounts_token_once(upstream: Upstream) -> None:
    account = orjson.dumps({**ACCOUNT, "token_uri": f"{upstream.sim.origin}/token"}).decode()
    for model in ("claude-sonnet-4-5", "meta/llama-4"):
        ask = forwarded({"model": model, "messages": HI})
        body = await upstream.answer("vertex", ask, project="p", credentials=account)
        assert body["choices"][0]["message"]["content"]
    place = "/v1/projects/p/locations/global"
    assert [entry.path for entry in upstream.sim.requests] == [
        "/token",
        f"{place}/publishers/anthropic/models/claude-sonnet-4-5:rawPredict",
        f"{place}/endpoints/openapi/chat/completions",
    ]
    assert upstream.sim.requests[1].headers["authorization"].startswith("Bearer ****")
    wrong = orjson.dumps({**ACCOUNT, "token_uri": f"{upstream.sim.origin}/token", "client_email": "invalid"}).decode()
    with pytest.raises(UpstreamRefused, match="invalid_grant"):
        await upstream.answer("vertex", request_of({"messages": HI}, "meta/x"), project="p", credentials=wrong)


async def test_a_token_endpoint_that_is_away_is_a_failure_that_may_pass(upstream: Upstream) -> None:
    account = orjson.dumps({**ACCOUNT, "token_uri": "http://127.0.0.1:9/token?a=b"}).decode()
    with pytest.raises(UpstreamFailure, match="cannot be reached"):
        await upstream.answer("vertex", request_of({"messages": HI}, "meta/x"), project="p", credentials=account)

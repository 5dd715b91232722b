import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.inference import model_lists
from shared.providers.wires.listing import LISTINGS
from shared.settings.model import KeySettings, ProviderSettings
from simulator.serve import RunningSimulator

KEYS = (KeySettings(value="sk-upstream-key-0123456789"),)


def everyone(sim: RunningSimulator) -> dict[str, ProviderSettings]:
    settings: dict[str, dict[str, Any]] = {
        "gemini": {"base_url": f"{sim.origin}/v1beta"},
        "vertex": {"base_url": sim.origin, "project": "p"},
        "bedrock": {"base_url": sim.origin, "region": "eu-west-1"},
        "local": {"base_url": sim.origin, "wire": "ollama"},
        "ollama": {"base_url": sim.base_url},
        "anthropic": {"base_url": f"{sim.origin}/anthropic"},
        "openai": {"base_url": sim.base_url},
        "gone": {"base_url": "http://127.0.0.1:9", "wire": "gemini"},
    }
    return {name: ProviderSettings(keys=KEYS, **more) for name, more in settings.items()}


async def ids(inference: Any, caller: Caller = ANONYMOUS) -> list[str]:
    return [str(model["id"]) for model in await inference.catalogue.models(caller)]


async def test_every_provider_lists_its_models_under_its_name(build: Any, sim: RunningSimulator) -> None:
    inference = build(providers=everyone(sim))
    listed = await ids(inference)
    for name in (
        "gemini/gemini-2.5-flash",
        "gemini/gemini-embedding-001",
        "vertex/gemini-2.5-flash",
        "vertex/claude-sonnet-4-6",
        "bedrock/amazon.nova-lite-v1:0",
        "bedrock/us.anthropic.claude-sonnet-4-6",
        "bedrock/us.amazon.nova-pro-v1:0",
        "anthropic/claude-sonnet-4-6",
    ):
        assert name in listed
    assert "bedrock/anthropic.claude-v2" not in listed, "it is no longer there"
    assert {name.partition("/")[0] for name in listed} == everyone(sim).keys() - {"gone"}
    assert len(listed) == len(set(listed))
    for model in await inference.catalogue.models(ANONYMOUS):
        assert {"id", "object", "created", "owned_by"} <= model.keys()
    assert {name.partition("/")[0] for name in await ids(inference, Caller(models=("gem*/*",)))} == {"gemini"}


async def test_callers_who_come_together_ask_once(build: Any, sim: RunningSimulator) -> None:
    inference = build(providers={"gemini": everyone(sim)["gemini"], "bedrock": everyone(sim)["bedrock"]})
    first, *others = await asyncio.gather(*(ids(inference) for _ in range(5)))
    assert all(other == first for other in others)
    assert sorted(entry.path for entry in sim.log.entries) == [
        "/foundation-models",
        "/inference-profiles",
        "/inference-profiles",
        "/v1beta/models",
    ]


async def test_a_list_that_fails_later_is_the_one_known(
    build: Any, sim: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_lists, "CACHE_S", 0.0)
    inference = build(providers={"gemini": everyone(sim)["gemini"]})
    known = await ids(inference)
    sim.script(path="/v1beta/models", status=500)
    assert await ids(inference) == known
    assert len(sim.log.entries) == 2


async def test_deployments_are_the_models_of_who_names_them(build: Any, sim: RunningSimulator) -> None:
    azure = ProviderSettings(base_url=sim.origin, deployments={"gpt-4o": "prod"})
    assert await ids(build(providers={"azure": azure})) == ["azure/gpt-4o"]
    assert not sim.log.entries


@asynccontextmanager
async def listing(answer: bytes, asked: list[bytes] | None = None) -> AsyncIterator[str]:
    """A server that says the same to everybody."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.append(request.split(b" ")[1])
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(answer) + answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("answer", [b"[]", b"no json", b'{"data": 5}', b'{"data": ["x"]}', b'{"data": [{"name": 1}]}'])
async def test_what_is_no_list_is_left_out(build: Any, answer: bytes) -> None:
    async with listing(answer) as url:
        assert await ids(build(providers={"odd": ProviderSettings(wire="openai", base_url=url)})) == []


async def test_azure_lists_what_its_resource_may_use(build: Any) -> None:
    asked: list[bytes] = []
    async with listing(b'{"data": [{"id": "gpt-4o", "created_at": 5, "lifecycle_status": "ga"}]}', asked) as url:
        [model] = await build(providers={"azure": ProviderSettings(base_url=url, keys=KEYS)}).catalogue.models(
            ANONYMOUS
        )
    assert (model["id"], model["created"]) == ("azure/gpt-4o", 5)
    assert asked == [b"/openai/v1/models"]


def test_models_that_cannot_be_asked_are_not_listed() -> None:
    def listed(wire: str, answer: dict[str, Any], at: int = 0) -> list[str]:
        return [model.id for model in LISTINGS[wire][at].models(answer)]

    azure = [{"id": "a", "capabilities": {"inference": False}}, {"id": "b", "created_at": 5}]
    assert listed("openai", {"data": azure}) == ["b"]
    gemini = [
        {"name": "models/live", "supportedGenerationMethods": ["bidiGenerateContent"]},
        {"name": "models/tuned"},
    ]
    assert listed("gemini", {"models": gemini}) == ["tuned"]
    assert listed("bedrock", {"inferenceProfileSummaries": [{"inferenceProfileId": "x", "status": "GONE"}]}, 1) == []
    assert listed("ollama", {"models": [{"name": "llama3.1:8b", "modified_at": "soon"}]}) == ["llama3.1:8b"]


def test_further_pages_are_asked_for_by_token() -> None:
    gemini, ollama = LISTINGS["gemini"][0], LISTINGS["ollama"][0]
    assert gemini.next_path({"nextPageToken": "a b&c"}) == "/models?pageSize=1000&pageToken=a%20b%26c"
    assert gemini.next_path({}) == ollama.next_path({"nextPageToken": "x"}) == ""


async def test_a_list_without_end_is_cut(build: Any, sim: RunningSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_lists, "MAX_PAGES", 1)
    listed = await ids(build(providers={"bedrock": everyone(sim)["bedrock"]}))
    assert "bedrock/us.amazon.nova-pro-v1:0" not in listed
    assert "bedrock/us.anthropic.claude-sonnet-4-6" in listed

import pytest

from shared.errors import ModelNotFound, UnknownProvider, Unsupported, UpstreamRefused
from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.inference.inference import Inference
from shared.inference.passthrough import RawRequest
from simulator.serve import RunningSimulator
from tests.serving import serving


async def test_a_resource_of_a_provider_is_read_there(inference: Inference) -> None:
    answer = await inference.forwarder.forward(RawRequest(method="GET", path="/models/gpt-4o"), ANONYMOUS)
    assert answer.status == 200
    assert b'"gpt-4o"' in await answer.read()


async def test_bytes_come_as_they_come(inference: Inference) -> None:
    answer = await inference.forwarder.forward(RawRequest(method="GET", path="/models", provider="sim"), ANONYMOUS)
    assert b"".join([chunk async for chunk in answer]).startswith(b"{")


async def test_a_providers_404_is_its_own(inference: Inference) -> None:
    with pytest.raises(UpstreamRefused) as refusal:
        await inference.forwarder.forward(RawRequest(method="GET", path="/responses/resp_none"), ANONYMOUS)
    assert refusal.value.status == 404


async def test_an_unknown_provider_is_a_400(inference: Inference) -> None:
    with pytest.raises(UnknownProvider):
        await inference.forwarder.forward(RawRequest(method="GET", path="/files", provider="nobody"), ANONYMOUS)


async def test_another_wire_has_no_such_resource(build, provider) -> None:
    inference = build(providers={"other": provider(wire="anthropic")})
    with pytest.raises(Unsupported):
        await inference.forwarder.forward(RawRequest(method="GET", path="/files", provider="other"), ANONYMOUS)


async def test_models_of_all_providers_are_listed_with_their_prefix(build, provider, sim: RunningSimulator) -> None:
    inference = build(
        providers={
            "sim": provider(),
            "mine": provider(models=("llama",)),
            "gone": provider(base_url="http://127.0.0.1:9"),
        }
    )
    models = await inference.catalogue.models(ANONYMOUS)
    assert {"id": "mine/llama", "object": "model", "created": 0, "owned_by": "mine"} in models
    assert any(str(model["id"]).startswith("sim/") for model in models)
    asked = len(sim.log.entries)
    assert await inference.catalogue.models(ANONYMOUS) == models
    assert len(sim.log.entries) == asked, "a list is kept for a minute"
    only = await inference.catalogue.models(Caller(key_id="a", models=("mine/*",)))
    assert [model["id"] for model in only] == ["mine/llama"]


async def test_a_model_that_no_list_has_is_asked_of_its_provider(build, provider, sim: RunningSimulator) -> None:
    inference = build(providers={"openai": provider(), "sim": provider()})
    assert (await inference.catalogue.model("gpt-6-astra", ANONYMOUS))["id"] == "openai/gpt-6-astra"
    assert (await inference.catalogue.model("sim/a/b c", ANONYMOUS))["id"] == "sim/a/b c"
    assert sim.requests[-1].path == "/v1/models/a/b c"
    with pytest.raises(UpstreamRefused) as refusal:
        await inference.catalogue.model("sim/gone@status=404", ANONYMOUS)
    assert refusal.value.status == 404


@pytest.mark.parametrize("name", ["nobody/x", "claude/x", "sim/secret", "sim/"])
async def test_a_model_of_nobody_or_not_for_the_caller_is_not_found(build, provider, sim, name: str) -> None:
    providers = {"sim": provider(), "claude": provider(wire="anthropic")}
    inference = build(providers=providers)
    with pytest.raises(ModelNotFound):
        await inference.catalogue.model(name, Caller(key_id="a", models=("sim/open", "nobody/*", "claude/*")))


@pytest.mark.parametrize("body", [b"[]", b"{}", b"<html>"])
async def test_what_describes_no_model_is_not_passed_on(build, provider, body: bytes) -> None:
    async def app(scope, receive, send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async with serving(app) as origin:
        inference = build(providers={"odd": provider(base_url=origin)})
        with pytest.raises(ModelNotFound):
            await inference.catalogue.model("odd/x", ANONYMOUS)

import pytest

from shared.errors import UnknownProvider, Unsupported, UpstreamRefused
from shared.governance.caller import ANONYMOUS, Caller
from shared.inference.inference import Inference
from shared.inference.passthrough import RawRequest
from simulator.serve import RunningSimulator


async def test_a_resource_of_a_provider_is_read_there(inference: Inference) -> None:
    answer = await inference.passthrough(RawRequest(method="GET", path="/models/gpt-4o"), ANONYMOUS)
    assert answer.status == 200
    assert b'"gpt-4o"' in await answer.read()


async def test_bytes_come_as_they_come(inference: Inference) -> None:
    answer = await inference.passthrough(RawRequest(method="GET", path="/models", provider="sim"), ANONYMOUS)
    assert b"".join([chunk async for chunk in answer]).startswith(b"{")


async def test_a_providers_404_is_its_own(inference: Inference) -> None:
    with pytest.raises(UpstreamRefused) as refusal:
        await inference.passthrough(RawRequest(method="GET", path="/responses/resp_none"), ANONYMOUS)
    assert refusal.value.status == 404


async def test_an_unknown_provider_is_a_400(inference: Inference) -> None:
    with pytest.raises(UnknownProvider):
        await inference.passthrough(RawRequest(method="GET", path="/files", provider="nobody"), ANONYMOUS)


async def test_another_wire_has_no_such_resource(build, provider) -> None:
    inference = build(providers={"other": provider(wire="anthropic")})
    with pytest.raises(Unsupported):
        await inference.passthrough(RawRequest(method="GET", path="/files", provider="other"), ANONYMOUS)


async def test_models_of_all_providers_are_listed_with_their_prefix(build, provider, sim: RunningSimulator) -> None:
    inference = build(
        providers={
            "sim": provider(),
            "mine": provider(models=("llama",)),
            "gone": provider(base_url="http://127.0.0.1:9"),
        }
    )
    models = await inference.models(ANONYMOUS)
    assert {"id": "mine/llama", "object": "model", "created": 0, "owned_by": "mine"} in models
    assert any(str(model["id"]).startswith("sim/") for model in models)
    asked = len(sim.log.entries)
    assert await inference.models(ANONYMOUS) == models
    assert len(sim.log.entries) == asked, "a list is kept for a minute"
    only = await inference.models(Caller(key_id="a", models=("mine/*",)))
    assert [model["id"] for model in only] == ["mine/llama"]

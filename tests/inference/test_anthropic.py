"""Chat over Anthropic's wire, whole, streamed and as a job, on real sockets."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from shared.errors import UnsupportedParameter, UpstreamFailure, UpstreamRefused
from shared.governance.keys.caller import ANONYMOUS, Caller
from shared.inference.inference import Inference
from shared.settings.model import KeySettings
from shared.surfaces.chat_assembly import ChatAssembly
from simulator.serve import RunningSimulator
from tests.inference.conftest import QUICK, chat
from tests.worker.test_streamed import steady, streamed

TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
KEY = KeySettings(name="one", value="sk-ant-number-one-0123")


@pytest.fixture
def claude(build: Callable[..., Inference], sim: RunningSimulator) -> Inference:
    settings: dict[str, Any] = {"base_url": f"{sim.origin}/anthropic", "keys": [KEY], "retry": QUICK}
    return build(providers={"anthropic": settings, "mine": {**settings, "wire": "anthropic"}})


async def followed(inference: Inference, call: Any) -> dict[str, Any]:
    assembly = ChatAssembly()
    stream = await inference.stream(call)
    async for events in stream:
        for event in events.split(b"\n\n"):
            if event:
                assembly.add(event + b"\n\n")
    whole: dict[str, Any] = orjson.loads(assembly.completion())
    return whole


async def test_a_chat_is_answered_with_the_key_in_its_own_header(claude: Inference, sim: RunningSimulator) -> None:
    answer = await claude.answer(chat("anthropic/sim-echo"))
    assert orjson.loads(answer.body)["choices"][0]["message"]["content"] == "hello"
    assert answer.usage["prompt_tokens"] > 0
    [entry] = sim.log.entries
    assert entry.path == "/anthropic/v1/messages"
    assert entry.headers["x-api-key"] == "****0123"
    assert "authorization" not in entry.headers
    assert entry.headers["anthropic-version"] == "2023-06-01"


async def test_a_provider_of_ones_own_may_speak_the_wire(claude: Inference, sim: RunningSimulator) -> None:
    assert (await claude.answer(chat("mine/sim-echo"))).provider == "mine"
    assert "x-api-key" in sim.log.entries[0].headers


@pytest.mark.parametrize(
    "more",
    [{}, {"tools": [TOOL], "tool_choice": "required"}, {"reasoning_effort": "low", "max_completion_tokens": 8000}],
    ids=["text", "tools", "reasoning"],
)
async def test_a_stream_and_a_job_say_what_the_answer_says(claude: Inference, more: dict[str, Any]) -> None:
    asked = chat("anthropic/claude-sonnet-4-5", **more)
    whole = named_alike(orjson.loads((await claude.answer(asked)).body))
    assert whole["choices"][0]["message"].get("content") or whole["choices"][0]["message"]["tool_calls"]
    options = {"stream_options": {"include_usage": True}}
    assert (
        named_alike(await followed(claude, chat("anthropic/claude-sonnet-4-5", stream=True, **options, **more)))
        == whole
    )
    as_job, handle = await streamed(claude, asked)
    assert named_alike(as_job) == whole
    assert bool(handle.pending_events) is not bool(more.get("tools"))


def named_alike(completion: dict[str, Any]) -> Any:
    """A completion without what differs between any two."""
    message = completion["choices"][0]["message"]
    for call in message.get("tool_calls") or ():
        call["id"] = "call"
    for thought in message.get("thinking_blocks") or ():
        thought["signature"] = "signed"
    if message.get("annotations") == []:
        del message["annotations"]
    return steady(completion)


async def test_a_tools_result_goes_back(claude: Inference, sim: RunningSimulator) -> None:
    first = await claude.answer(chat("anthropic/claude-sonnet-4-5", tools=[TOOL], tool_choice="required"))
    message = orjson.loads(first.body)["choices"][0]["message"]
    [call] = message["tool_calls"]
    messages = [
        {"role": "user", "content": "hello"},
        message,
        {"role": "tool", "tool_call_id": call["id"], "content": "sunny"},
    ]
    again = await claude.answer(chat("anthropic/claude-sonnet-4-5", tools=[TOOL], messages=messages))
    assert orjson.loads(again.body)["choices"][0]["message"]["content"]
    assert sim.log.entries[-1].body["messages"][-1]["content"][0]["tool_use_id"] == call["id"]


@pytest.mark.parametrize(("upstream", "status"), [(400, 400), (404, 404), (529, 503)])
async def test_its_errors_become_openais(claude: Inference, upstream: int, status: int) -> None:
    with pytest.raises(UpstreamRefused) as refusal:
        await claude.answer(chat(f"anthropic/claude-sonnet-4-5@status={upstream}"))
    assert refusal.value.status == status
    assert refusal.value.message


@pytest.mark.parametrize("fault", ["cut=3", "error_event=3"])
async def test_a_stream_that_breaks_off_is_an_error(claude: Inference, fault: str) -> None:
    with pytest.raises(UpstreamFailure):
        await followed(claude, chat(f"anthropic/claude-sonnet-4-5@{fault}", stream=True))


async def test_what_it_cannot_express_is_refused_before_it_is_asked(claude: Inference, sim: RunningSimulator) -> None:
    with pytest.raises(UnsupportedParameter) as refusal:
        await claude.answer(chat("anthropic/claude-sonnet-4-5", n=2))
    assert refusal.value.param == "n"
    assert not sim.log.entries


async def test_its_models_are_listed_in_openais_form(claude: Inference) -> None:
    listed = {model["id"]: model for model in await claude.catalogue.models(ANONYMOUS)}
    model = listed["anthropic/claude-sonnet-4-6"]
    assert model["object"] == "model"
    assert model["created"] == 1767323045
    assert model["owned_by"] == "anthropic"
    blocked = Caller(models=("mine/*",))
    assert {str(model["id"]).split("/")[0] for model in await claude.catalogue.models(blocked)} == {"mine"}

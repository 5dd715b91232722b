"""A body in a provider's own format reaches it byte for byte apart from the model, so that prompt caches hit."""

from dataclasses import dataclass

import orjson
import pytest

from shared.surfaces.native_body import limited
from shared.surfaces.request_body import NativeBody
from simulator.serve import RunningSimulator
from tests.api.conftest import Gateway, Start

JSON = {"content-type": "application/json"}
# Spaces, escapes, numbers and an order that no serialiser would write like this.
TEXT = b'"caf\\u00e9 \xc3\xa9 \\/ \\ud83d\\ude00"'
TOOL = b'{"properties" :{ "model":{"type":"string"}}, "type":"object"}'
FUNCTION = b'[{"type":"function","function":{ "name":"pick","parameters":' + TOOL + b"} } ]"


@dataclass(frozen=True)
class Surface:
    """A format, and a request in it: ``{model}`` stands for the model's name, if the body says it."""

    path: str
    models: tuple[str, ...]
    sent_as: str
    body: bytes
    stream_path: str = ""

    def named(self, model: str) -> bytes:
        return self.body.replace(b"{model}", model.encode())

    def path_of(self, model: str, *, stream: bool = False) -> str:
        return (self.stream_path if stream and self.stream_path else self.path).format(model=model)


CHAT = Surface(
    "/openai/chat/completions",
    ("openai/gpt-4o", "chat-alias", "chat-route"),
    "gpt-4o",
    b' { "max_tokens" : 20,\n "model" :"{model}", "messages":[ {"content":' + TEXT + b',"role":"user"} ] ,\t"tools":'
    + FUNCTION + b', "temperature":1.0,"x_own":1.0e1 ,"seed":1E2 } \n',
)  # fmt: skip
RESPONSES = Surface(
    "/v1/responses",
    ("openai/gpt-4o", "chat-alias"),
    "gpt-4o",
    b'{"store":false,  "input": [{"role":"user","content":' + TEXT + b' }], "temperature" :1.0, "model":"{model}" }',
)
MESSAGES = Surface(
    "/anthropic/v1/messages",
    ("claude-haiku-4-5", "anthropic/claude-haiku-4-5", "claude-alias", "claude-route"),
    "claude-haiku-4-5",
    b'{ "max_tokens" : 20, "temperature": 1.0, "messages" :[ {"content":[{"text":' + TEXT
    + b',"type":"text",  "cache_control":{"type":"ephemeral"}}],"role":"user"}],"tools":[ {"name":"pick",'
    + b'"input_schema":' + TOOL + b'}],\n"model" : "{model}","system":' + TEXT + b"}",
)  # fmt: skip
GENERATE = Surface(
    "/genai/v1beta/models/{model}:generateContent",
    ("gemini-2.5-flash", "gemini-alias"),
    "",
    b'{ "contents" :[ {"parts":[{"text":' + TEXT + b'} ],"role":"user"}], "generation_config":{ "temperature":1.0,'
    b'\n"topP":1.0e-1, "maxOutputTokens":20}}',
    "/genai/v1beta/models/{model}:streamGenerateContent?alt=sse",
)
SURFACES = [pytest.param(surface, id=surface.path) for surface in (CHAT, RESPONSES, MESSAGES, GENERATE)]


@pytest.fixture
async def gateway(start: Start, sim: RunningSimulator) -> Gateway:
    key = {"keys": [{"value": "sk-upstream-key-0123456789"}], "retry": {"max_attempts": 1}}
    price = {"input": 1, "output": 10}
    return await start(
        providers={
            "openai": {"base_url": sim.base_url, **key},
            "anthropic": {"base_url": f"{sim.origin}/anthropic", **key},
            "gemini": {"base_url": f"{sim.origin}/v1beta", **key},
        },
        aliases={
            "chat-alias": "openai/gpt-4o",
            "claude-alias": "anthropic/claude-haiku-4-5",
            "gemini-alias": "gemini/gemini-2.5-flash",
        },
        routes={
            "chat-route": {"targets": [{"model": "openai/gpt-4o"}]},
            "claude-route": {"targets": [{"model": "anthropic/claude-haiku-4-5"}]},
        },
        prices={"openai/*": price, "anthropic/*": price, "gemini/*": price},
        virtual_keys={
            name: {"value": f"sk-bf-{name}-0123456789", "budget": {"limit_usd": 0.001}} for name in ("poor", "broke")
        },
    )


async def send(gateway: Gateway, path: str, body: bytes, **headers: str) -> None:
    answer = await gateway.http.post(path, content=body, headers={**JSON, **headers})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("surface", SURFACES)
async def test_an_answer_is_asked_for_in_the_callers_bytes(
    gateway: Gateway, sim: RunningSimulator, surface: Surface
) -> None:
    for model in surface.models:
        await send(gateway, surface.path_of(model), surface.named(model))
        assert sim.requests[-1].raw == surface.named(surface.sent_as)


def asking_for_a_stream(surface: Surface, body: bytes) -> bytes:
    return body if surface.stream_path else body.replace(b"{", b'{ "stream" :true,', 1)


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_stream_is_asked_for_in_the_callers_bytes(
    gateway: Gateway, sim: RunningSimulator, surface: Surface
) -> None:
    for model in surface.models:
        body = asking_for_a_stream(surface, surface.named(model))
        await send(gateway, surface.path_of(model, stream=True), body)
        expected = asking_for_a_stream(surface, surface.named(surface.sent_as))
        counted = b',"stream_options":{"include_usage":true}}' if surface is CHAT else b""
        assert sim.requests[-1].raw == (expected.rstrip()[:-1] + counted if counted else expected)


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_job_asks_in_the_callers_bytes_and_adds_that_it_streams(
    gateway: Gateway, sim: RunningSimulator, surface: Surface
) -> None:
    for model in surface.models:
        await send(gateway, surface.path_of(model), surface.named(model), **{"x-bf-async": "true"})
        assert await gateway.worker.work_off() == 1
        sent, expected = sim.requests[-1].raw, surface.named(surface.sent_as)
        if surface is GENERATE:
            assert sent == expected
            continue
        kept = len(expected.rstrip()[:-1].rstrip())
        assert sent[:kept] == expected[:kept]
        counted = b',"stream_options":{"include_usage":true}' if surface is CHAT else b""
        assert sent[kept:].replace(b" ", b"").replace(b"\n", b"") == b',"stream":true' + counted + b"}"


async def test_a_job_keeps_its_fallbacks_and_asks_in_the_callers_bytes(gateway: Gateway, sim: RunningSimulator) -> None:
    body = MESSAGES.named("anthropic/claude-haiku-4-5@status=500").replace(b"{", b'{"fallbacks":["openai/gpt-4o"],', 1)
    await send(gateway, MESSAGES.path, body, **{"x-bf-async": "true"})
    await gateway.worker.work_off()
    first, second = sim.requests[-2:]
    assert b"claude-haiku-4-5@status=500" in first.raw
    assert TEXT in first.raw
    assert b"fallbacks" not in first.raw
    assert (second.path, second.body["model"]) == ("/v1/chat/completions", "gpt-4o")


async def test_a_run_in_the_metadata_is_the_gateways_own(gateway: Gateway, sim: RunningSimulator) -> None:
    metadata = b'{"metadata" :{ "user_id":"ann", "run_id":"agent-7" },'
    body = MESSAGES.named("claude-haiku-4-5").replace(b"{", metadata, 1)
    await send(gateway, MESSAGES.path, body)
    assert sim.requests[-1].raw == body.replace(b', "run_id":"agent-7"', b"")
    await send(gateway, MESSAGES.path, body, **{"x-bf-async": "true"})
    await gateway.worker.work_off()
    assert sim.requests[-1].body["metadata"] == {"user_id": "ann"}
    run = (await gateway.http.get("/v1/runs/agent-7")).json()
    assert (run["calls"], run["jobs"]) == (1, 1)


async def test_another_format_is_translated(gateway: Gateway, sim: RunningSimulator) -> None:
    await send(gateway, GENERATE.path_of("anthropic/claude-haiku-4-5"), GENERATE.body)
    assert sim.requests[-1].body["max_tokens"] == 20
    await send(gateway, MESSAGES.path, MESSAGES.named("gemini/gemini-2.5-flash"))
    assert sim.requests[-1].body["generationConfig"]["maxOutputTokens"] == 20


def test_a_limit_cannot_be_put_into_every_body() -> None:
    assert limited(NativeBody("anthropic", b"{}", {}), 5) is None
    assert limited(NativeBody("genai", b"{}", {"generation_config": {}}), 5) is None
    bare = limited(NativeBody("genai", b'{"contents":[]}', {"contents": []}), 5)
    assert bare is not None
    assert bare.body == b'{"contents":[],"generationConfig":{"maxOutputTokens":5}}'


async def test_the_gateways_own_field_is_taken_out_and_nothing_else(gateway: Gateway, sim: RunningSimulator) -> None:
    for surface in (CHAT, MESSAGES, GENERATE):
        model = surface.models[0]
        own = surface.named(model).replace(b"{", b'{  "fallbacks" : ["openai/gpt-4o"] ,\n', 1)
        await send(gateway, surface.path_of(model), own)
        assert sim.requests[-1].raw.replace(b" ", b"") == surface.named(surface.sent_as).replace(b" ", b"")


async def test_a_budget_adds_its_limit_of_the_answer_and_changes_nothing_else(
    gateway: Gateway, sim: RunningSimulator
) -> None:
    poor, broke = ({"x-bf-vk": f"sk-bf-{name}-0123456789"} for name in ("poor", "broke"))
    chat = CHAT.named("openai/gpt-4o").replace(b'"max_tokens" : 20', b'"max_completion_tokens" : null')
    await send(gateway, CHAT.path, chat, **poor)
    sent = sim.requests[-1].raw
    most = orjson.loads(sent)["max_completion_tokens"]
    assert sent == chat.replace(b"openai/gpt-4o", b"gpt-4o").replace(b"null", b"%d" % most)
    config = GENERATE.body.replace(b"generation_config", b"generationConfig").replace(b', "maxOutputTokens":20', b"")
    await send(gateway, GENERATE.path_of("gemini-2.5-flash"), config, **broke)
    sent = sim.requests[-1].raw
    most = orjson.loads(sent)["generationConfig"]["maxOutputTokens"]
    assert sent == config[:-2] + b',"maxOutputTokens":%d}}' % most


async def test_what_the_translation_leaves_out_is_not_sent(gateway: Gateway, sim: RunningSimulator) -> None:
    body = MESSAGES.named("claude-haiku-4-5")[:-1] + b',"context_management":{"edits":[]}}'
    await send(gateway, MESSAGES.path, body)
    assert "context_management" not in sim.requests[-1].body


async def test_the_model_of_embeddings_is_all_that_changes(gateway: Gateway, sim: RunningSimulator) -> None:
    body = b'{ "model":"openai/embed", "input" :["caf\\u00e9","b"]}'
    await send(gateway, "/v1/embeddings", body)
    assert sim.requests[-1].raw == body.replace(b"openai/embed", b"embed")

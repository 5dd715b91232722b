"""Whatever a caller or a provider sends, these wires answer with a request, an answer or a clear error."""

import contextlib
from itertools import pairwise

import orjson
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.providers.wires.base import MalformedAnswer, Wire
from shared.providers.wires.bedrock import BedrockWire
from shared.providers.wires.ollama import OllamaWire
from shared.surfaces.request_types import EMBEDDINGS
from simulator.aws.event_stream import encode_frame
from tests.examples import examples
from tests.providers.wires.bedrock.judge import ADAPTIVE, BUDGET, LLAMA, MODEL, NEWEST, NOVA, OLD, OSS, judge_request
from tests.providers.wires.chat_chunks import HI, STREAMED, request_of

pytestmark = pytest.mark.slow

MODELS = [MODEL, OLD, BUDGET, ADAPTIVE, NEWEST, NOVA, OSS, LLAMA]
# Words that mean something somewhere in the formats, so that random structures come near to real ones.
WORDS = st.sampled_from(
    (
        "role", "content", "type", "text", "user", "system", "assistant", "tool", "tool_calls", "id", "function",
        "name", "arguments", "tool_call_id", "image_url", "url", "data:image/png;base64,AA", "file", "file_data",
        "input_audio", "format", "wav", "data", "json_schema", "schema", "thinking", "signature", "auto", "{}", "[]",
        "thinking_blocks", "redacted_thinking", "cache_control", "ttl", "refusal", "high", "low", "none", "object",
        "properties", "json_object", "strict", "toolUse", "toolResult", "toolUseId", "input", "reasoningContent",
        "reasoningText", "redactedContent", "output", "message", "stopReason", "usage", "inputTokens", "outputTokens",
        "start", "delta", "contentBlockIndex", "done", "tool_use", "done_reason", "eval_count", "logprobs", "token",
        "error", "embeddings", "enabled", "adaptive", "budget_tokens", "required", "disabled",
    )
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-2, 5) | st.floats(-1, 1) | WORDS | st.text(max_size=3)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "input_audio", "refusal"]) | JSON},
    optional=dict.fromkeys(("text", "image_url", "file", "input_audio", "refusal", "cache_control"), JSON),
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool", "developer"]) | JSON},
        optional={
            "content": JSON | st.text(max_size=5) | st.lists(PARTS | JSON, max_size=3),
            "tool_calls": JSON
            | st.lists(
                st.fixed_dictionaries(
                    {"id": WORDS, "function": st.fixed_dictionaries({"name": WORDS, "arguments": WORDS | JSON})}
                ),
                max_size=2,
            ),
            **dict.fromkeys(("tool_call_id", "thinking_blocks", "refusal", "reasoning_content", "audio"), JSON),
        },
    )
    | JSON,
    max_size=4,
)
OPTIONS = (
    *("max_tokens", "temperature", "top_p", "top_k", "stop", "tools"),
    *("tool_choice", "reasoning_effort", "thinking", "response_format", "service_tier", "metadata"),
    *("n", "additionalModelRequestFields", "stream_options", "think", "options", "keep_alive"),
    *("logprobs"),
)
FIELDS = st.fixed_dictionaries(
    {"messages": MESSAGES | JSON},
    optional=dict.fromkeys(OPTIONS, JSON),
)


@examples(400)
@given(fields=FIELDS, model=st.sampled_from(MODELS), stream=st.booleans())
def test_any_request_is_translated_or_refused(fields, model, stream):
    request = request_of({**fields, "stream": stream}, model)
    for wire in (BedrockWire(), OllamaWire()):
        try:
            assert isinstance(orjson.loads(wire.request(request).body), dict)
        except InvalidRequest:
            continue


@given(
    texts=st.lists(
        st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(st.characters(codec="utf-8"), max_size=8)),
        min_size=1,
        max_size=6,
    ),
    model=st.sampled_from(MODELS),
    options=st.fixed_dictionaries(
        {},
        optional={
            "max_tokens": st.integers(2000, 9000),
            "temperature": st.floats(0, 2),
            "top_p": st.floats(0, 1),
            "stop": st.lists(st.text(min_size=1, max_size=3), max_size=3),
            "reasoning_effort": st.sampled_from(["none", "low", "high"]),
        },
    ),
)
def test_any_plain_conversation_is_one_that_botocore_sends(texts, model, options):
    messages = [{"role": role, "content": text} for role, text in texts]
    try:
        upstream = BedrockWire().request(request_of({"messages": messages, **options}, model))
    except InvalidRequest as error:
        refused = error.param
        event(f"refused for {refused}")
        assume(refused not in {"messages", "reasoning_effort"})
        raise
    judge_request(upstream, model)
    roles = [turn["role"] for turn in orjson.loads(upstream.body)["messages"]]
    assert all(role != following for role, following in pairwise(roles))


EVENTS = st.sampled_from(
    ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"]
)


@examples(300)
@given(answer=JSON, events=st.lists(st.tuples(EVENTS, JSON), max_size=5), kind=st.sampled_from(["event", "exception"]))
def test_any_answer_is_translated_or_malformed(answer, events, kind):
    request = request_of(STREAMED, MODEL)
    frames = [
        encode_frame({":message-type": kind, ":event-type": name, ":exception-type": name}, orjson.dumps(body))
        for name, body in [("messageStart", {}), *events]
    ]
    lines = b"".join(orjson.dumps(body) + b"\n" for _, body in events)
    embedding = request_of({"input": "a", "encoding_format": "base64"}, MODEL, EMBEDDINGS)
    for read in (
        lambda: BedrockWire().answer(request, orjson.dumps(answer), ""),
        lambda: BedrockWire().answer(
            request, orjson.dumps({"output": {"message": {"content": answer}}, "usage": {}}), ""
        ),
        lambda: BedrockWire().stream(request).feed(b"".join(frames)),
        lambda: OllamaWire().answer(request, orjson.dumps(answer), ""),
        lambda: OllamaWire().answer(request, orjson.dumps({"message": answer}), ""),
        lambda: OllamaWire().answer(embedding, orjson.dumps({"embeddings": answer}), ""),
        lambda: OllamaWire().stream(request).feed(lines),
    ):
        with contextlib.suppress(MalformedAnswer):
            read()


@given(status=st.integers(400, 599), body=JSON.map(orjson.dumps) | st.binary(max_size=20))
def test_any_error_has_a_message(status, body):
    for wire in (BedrockWire(), OllamaWire()):
        _, error = wire.error(status, body)
        assert isinstance(error["message"], str)


def nested(depth):
    schema = {"type": "object"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize("wire", [BedrockWire(), OllamaWire()], ids=lambda wire: wire.name)
def test_what_is_nested_too_deeply_is_an_error_of_its_sender(wire: Wire):
    tools = [{"type": "function", "function": {"name": "x", "parameters": nested(200)}}]
    with pytest.raises(InvalidRequest):
        wire.request(request_of({"messages": HI, "tools": tools}, OSS))
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    answers = {
        "bedrock": b'{"output":{"message":{"content":[{"toolUse":{"toolUseId":"a","name":"x","input":%b}}]}}}',
        "ollama": b'{"message":{"tool_calls":[{"function":{"name":"x","arguments":%b}}]}}',
    }
    with pytest.raises(MalformedAnswer):
        wire.answer(request_of({"messages": HI}, OSS), answers[wire.name] % deep, "")

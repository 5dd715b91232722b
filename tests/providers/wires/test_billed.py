"""What answers are charged for beside their tokens, as each wire reads it."""

from typing import Any

import orjson
import pytest

from shared.governance.pricing.usage import Usage, tier_of, usage_of
from shared.providers.wires.anthropic.answer import read_usage as anthropic_usage
from shared.providers.wires.base import ProviderRequest
from shared.providers.wires.bedrock.answer import read_usage as bedrock_usage
from shared.providers.wires.billed import billed_usage
from shared.providers.wires.gemini.answer import with_searches
from shared.providers.wires.openai import OpenAIWire
from shared.surfaces.anthropic.answer import usage_of as anthropic_form
from shared.surfaces.request_types import CHAT, RESPONSES, RequestType

OUTPUT = [
    {"type": "web_search_call", "action": {"type": "search", "query": "a"}},
    {"type": "web_search_call", "action": {"type": "open_page", "url": "https://example.com"}},
    {"type": "web_search_call"},
    {"type": "file_search_call"},
    {"type": "code_interpreter_call", "container_id": "c1"},
    {"type": "code_interpreter_call", "container_id": "c1"},
    {"type": "message"},
    "?",
]
RESPONSE = {"usage": {"input_tokens": 5, "output_tokens": 7}, "service_tier": "flex", "output": OUTPUT}


def request(request_type: RequestType) -> ProviderRequest:
    return ProviderRequest(request_type=request_type, model="m", body=b"{}", fields={})


def test_the_tools_of_a_response_are_counted() -> None:
    answer = OpenAIWire().answer(request(RESPONSES), orjson.dumps(RESPONSE), "application/json")
    usage = usage_of(answer.usage)
    assert usage == Usage(input=5, output=7, web_searches=2, file_searches=1, code_sessions=1)
    assert tier_of(answer.usage) == "flex"


def test_the_tools_of_a_streamed_response_are_counted() -> None:
    stream = OpenAIWire().stream(request(RESPONSES))
    event = {"type": "response.completed", "response": RESPONSE}
    stream.feed(b"data: " + orjson.dumps(event) + b"\n\n")
    assert usage_of(stream.usage).web_searches == 2
    assert tier_of(stream.usage) == "flex"


def test_the_tier_of_a_chat_comes_with_its_last_chunk() -> None:
    stream = OpenAIWire().stream(request(CHAT))
    chunk = {"choices": [], "service_tier": "priority", "usage": {"prompt_tokens": 1}}
    stream.feed(b"data: " + orjson.dumps(chunk) + b"\n\n")
    assert tier_of(stream.usage) == "priority"


def test_an_answer_without_either_keeps_its_usage() -> None:
    usage = {"prompt_tokens": 1}
    assert billed_usage(usage, {"output": "text"}) is usage
    assert billed_usage(usage, {"output": []}) is usage


def test_anthropics_searches_hours_and_tier() -> None:
    counts = {
        "input_tokens": 10, "output_tokens": 2, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 4,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "server_tool_use": {"web_search_requests": 3}, "service_tier": "batch",
    }  # fmt: skip
    read = anthropic_usage(counts)
    usage = usage_of(read)
    assert usage == Usage(input=44, output=2, cached=4, cache_write=10, cache_write_1h=20, web_searches=3)
    assert tier_of(read) == "batch"
    form = anthropic_form(read)
    assert (form["cache_creation"], form["server_tool_use"]) == (counts["cache_creation"], counts["server_tool_use"])


def test_bedrocks_hours() -> None:
    counts = {"inputTokens": 1, "outputTokens": 1, "cacheWriteInputTokens": 9,
              "cacheDetails": [{"ttl": "1h", "inputTokens": 5}, {"ttl": "5m", "inputTokens": 4}, "?"]}  # fmt: skip
    usage = usage_of(bedrock_usage(counts))
    assert (usage.cache_write, usage.cache_write_1h) == (4, 5)


@pytest.mark.parametrize(("model", "searches"), [("gemini-2.5-pro", 1), ("gemini-3-pro-preview", 3)])
def test_geminis_searches(model: str, searches: int) -> None:
    queries: list[dict[str, Any]] = [
        {"groundingMetadata": {"webSearchQueries": ["a", "b"]}}, {"groundingMetadata": {"webSearchQueries": ["c"]}}, {},
    ]  # fmt: skip
    assert usage_of(with_searches({}, queries, model)).web_searches == searches

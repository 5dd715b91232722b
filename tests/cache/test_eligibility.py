"""Which requests use the cache, and which answers are stored."""

from typing import Any

import orjson
import pytest

from shared.cache.eligibility import bypass_reason, may_store
from shared.surfaces.request_types import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    IMAGE_GENERATIONS,
    MODERATIONS,
    RESPONSES,
    RequestType,
)

FUNCTION = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("request_type", "fields", "reason"),
    [
        (CHAT, {}, ""),
        (CHAT, {"tools": [FUNCTION, {"type": "custom"}, {"name": "old"}]}, ""),
        (CHAT, {"tools": "none"}, ""),
        (CHAT, {"tools": [FUNCTION, {"type": "web_search_20250305"}]}, "tools"),
        (CHAT, {"tools": ["?"]}, "tools"),
        (CHAT, {"web_search_options": {"a": 1}}, "tools"),
        (CHAT, {"modalities": ["text", "audio"]}, "audio"),
        (CHAT, {"modalities": ["text"]}, ""),
        (CHAT, {"conversation": "c"}, ""),
        (RESPONSES, {"input": "hello", "previous_response_id": None}, ""),
        (RESPONSES, {"previous_response_id": "resp_1"}, "conversation"),
        (RESPONSES, {"conversation": "conv_1"}, "conversation"),
        (RESPONSES, {"prompt": {"id": "pmpt_1"}}, "conversation"),
        (RESPONSES, {"input": ["?", {"type": "message"}, {"type": "item_reference", "id": "i"}]}, "conversation"),
        (RESPONSES, {"input": [{"role": "user", "content": "hello"}]}, ""),
        (RESPONSES, {"tools": [{"type": "mcp"}]}, "tools"),
    ],
)
def test_requests(request_type: RequestType, fields: dict[str, Any], reason: str) -> None:
    assert bypass_reason(request_type, fields, "openai", "gpt-4o") == reason


@pytest.mark.parametrize(
    ("provider", "model"),
    [("perplexity", "sonar"), ("openai", "gpt-4o-search-preview"), ("openrouter", "openai/gpt-4o:online")],
)
def test_models_that_search_the_web_are_not_cached(provider: str, model: str) -> None:
    assert bypass_reason(CHAT, {}, provider, model) == "live-model"


def _choice(reason: object = "stop", **message: Any) -> dict[str, Any]:
    return {"finish_reason": reason, "message": message}


@pytest.mark.parametrize(
    ("request_type", "answer", "stored"),
    [
        (CHAT, {"choices": [_choice(content="Hi")]}, True),
        (CHAT, {"choices": [_choice("length", content="Hi")]}, True),
        (CHAT, {"choices": [_choice("tool_calls", content=None, tool_calls=[{}])]}, True),
        (CHAT, {"choices": [_choice("function_call", function_call={"name": "f"})]}, True),
        (CHAT, {"choices": []}, False),
        (CHAT, {}, False),
        (CHAT, {"choices": ["?"]}, False),
        (CHAT, {"choices": [{"finish_reason": "stop"}]}, False),
        (CHAT, {"choices": [_choice(None, content="Hi")]}, False),
        (CHAT, {"choices": [_choice(content="")]}, False),
        (CHAT, {"choices": [_choice(content="Hi", refusal="No.")]}, False),
        (CHAT, {"choices": [_choice("content_filter", content="Hi")]}, False),
        (CHAT, {"choices": [_choice(content="Hi"), _choice(content="")]}, False),
        (CHAT, {"error": {"message": "?"}, "choices": [_choice(content="Hi")]}, False),
        (CHAT, [], False),
        (COMPLETIONS, {"choices": [{"text": "Hi", "finish_reason": "stop"}]}, True),
        (COMPLETIONS, {"choices": [{"text": "", "finish_reason": "stop"}]}, False),
        (RESPONSES, {"status": "completed", "output": [{}]}, True),
        (RESPONSES, {"status": "incomplete", "output": [{}]}, False),
        (RESPONSES, {"status": "completed", "output": []}, False),
        (EMBEDDINGS, {"data": [{}]}, True),
        (EMBEDDINGS, {"data": []}, False),
        (MODERATIONS, {"results": [{}]}, True),
        (MODERATIONS, {"results": []}, False),
        (IMAGE_GENERATIONS, {"results": [{}]}, False),
    ],
)
def test_answers(request_type: RequestType, answer: Any, stored: bool) -> None:
    assert may_store(request_type, orjson.dumps(answer)) is stored


def test_what_is_not_json_is_not_stored() -> None:
    assert not may_store(CHAT, b"<html>")

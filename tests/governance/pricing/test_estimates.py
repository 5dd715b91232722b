"""Estimates that hold: whatever a caller writes, a call reserves at least what it can use."""

from typing import Any

import orjson
import pytest

from shared.governance.pricing.model_sizes import UNKNOWN_OUTPUT, UNKNOWN_SIZE, ModelSize, model_size
from shared.governance.pricing.prices import Price, PriceBook
from shared.governance.pricing.usage import FILE_TOKENS, IMAGE_TOKENS, Usage, output_tokens_held, upper_estimate
from shared.inference.assembly import price_sources
from shared.settings.model import Settings
from shared.settings.prices import PriceSettings
from shared.surfaces.request_types import CHAT, COMPLETIONS, RESPONSES, RequestType

SIZE = ModelSize(output=1_000, context=5_000, published=True)


def most(fields: dict[str, Any], request_type: RequestType = CHAT, size: ModelSize = SIZE) -> Usage:
    return upper_estimate(request_type, fields, orjson.dumps(fields), size)


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({}, 1_000),
        ({"max_tokens": None}, 1_000),
        ({"max_tokens": 50}, 50),
        ({"max_tokens": 50, "max_completion_tokens": 70}, 70),
        ({"max_tokens": 1, "n_predict": 300}, 300),
        ({"max_tokens": 1, "maxOutputTokens": 300}, 300),
        ({"max_tokens": "60000"}, 1_000),
        ({"max_tokens": 1, "max_completion_tokens": "60000"}, 1_000),
        ({"max_tokens": -1}, 1_000),
        ({"max_tokens": 0}, 1_000),
        ({"max_tokens": True}, 1_000),
        ({"max_tokens": 3.0}, 1_000),
        ({"max_tokens": 10**13}, 1_000),
        ({"max_output_tokens": 1}, 1_000),
        ({"max_tokens": 50, "n": 3}, 150),
        ({"max_tokens": 50, "n": "3"}, 150),
        ({"max_tokens": 50, "n": 2, "best_of": 4}, 200),
        ({"max_tokens": 50, "n": -2}, 50),
    ],
)
def test_the_largest_limit_present_counts_and_an_invalid_one_is_none(fields: dict[str, Any], output: int) -> None:
    assert most(fields).output == output


def test_the_endpoints_own_name_of_the_limit_counts() -> None:
    assert most({"max_output_tokens": 7}, RESPONSES).output == 7
    assert most({"max_tokens": 7}, RESPONSES).output == 1_000
    assert most({"max_tokens": 7, "prompt": ["a", "b"], "best_of": 2}, COMPLETIONS).output == 28
    assert most({"max_tokens": 7, "prompt": [1, 2, 3]}, COMPLETIONS).output == 7


def test_a_limit_above_an_assumed_maximum_counts() -> None:
    assert most({"max_tokens": 500_000}, size=UNKNOWN_SIZE).output == 500_000
    assert most({"max_tokens": 10**13}, size=UNKNOWN_SIZE).output == 2_000_000


def test_a_stored_conversation_counts_as_what_the_model_can_read() -> None:
    assert most({"previous_response_id": "resp_1"}, RESPONSES).input > 5_000
    assert most({"conversation": "conv_1"}, RESPONSES).input > 5_000
    fields = {"previous_response_id": "resp_1"}
    assert upper_estimate(RESPONSES, fields, b"x" * 40, SIZE, stored=100).input == 111


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, IMAGE_TOKENS),
        ({"type": "input_image", "file_id": "file-1"}, IMAGE_TOKENS),
        ({"type": "input_file", "file_id": "file-1"}, FILE_TOKENS),
        ({"type": "image", "source": {"type": "base64", "data": "A" * 500_000}}, IMAGE_TOKENS),
    ],
)
def test_what_a_request_only_names_counts(part: dict[str, Any], tokens: int) -> None:
    assert tokens <= most({"messages": [{"role": "user", "content": [part]}]}).input < tokens + 100


def test_sound_counts_by_its_length_and_long_text_by_its_bytes() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 160_000, "format": "mp3"}}
    usage = most({"messages": [{"role": "user", "content": [sound]}]})
    assert usage.audio_input == 31 * 32
    assert most({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}).audio_input == 32
    assert most({"messages": "字" * 100_000}).input >= 75_000


def test_hosted_tools_count_with_their_own_limits() -> None:
    tools = [
        {"type": "web_search_20250305", "max_uses": 3},
        {"type": "file_search"},
        {"type": "code_interpreter"},
        {"type": "function"},
        "?",
    ]
    usage = most({"tools": tools, "max_tool_calls": 4}, RESPONSES)
    assert (usage.web_searches, usage.file_searches, usage.code_sessions) == (3, 4, 1)
    assert most({"tools": 5}).web_searches == 0
    assert most({"web_search_options": {}}).web_searches == 10


def test_a_cache_for_an_hour_is_reserved_at_its_own_price() -> None:
    body = b'{"cache_control":{"type":"ephemeral","ttl":"1h"}}'
    usage = upper_estimate(CHAT, {}, body, SIZE)
    assert usage.cache_write_1h == usage.input > 0


def test_under_a_limit_of_tokens_a_call_without_a_limit_holds_a_usual_answer() -> None:
    assert output_tokens_held({}, Usage(input=10, output=128_000)) == 10 + 4_096
    assert output_tokens_held({"n": 2}, Usage(input=10, output=128_000)) == 10 + 8_192
    assert output_tokens_held({"max_tokens": 9_000}, Usage(input=10, output=9_000)) == 9_010


@pytest.mark.parametrize(
    ("model", "output"),
    [
        ("gpt-4o-mini", 16_384),
        ("gpt-4o-2024-05-13", 4_096),
        ("gpt-4", 8_192),
        ("gpt-4.1-nano", 32_768),
        ("ft:gpt-4.1:acme::abc", 32_768),
        ("gpt-5-mini", 128_000),
        ("gpt-6-astra", 128_000),
        ("o3", 100_000),
        ("claude-3-haiku-20240307", 4_096),
        ("claude-opus-4-1-20250805", 32_000),
        ("claude-sonnet-4-5-20250929", 64_000),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 64_000),
        ("claude-opus-4-6", 128_000),
        ("anthropic/claude-sonnet-5", 128_000),
        ("gemini-2.5-pro", 65_536),
        ("my-own", UNKNOWN_OUTPUT),
    ],
)
def test_published_sizes(model: str, output: int) -> None:
    assert model_size(model).output == output


def test_a_size_is_configured_or_follows_from_the_context_window() -> None:
    assert model_size("gpt-4o", 128_000, 77) == ModelSize(77, 128_000, published=True)
    assert model_size("other", 32_000) == ModelSize(32_000, 32_000, published=True)
    assert model_size("other", 1_000_000).output == UNKNOWN_OUTPUT
    book = PriceBook({"v/*": PriceSettings(input=1, max_output=9)}, price_sources(Settings()))
    assert book.size("v", "m").output == 9
    assert book.size("w", "m") == UNKNOWN_SIZE
    assert book.size("openai", "gpt-5") == ModelSize(128_000, 400_000, published=True)


def test_what_a_price_lacks_for_an_endpoint() -> None:
    price = Price({"input": 1, "output": 1})
    assert price.lacks("tokens", Usage()) == ()
    assert price.lacks("tokens", Usage(web_searches=1)) == ("web_searches",)
    assert Price({"input": 1}).lacks("tokens", Usage()) == ("output",)
    assert Price({"input": 1}).lacks("prompt", Usage()) == ()
    assert Price({"images": 1}).lacks("images", Usage()) == ()
    assert Price({"milliseconds": 1}).lacks("audio", Usage()) == ()
    assert Price({}).lacks("characters", Usage()) == ("input", "output")

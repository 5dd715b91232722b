"""Prices: published, configured, free and unknown ones."""

from collections.abc import Mapping
from typing import Any

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from shared.governance.pricing.prices import REMEMBERED, REMEMBERED_S, UNPRICED, Cost, Price, PriceBook
from shared.governance.pricing.usage import Usage, upper_estimate, usage_of, used_by
from shared.inference.assembly import price_sources
from shared.settings.model import Settings
from shared.settings.prices import PriceSettings
from shared.surfaces.request_types import BY_NAME, CHAT, EMBEDDINGS, IMAGE_GENERATIONS, SPEECH, TRANSCRIPTIONS

CHAT_USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 300,
    "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 200},
}


def prices(**fields: Any) -> PriceSettings:
    return PriceSettings.model_validate(fields)


def priced(configured: Mapping[str, PriceSettings]) -> PriceBook:
    return PriceBook(configured, price_sources(Settings()))


@pytest.fixture(scope="module", autouse=True)
def warmed() -> None:
    PriceBook.warm()


@pytest.mark.parametrize(
    ("provider", "theirs", "model"),
    [
        ("openai", "openai", "gpt-4o"),
        ("openai", "openai", "gpt-4.1-mini"),
        ("azure", "azure", "gpt-4o"),
        ("anthropic", "anthropic", "claude-sonnet-4-5"),
        ("gemini", "google", "gemini-2.5-pro"),
        ("mistral", "mistral", "mistral-large-latest"),
    ],
)
@pytest.mark.parametrize(("tokens_in", "cached", "tokens_out"), [(1000, 0, 10), (1000, 400, 300), (300_000, 1, 5)])
def test_published_prices_match_genai_prices(
    provider: str, theirs: str, model: str, tokens_in: int, cached: int, tokens_out: int
) -> None:
    expected = calc_price(
        TheirUsage(input_tokens=tokens_in, cache_read_tokens=cached, output_tokens=tokens_out),
        model,
        provider_id=theirs,
    )
    cost = priced({}).cost(provider, model, Usage(input=tokens_in, cached=cached, output=tokens_out))
    assert cost.priced
    assert abs(cost.micro_usd - float(expected.total_price) * 1e6) <= 0.5001


@pytest.mark.parametrize(
    ("model", "usage", "micro_usd"),
    [
        ("whisper-1", Usage(milliseconds=90_500), 9_050),
        ("tts-1", Usage(characters=2_000), 30_000),
        ("text-embedding-3-small", Usage(input=1000), 20),
        ("gpt-image-1", Usage(input=100, output=1000), 40_500),
    ],
)
def test_units_other_than_tokens(model: str, usage: Usage, micro_usd: int) -> None:
    assert priced({}).cost("openai", model, usage).micro_usd == micro_usd


@pytest.mark.parametrize(
    ("provider", "model"), [("openai", "gpt-0-nobody"), ("my-vllm", "gpt-4o"), ("openai-ish", "gpt-4o")]
)
def test_unknown_models_are_unpriced(provider: str, model: str) -> None:
    assert priced({}).cost(provider, model, Usage(input=5)) is UNPRICED
    assert not UNPRICED.priced
    assert not priced({}).estimate(provider, model, Usage(input=5)).priced


def test_local_servers_are_free_unless_the_configuration_prices_them() -> None:
    assert priced({}).cost("ollama", "llama3.1", Usage(input=5, output=7)) == Cost(0)
    assert priced({}).cost("vllm", "m", Usage()).priced
    own = priced({"vllm/*": prices(input=2)})
    assert own.cost("vllm", "m", Usage(input=1000, output=9)).micro_usd == 2000
    price = own.price("vllm", "m")
    assert price is not None
    assert price.source == "configuration and free"


def test_a_further_account_of_a_cloud_has_the_clouds_prices() -> None:
    settings = Settings.model_validate({"providers": {"azure-eu": {"host": "azure", "base_url": "https://eu.example"}}})
    book = PriceBook({}, price_sources(settings))
    assert book.price("azure-eu", "gpt-4o") == book.price("azure", "gpt-4o")


def test_a_use_that_no_price_covers_is_unpriced_not_free() -> None:
    book = priced({"v/*": prices(input=1)})
    assert book.cost("v", "m", Usage(input=10)).priced
    assert not book.cost("v", "m", Usage(input=10, output=1)).priced
    assert not book.cost("v", "m", Usage()).priced
    assert priced({"v/*": prices(request=0.5)}).cost("v", "m", Usage()).micro_usd == 500_000


def test_a_configured_price_of_zero_is_priced() -> None:
    assert priced({"v/*": prices(input=0, output=0)}).cost("v", "m", Usage(input=10, output=9)).priced


def test_configured_prices_override_published_ones_unit_by_unit() -> None:
    book = priced({"openai/gpt-4o": prices(output=100), "openai/*": prices(input=1)})
    price = book.price("openai", "gpt-4o")
    assert price is not None
    assert (price.rates["input"], price.rates["output"]) == (2_500_000, 100_000_000)
    assert price.source == "configuration and published"
    other = book.price("openai", "gpt-4.1")
    assert other is not None
    assert other.rates["input"] == 1_000_000


def test_discounts_leave_the_list_price_to_be_seen() -> None:
    cost = priced({"openai/*": prices(discount=0.25)}).cost("openai", "gpt-4o", Usage(input=1000))
    assert (cost.micro_usd, cost.list_micro_usd) == (1875, 2500)


def test_batches_cost_less() -> None:
    assert priced({}).cost("openai", "gpt-4.1", Usage(input=1000), variant="batch").micro_usd == 1000
    own = priced({"v/*": prices(input=2, batch_discount=0.5)})
    assert own.cost("v", "m", Usage(input=1000), variant="batch").micro_usd == 1000
    assert own.cost("v", "m", Usage(input=1000)).micro_usd == 2000


def test_long_prompts_have_their_own_prices() -> None:
    book = priced({"v/*": prices(input=1, output=2, tiers=[{"above": 100, "input": 3}])})
    assert book.cost("v", "m", Usage(input=100, output=10)).micro_usd == 120
    assert book.cost("v", "m", Usage(input=101, output=10)).micro_usd == 323
    assert book.estimate("v", "m", Usage(input=10, output=10)).micro_usd == 50


def test_parts_with_a_price_of_their_own_leave_their_whole() -> None:
    book = priced({"v/*": prices(input=10, cached=1, output=10, reasoning=20, audio_input=100)})
    usage = usage_of(CHAT_USAGE)
    assert usage == Usage(input=1000, output=300, cached=400, reasoning=200, audio_input=10)
    assert book.cost("v", "m", usage).micro_usd == 400 * 1 + 10 * 100 + 590 * 10 + 200 * 20 + 100 * 10


def test_prices_are_remembered_for_a_while_and_not_without_end() -> None:
    now = [0.0]
    book = PriceBook({"v/*": prices(input=1)}, clock=lambda: now[0])
    assert book.price("v", "m") is book.price("v", "m")
    first = book.price("v", "m")
    now[0] = REMEMBERED_S + 1
    assert book.price("v", "m") is not first
    for at in range(REMEMBERED + 10):
        book.price("v", f"m{at}")
    assert len(book._known) == REMEMBERED


def test_usage_of_chat_and_responses_is_read() -> None:
    responses = {
        "input_tokens": 7, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 3, "image_tokens": 2},
        "output_tokens_details": {"reasoning_tokens": 4},
    }  # fmt: skip
    assert usage_of(responses) == Usage(input=7, output=5, cached=3, image_input=2, reasoning=4)
    assert usage_of({"type": "duration", "seconds": 1.5}) == Usage(milliseconds=1500)
    assert usage_of({}).empty
    assert usage_of(responses).tokens == 12


@given(
    st.dictionaries(
        st.sampled_from(["prompt_tokens", "completion_tokens", "seconds", "prompt_tokens_details"]),
        st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(), st.lists(st.integers()),
                  st.dictionaries(st.sampled_from(["cached_tokens"]), st.integers() | st.text())),
    )
)  # fmt: skip
def test_invalid_numbers_of_a_provider_are_harmless(usage_object: dict[str, Any]) -> None:
    usage = usage_of(usage_object)
    assert 0 <= usage.cached <= usage.input
    assert Price({"input": 10**6, "output": 10**6, "milliseconds": 1}).cost(usage).micro_usd >= 0


def test_usage_that_only_the_request_states() -> None:
    assert used_by(SPEECH, {"input": "hello"}, {}).characters == 5
    assert used_by(IMAGE_GENERATIONS, {"n": 3}, {}).images == 3
    assert used_by(IMAGE_GENERATIONS, {"n": "2"}, {}).images == 2
    assert used_by(IMAGE_GENERATIONS, {"n": 3}, {"output_tokens": 5}).images == 0
    assert used_by(CHAT, {}, {"prompt_tokens": 5}) == Usage(input=5)


def test_estimates_are_rather_too_high() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * 4000 + b'"}]}'
    assert upper_estimate(CHAT, {"max_tokens": 50}, body) == Usage(input=1014, output=50)
    assert upper_estimate(CHAT, {"max_completion_tokens": 50, "n": 3}, body).output == 150
    assert upper_estimate(EMBEDDINGS, {}, body).output == 0
    assert upper_estimate(SPEECH, {"input": "x" * 400}, b"").characters == 400
    assert upper_estimate(IMAGE_GENERATIONS, {"prompt": "x", "n": 2}, b"").images == 2
    assert upper_estimate(TRANSCRIPTIONS, {}, b"x" * 400_000).milliseconds == 101_000


def test_pictures_in_a_prompt_are_not_text() -> None:
    picture = "data:image/png;base64," + "A" * 400_000
    fields = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, {"image_url": {"url": picture}}, 5]}]
    }
    assert 3800 <= upper_estimate(CHAT, fields, b"x" * 400_100).input < 3900


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_request_type_has_an_estimate(name: str) -> None:
    usage = upper_estimate(BY_NAME[name], {"input": "x", "prompt": "x"}, b"{}")
    assert usage.tokens > 0
    assert priced({"v/*": prices(input=1, output=1)}).estimate("v", "m", usage).priced

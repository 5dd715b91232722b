"""Answers in the providers' shapes, each with its price worked out by hand from the published list."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.governance.pricing.prices import PriceBook
from shared.governance.pricing.usage import tier_of, usage_of
from shared.inference.assembly import price_sources
from shared.providers.wires.anthropic.answer import read_usage as anthropic_usage
from shared.providers.wires.billed import billed_usage
from shared.providers.wires.gemini.answer import read_usage as gemini_usage
from shared.providers.wires.gemini.answer import with_searches
from shared.settings.model import Settings

GOLDEN = orjson.loads((Path(__file__).parent / "golden" / "answers.json").read_bytes())
CASES = [
    pytest.param(name, case, id=f"{name}: {case['name']}") for name, rows in GOLDEN.items() for case in rows["cases"]
]
READ: Mapping[str, Callable[[Mapping[str, Any], str], Mapping[str, Any]]] = {
    "openai": lambda answer, _: billed_usage(answer["usage"], answer),
    "anthropic": lambda answer, _: anthropic_usage(answer["usage"]),
    "gemini": lambda answer, model: with_searches(gemini_usage(answer["usageMetadata"]), answer["candidates"], model),
}


@pytest.mark.parametrize(("provider", "case"), CASES)
def test_the_price_of_an_answer(provider: str, case: dict[str, Any]) -> None:
    usage = READ[provider](case["answer"], case["model"])
    book = PriceBook({}, price_sources(Settings()))
    cost = book.cost(provider, case["model"], usage_of(usage), variant=tier_of(usage))
    assert cost.priced
    assert cost.micro_usd == case["micro_usd"], case["worked"]

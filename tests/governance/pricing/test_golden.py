"""Answers in the providers' shapes, each with its price worked out by hand from the published list."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pytest

from shared.governance.pricing.prices import PriceBook
from shared.governance.pricing.usage import Usage, tier_of, used_by
from shared.inference.assembly import price_sources
from shared.providers.wires.anthropic.answer import read_usage as anthropic_usage
from shared.providers.wires.billed import billed_usage
from shared.providers.wires.gemini.answer import read_usage as gemini_usage
from shared.providers.wires.gemini.answer import with_searches
from shared.settings.model import Settings
from shared.surfaces.request_types import REQUEST_TYPES

GOLDEN = orjson.loads((Path(__file__).parent / "golden" / "answers.json").read_bytes())
CASES = [
    pytest.param(name, case, id=f"{name}: {case['name']}") for name, rows in GOLDEN.items() for case in rows["cases"]
]
READ: Mapping[str, Callable[[Mapping[str, Any], str], Mapping[str, Any]]] = {
    "openai": lambda answer, _: billed_usage(answer.get("usage", {}), answer),
    "anthropic": lambda answer, _: anthropic_usage(answer["usage"]),
    "gemini": lambda answer, model: with_searches(gemini_usage(answer["usageMetadata"]), answer["candidates"], model),
}


TYPES = {request_type.name: request_type for request_type in REQUEST_TYPES}
BOOK = PriceBook({}, price_sources(Settings()))


@pytest.mark.parametrize(("provider", "case"), CASES)
def test_the_price_of_an_answer(provider: str, case: dict[str, Any]) -> None:
    reported = READ[case.get("wire", provider)](case["answer"], case["model"])
    fields = {"input": "x" * case["request"]["input_length"]} if "request" in case else {}
    usage = used_by(TYPES[case.get("type", "chat.completions")], fields, reported)
    cost = BOOK.cost(provider, case["model"], usage, variant=case.get("variant") or tier_of(reported))
    assert cost.priced
    assert cost.micro_usd == case["micro_usd"], case["worked"]
    assert cost.list_micro_usd - cost.micro_usd == cost.saved_batch + cost.saved_tier + cost.saved_cache


def test_the_table_is_whole() -> None:
    assert len(CASES) >= 40
    for name, rows in GOLDEN.items():
        assert rows["source"].startswith("https://"), name
        for case in rows["cases"]:
            # By hand, in USD per million tokens: micro-USD once they are added up; half of one is rounded up.
            terms = [math.prod(map(Fraction, term.split("*"))) for term in case["worked"].split(" + ")]
            assert math.floor(sum(terms) + Fraction(1, 2)) == case["micro_usd"], case["name"]


@pytest.mark.parametrize(
    ("usage", "variant", "saved"),
    [
        (Usage(1000, 300), "batch", (2125, 0, 0)),
        (Usage(1000, 300), "flex", (0, 2125, 0)),
        (Usage(1000, 300), "priority", (0, -4250, 0)),
        (Usage(1000, 300, cached=400), "", (0, 0, 450)),
        (Usage(1000, 300, cached=400), "flex", (0, 2125, 225)),
    ],
)
def test_savings_are_told_apart(usage: Usage, variant: str, saved: tuple[int, int, int]) -> None:
    cost = BOOK.cost("openai", "gpt-5", usage, variant=variant)
    assert (cost.saved_batch, cost.saved_tier, cost.saved_cache) == saved
    assert cost.list_micro_usd == 4250


def test_a_written_cache_that_nobody_reads_costs_more_than_none() -> None:
    assert BOOK.cost("anthropic", "claude-sonnet-4-5", Usage(1000, cache_write=1000)).saved_cache == -750


def test_forty_answers_are_worked_out_with_their_sources() -> None:
    assert len(CASES) >= 40
    for rows in GOLDEN.values():
        assert rows["source"].startswith("https://")
        for case in rows["cases"]:
            terms = [term.split("*") for term in case["worked"].split(" + ")]
            assert (
                round(sum(float(term[0]) * float(term[-1] if term[1:] else 1) for term in terms)) == case["micro_usd"]
            )

"""What newer price data changes."""

from typing import Any

import orjson
import pytest

from shared.governance.pricing.published import PublishedPrices, read_published
from shared.inference.price_changes import price_changes
from tests.price_data import provider


def published(*rows: dict[str, Any]) -> PublishedPrices:
    return read_published(orjson.dumps(rows), "v")


def test_new_changed_and_missing_models_are_named() -> None:
    before = published(provider(a={"input_mtok": 1}, b={"input_mtok": 2}, c={"input_mtok": 3}), provider("other"))
    tiered = {"base": 2, "tiers": [{"start": 100, "price": 4}]}
    after = published(provider(a={"input_mtok": 1}, b={"input_mtok": tiered}, d={"input_mtok": 9}))
    changes = price_changes(before, after, ["openai", "free", "", "other"])
    assert changes.to_dict() == {
        "models": 3,
        "added": ["openai/d"],
        "removed": ["openai/c"],
        "changed": [
            {
                "id": "openai/b",
                "before": {"input": 2.0, "code_session": 0.03},
                "after": {"input": 2.0, "code_session": 0.03, "tiers": [{"above": 100, "prices": {"input": 4.0}}]},
            }
        ],
    }


def test_data_without_a_provider_that_is_used_is_refused() -> None:
    before = published(provider(a={"input_mtok": 1}))
    with pytest.raises(ValueError, match="no prices of 'openai'"):
        price_changes(before, published(provider("mistral", a={"input_mtok": 1})), ["openai"])

"""Price data in the format of genai-prices, small."""

from typing import Any


def provider(name: str = "openai", **models: dict[str, Any]) -> dict[str, Any]:
    """A provider with the prices of some models, whose names have `_` for `-`."""
    return {
        "id": name,
        "name": name,
        "api_pattern": f"https://{name}",
        "models": [
            {"id": model.replace("_", "-"), "match": {"equals": model.replace("_", "-")}, "prices": prices}
            for model, prices in models.items()
        ],
    }


CHEAP = [provider(gpt_4o={"input_mtok": 1, "output_mtok": 2}, new_model={"input_mtok": 3, "output_mtok": 4})]
""" gpt-4o at another price than the package's, and a model that the package does not have."""

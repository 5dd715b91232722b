import pytest

from cli.supervisor.bootstrap_keys import create_missing_values
from shared.settings.model import Settings

UNVALUED = Settings.model_validate({"virtual_keys": {"shop": {}}})


async def test_values_are_made_once(redis_url: str) -> None:
    assert (await create_missing_values(UNVALUED, redis_url))["shop"].startswith("sk-bf-")
    assert await create_missing_values(UNVALUED, redis_url) == {}


@pytest.mark.parametrize("settings", [Settings(), UNVALUED])
async def test_without_a_store_none_is_made(settings: Settings) -> None:
    assert await create_missing_values(settings, "redis://127.0.0.1:1/0") == {}

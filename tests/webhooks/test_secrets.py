"""Secrets: one per virtual key, rotation with two signatures, and the configuration's last word."""

import pytest

from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.webhooks import keys
from shared.webhooks.secrets import BOTH_S, WebhookSecrets
from tests.jobs.test_keys import assert_every_key_is_known
from tests.webhooks.lane import SECRET, settings_with


@pytest.fixture
def settings() -> Settings:
    return settings_with("https://example.com/hook")


async def test_each_key_has_a_secret_of_its_own_that_all_processes_share(
    commands: RedisCommands, settings: Settings
) -> None:
    one, other = WebhookSecrets(commands, settings), WebhookSecrets(commands, settings)
    first = await one.of_key("vk_a")
    assert first.startswith("whsec_")
    assert await other.of_key("vk_a") == first
    assert len({first, await one.of_key("vk_b"), await one.of_key("")}) == 3
    await assert_every_key_is_known(commands)


async def test_a_rotated_secret_signs_beside_the_previous_one_for_a_day(
    commands: RedisCommands, settings: Settings
) -> None:
    secrets, elsewhere = WebhookSecrets(commands, settings), WebhookSecrets(commands, settings)
    assert await secrets.of_webhook("orders") == (SECRET,)
    first = await secrets.rotate("orders")
    assert await elsewhere.of_webhook("orders") == (first.secret, SECRET)
    second = await secrets.rotate("orders")
    assert await elsewhere.of_webhook("orders") == (second.secret, first.secret)
    await assert_every_key_is_known(commands)
    await commands.execute("HSET", keys.rotated_secret("orders"), "previous_until_ms", 1)
    assert await elsewhere.of_webhook("orders") == (second.secret,)
    assert BOTH_S == 24 * 3600


async def test_a_secret_changed_in_the_configuration_replaces_a_rotated_one(
    commands: RedisCommands, settings: Settings
) -> None:
    await WebhookSecrets(commands, settings).rotate("orders")
    webhooks = {"orders": {"url": "https://example.com/hook", "secret": "another"}}
    changed = WebhookSecrets(commands, Settings.model_validate({"webhooks": webhooks}))
    assert await changed.of_webhook("orders") == ("another",)
    rotation = await changed.rotate("orders")
    assert await changed.of_webhook("orders") == (rotation.secret, "another")

"""Configured keys without a value: given one once, of which only the hash is kept."""

from typing import Any

import pytest

from shared.errors import InvalidRequest, KeyNotFound, VirtualKeyNotFound
from shared.governance.keys.authenticate import Authenticator
from shared.governance.keys.cache import VirtualKeyCache
from shared.governance.keys.store import VirtualKeyStore
from shared.governance.limits.model import Limit
from shared.settings.model import Settings
from shared.store.multiplexed import MultiplexedClient

UNVALUED = Settings.model_validate({"virtual_keys": {"made": {"budget": {"limit_usd": 5}}, "fixed": {"value": "x"}}})


async def test_a_configured_key_without_a_value_gets_one_once(store: MultiplexedClient, redis_url: str) -> None:
    keys = VirtualKeyStore(store, UNVALUED)
    made = await keys.make_missing()
    assert list(made) == ["made"]
    assert await keys.make_missing() == {}
    ring = VirtualKeyCache(store, UNVALUED)
    governance = Authenticator(UNVALUED, ring=ring)
    caller = await governance.identify({b"x-bf-vk": made["made"].encode()})
    assert (caller.key_id, caller.limits) == ("made", (Limit("cost", "key:made", "1d", 5_000_000),))
    assert await governance.owner("made") == caller
    _, second = await keys.rotate("made", grace_s=60)
    for value in (made["made"], second):
        assert (await governance.identify({b"x-bf-vk": value.encode()})).key_id == "made"
    with pytest.raises(InvalidRequest, match=r"finops\.toml"):
        await keys.rotate("fixed")
    with pytest.raises(KeyNotFound):
        await VirtualKeyStore(store, Settings()).get("made")


@pytest.mark.parametrize("keys", [{}, {"made": {"value": "sk-bf-configured-by-now"}}])
async def test_a_made_value_ends_when_the_file_names_no_key_or_a_value(store: MultiplexedClient, keys: Any) -> None:
    value = (await VirtualKeyStore(store, UNVALUED).make_missing())["made"]
    settings = Settings.model_validate({"virtual_keys": keys})
    with pytest.raises(VirtualKeyNotFound):
        await Authenticator(settings, ring=VirtualKeyCache(store, settings)).identify({b"x-bf-vk": value.encode()})

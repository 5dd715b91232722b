"""Virtual keys created at run time: returned once, stored as hashes, known everywhere within a second."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from shared.errors import (
    InvalidRequest,
    KeyNotFound,
    KeyRevoked,
    ModelBlocked,
    ProviderBlocked,
    StoreUnavailable,
    VirtualKeyBlocked,
    VirtualKeyNotFound,
)
from shared.governance.keys.authenticate import Authenticator
from shared.governance.keys.cache import GRACE_S, VirtualKeyCache
from shared.governance.keys.model import VirtualKey
from shared.governance.keys.store import KeyFilter, VirtualKeyStore
from shared.governance.limits.model import Limit
from shared.settings.model import Settings
from shared.store.connection import connect
from shared.store.multiplexed import MultiplexedClient
from tests.key_leaks import assert_no_key_leaks
from tests.waiting import wait_until

SETTINGS = Settings.model_validate(
    {
        "virtual_keys": {"fixed": {"value": "sk-bf-configured-0123456789", "team": "search"}},
        "teams": {"search": {"budgets": [{"limit_usd": 5, "window": "1M"}]}},
        "customers": {"acme": {"rate_limit": {"requests": 9, "tokens": 99}}},
    }
)


@pytest.fixture
def keys(store: MultiplexedClient) -> VirtualKeyStore:
    return VirtualKeyStore(store, SETTINGS)


@pytest.fixture
async def ring(store: MultiplexedClient, redis_url: str) -> AsyncIterator[VirtualKeyCache]:
    ring = VirtualKeyCache(store, SETTINGS, lambda: connect(redis_url, timeout_s=None))
    yield ring
    await ring.aclose()


async def test_a_value_is_returned_once_and_only_its_hash_is_stored(
    keys: VirtualKeyStore, store: MultiplexedClient, redis: Any
) -> None:
    key, value = await keys.create("Team A", {"team": "search", "models": ["openai/*"]})
    assert value.startswith("sk-bf-")
    assert len(value) >= 48
    assert value.endswith(key.hint)
    for name in await redis.keys("*"):
        dumped = name + (await redis.dump(name) or b"")
        assert value.encode() not in dumped
        assert value[6:].encode() not in dumped
    assert value not in str(key) + str(key.to_dict())
    await assert_no_key_leaks(redis, ["finops:key:*", "finops:keyhash:*", "finops:keys"])


async def test_a_key_identifies_its_caller_with_all_limits(keys: VirtualKeyStore, ring: VirtualKeyCache) -> None:
    settings = {
        "team": "search", "customer": "acme", "models": ["openai/*"], "denied_models": ["openai/gpt-5*"], "weight": 2,
        "providers": ["openai"], "fallbacks": ["openai/gpt-4o"], "max_concurrent_jobs": 3, "dimensions": {"app": "x"},
        "budget": {"limit_usd": 1.5}, "rate_limits": [{"requests": 6, "window": "rolling:1h"}],
    }  # fmt: skip
    key, value = await keys.create("a", settings)
    caller = await Authenticator(SETTINGS, ring=ring).identify({b"authorization": b"Bearer " + value.encode()})
    assert (caller.key_id, caller.name, caller.weight, caller.max_concurrent_jobs) == (key.id, "a", 2.0, 3)
    assert caller.dimensions == (("app", "x"),)
    assert set(caller.limits) == {
        Limit("cost", f"key:{key.id}", "1d", 1_500_000),
        Limit("requests", f"key:{key.id}", "rolling:1h", 6),
        Limit("cost", "team:search", "1M", 5_000_000),
        Limit("requests", "customer:acme", "1m", 9),
        Limit("tokens", "customer:acme", "1m", 99),
    }
    caller.authorise("openai", "gpt-4o")
    with pytest.raises(ModelBlocked, match=r"may use openai/\*, but not openai/gpt-5\*"):
        caller.authorise("openai", "gpt-5-mini")
    with pytest.raises(ProviderBlocked, match="it may use openai"):
        caller.authorise("anthropic", "claude")
    assert await Authenticator(SETTINGS, ring=ring).owner(key.id) == caller


async def test_a_configured_key_has_its_teams_limits_too() -> None:
    caller = await Authenticator(SETTINGS).identify({b"x-bf-vk": b"sk-bf-configured-0123456789"})
    assert caller.limits == (Limit("cost", "team:search", "1M", 5_000_000),)


async def test_an_unknown_value_is_looked_up_once(
    keys: VirtualKeyStore, ring: VirtualKeyCache, store: MultiplexedClient
) -> None:
    governance = Authenticator(SETTINGS, ring=ring)
    with pytest.raises(VirtualKeyNotFound):
        await governance.identify({b"x-bf-vk": b"sk-bf-nobody"})
    gets = await _calls(store, b"get")
    with pytest.raises(VirtualKeyNotFound):
        await governance.identify({b"x-bf-vk": b"sk-bf-nobody"})
    assert await _calls(store, b"get") - gets <= 1


async def _calls(store: MultiplexedClient, name: bytes) -> int:
    stats = await store.execute("INFO", "commandstats")
    lines = [line for line in stats.split(b"\r\n") if line.startswith(b"cmdstat_" + name + b":")]
    return int(lines[0].split(b"calls=")[1].split(b",")[0]) if lines else 0


async def test_a_revoked_key_is_refused_by_every_process_within_a_second(
    keys: VirtualKeyStore, redis_url: str, store: MultiplexedClient
) -> None:
    rings = [VirtualKeyCache(store, SETTINGS, lambda: connect(redis_url, timeout_s=None)) for _ in range(3)]
    governances = [Authenticator(SETTINGS, ring=ring) for ring in rings]
    key, value = await keys.create("a", {})
    headers = {b"x-bf-vk": value.encode()}
    for governance in governances:
        assert (await governance.identify(headers)).key_id == key.id
    await keys.revoke(key.id)

    async def refused(governance: Authenticator) -> bool:
        try:
            await governance.identify(headers)
        except VirtualKeyBlocked:
            return True
        return False

    for governance in governances:
        await wait_until(lambda governance=governance: refused(governance))
        await governance.aclose()
    assert (await keys.get(key.id)).status == "revoked"
    assert await keys.revoke(key.id) == await keys.get(key.id)


async def test_the_old_value_works_through_the_grace_period_alone(
    keys: VirtualKeyStore, store: MultiplexedClient
) -> None:
    ring = VirtualKeyCache(store, SETTINGS, clock=_Clock())
    key, first = await keys.create("a", {})
    _, second = await keys.rotate(key.id, grace_s=60)
    for value in (first, second):
        assert (await ring.by_value(value.encode())) is not None
    names = [name.decode() for name in await store.execute("KEYS", "finops:keyhash:*")]
    assert sorted([await store.execute("TTL", name) for name in names]) == [-1, 60]
    _, third = await keys.rotate(key.id)
    assert [await ring.by_value(value.encode()) is not None for value in (first, second, third)] == [False, False, True]
    with pytest.raises(InvalidRequest, match="grace_s"):
        await keys.rotate(key.id, grace_s=-1)


class _Clock:
    """A clock on which every look is two seconds later: nothing stays fresh."""

    def __init__(self, step: float = 2.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


async def test_a_key_expires(keys: VirtualKeyStore, ring: VirtualKeyCache) -> None:
    soon = datetime.now(UTC) - timedelta(seconds=1)
    key, value = await keys.create("a", {"expires_at": soon.isoformat()})
    assert key.status == "expired"
    with pytest.raises(VirtualKeyBlocked, match="expired"):
        await Authenticator(SETTINGS, ring=ring).identify({b"x-bf-vk": value.encode()})


async def test_a_change_replaces_only_the_given_settings(keys: VirtualKeyStore, ring: VirtualKeyCache) -> None:
    key, _ = await keys.create("a", {"budget": {"limit_usd": 1}, "team": "search"})
    changed = await keys.change(key.id, {"budgets": [{"limit_usd": 2}, {"limit_usd": 9, "window": "1M"}]})
    assert [budget.limit_usd for budget in changed.settings.all_budgets] == [2, 9]
    assert changed.settings.team == "search"
    assert (await keys.get(key.id)).to_dict() == changed.to_dict()
    with pytest.raises(InvalidRequest, match="colour: unknown key; known here: budget"):
        await keys.change(key.id, {"colour": "red"})
    with pytest.raises(InvalidRequest, match="window"):
        await keys.change(key.id, {"budget": {"limit_usd": 1, "window": "2d"}})


async def test_keys_are_listed_page_by_page_with_the_configured_ones(keys: VirtualKeyStore) -> None:
    made = [(await keys.create(f"k{at}", {}))[0].id for at in range(3)]
    page, more = await keys.list(limit=2)
    assert [key.id for key in page] == ["fixed", made[0]]
    assert more
    rest, more = await keys.list(after=made[0])
    assert [key.id for key in rest] == made[1:]
    assert not more
    assert page[0].to_dict()["configured"]
    assert page[0].to_dict()["hint"] == "6789"
    with pytest.raises(KeyNotFound):
        await keys.list(after="vk_gone")
    with pytest.raises(KeyNotFound):
        await keys.get("vk_gone")
    with pytest.raises(InvalidRequest, match=r"finops\.toml"):
        await keys.revoke("fixed")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("", {}),
        ("a\nb", {}),
        ("a", {"value": "sk-bf-mine"}),
        ("a", {"weight": -1}),
        ("a", {"dimensions": {"Not A Name": "x"}}),
    ],
)
async def test_invalid_keys_are_refused(keys: VirtualKeyStore, name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        await keys.create(name, settings)


async def test_cached_keys_stay_valid_for_a_while_without_a_store(keys: VirtualKeyStore, redis_url: str) -> None:
    store = MultiplexedClient(redis_url)
    clock = _Clock()
    ring = VirtualKeyCache(store, SETTINGS, clock=clock)
    key, value = await keys.create("a", {})
    await ring.by_value(value.encode())
    await store.aclose()
    known = await ring.by_value(value.encode())
    assert known is not None
    assert known.key_id == key.id
    with pytest.raises(StoreUnavailable):
        await ring.by_value(b"sk-bf-stranger")
    clock.now += GRACE_S
    with pytest.raises(StoreUnavailable):
        await ring.by_value(value.encode())
    with pytest.raises(StoreUnavailable):
        await ring.any()
    with pytest.raises(StoreUnavailable):
        await VirtualKeyStore(store, SETTINGS).list()
    with pytest.raises(StoreUnavailable):
        await VirtualKeyStore(store, SETTINGS).create("b", {})


async def test_the_subscription_is_restored(
    keys: VirtualKeyStore, ring: VirtualKeyCache, store: MultiplexedClient
) -> None:
    key, value = await keys.create("a", {})
    assert await ring.by_value(value.encode())
    await wait_until(lambda: _subscribers(store))
    await store.execute("CLIENT", "KILL", "TYPE", "pubsub")
    await keys.revoke(key.id)

    async def knows() -> bool:
        caller = await ring.by_value(value.encode())
        return caller is not None and caller.revoked

    await wait_until(knows)
    await wait_until(lambda: _subscribers(store))


async def _subscribers(store: MultiplexedClient) -> int:
    return int((await store.execute("PUBSUB", "NUMSUB", "finops:keys:changed"))[1])


async def test_one_tenant_or_several(keys: VirtualKeyStore, store: MultiplexedClient) -> None:
    governance = Authenticator(Settings(), ring=VirtualKeyCache(store, Settings()))
    assert await governance.serves_one_tenant()
    await keys.create("a", {})
    assert not await governance.serves_one_tenant()
    assert await Authenticator(Settings()).serves_one_tenant()


def test_keys_of_an_earlier_version_stay_readable() -> None:
    stored = b'{"v":1,"id":"vk_1","name":"a","hint":"abcd","created_at":1.5,"new_field":1,"settings":{"team":"t"}}'
    key = VirtualKey.from_json(stored)
    assert (key.id, key.settings.team, key.created_at) == ("vk_1", "t", 1.5)
    assert VirtualKey.from_json(key.to_json()) == key
    assert "value" not in orjson.loads(key.to_json())["settings"]


async def test_concurrent_changes_do_not_undo_each_other(
    keys: VirtualKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = await keys.create("a", {})
    plain = keys._stored

    async def stored(key_id: str) -> bytes:
        found = await plain(key_id)
        monkeypatch.setattr(keys, "_stored", plain)
        await keys.revoke(key_id)  # another administrator, between our reading and our writing
        return found

    monkeypatch.setattr(keys, "_stored", stored)
    with pytest.raises(KeyRevoked):
        await keys.change(key.id, {"weight": 2})
    assert (await keys.get(key.id)).status == "revoked"


async def test_a_cached_old_value_ends_with_its_grace_period(keys: VirtualKeyStore, ring: VirtualKeyCache) -> None:
    key, first = await keys.create("a", {})
    await keys.rotate(key.id, grace_s=1)
    assert await ring.by_value(first.encode())
    await wait_until(lambda: _unknown(ring, first))


async def _unknown(ring: VirtualKeyCache, value: str) -> bool:
    return await ring.by_value(value.encode()) is None


class _SetClock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_key_in_use_outlives_its_lookup(keys: VirtualKeyStore, redis_url: str) -> None:
    store, clock = MultiplexedClient(redis_url), _SetClock()
    ring = VirtualKeyCache(store, SETTINGS, lambda: connect(redis_url, timeout_s=None), clock=clock)
    key, value = await keys.create("a", {})

    await ring.by_value(value.encode())
    await wait_until(lambda: ring._heard == clock.now)
    await ring.by_value(value.encode())
    clock.now = 10 * GRACE_S
    await wait_until(lambda: ring._heard == clock.now)  # nothing changed, says the subscription
    await store.aclose()
    clock.now += GRACE_S / 2
    assert (await ring.by_value(value.encode())).key_id == key.id  # type: ignore[union-attr]
    await ring.aclose()


async def test_a_deleted_key_is_forgotten_with_all_its_values(
    keys: VirtualKeyStore, ring: VirtualKeyCache, redis: Any
) -> None:
    key, first = await keys.create("a", {})
    _, second = await keys.rotate(key.id, grace_s=60)
    await keys.delete(key.id)
    assert await redis.keys("finops:key*") == [b"finops:keys:deleted"]
    assert [await ring.by_value(value.encode()) for value in (first, second)] == [None, None]
    with pytest.raises(KeyNotFound):
        await keys.delete(key.id)
    assert (await Authenticator(SETTINGS, ring=ring).owner(key.id)).revoked
    assert not (await Authenticator(SETTINGS, ring=ring).owner("once-configured")).revoked


async def test_keys_are_filtered(keys: VirtualKeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.governance.keys.store._READ_AT_ONCE", 2)
    made = [(await keys.create("k", {"team": "a" if at % 2 else "b"}))[0].id for at in range(5)]
    found, more = await keys.list(only=KeyFilter(team="a"))
    assert ([key.id for key in found], more) == ([made[1], made[3]], False)
    page, more = await keys.list(only=KeyFilter(team="b"), after=made[0], limit=1)
    assert ([key.id for key in page], more) == ([made[2]], True)


_UNVALUED = Settings.model_validate({"virtual_keys": {"made": {}}})


async def test_a_store_that_refuses_is_unavailable(keys: VirtualKeyStore, redis: Any) -> None:
    key, _ = await keys.create("a", {})
    await redis.set(f"finops:key:{key.id}:values", "in the way")
    with pytest.raises(StoreUnavailable):
        await keys.rotate(key.id)
    await redis.set("finops:keys", "in the way")
    with pytest.raises(StoreUnavailable):
        await keys.create("b", {})
    closed = MultiplexedClient("redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable):
        await VirtualKeyStore(closed, _UNVALUED).make_missing()
    await closed.aclose()


async def test_unknown_values_do_not_fill_the_cache(ring: VirtualKeyCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.governance.keys.cache.REMEMBERED", 2)
    for at in range(5):
        assert await ring.by_value(b"sk-bf-%d" % at) is None
    assert len(ring._known) == 2


async def test_a_key_deleted_while_listing_is_left_out(keys: VirtualKeyStore, redis: Any) -> None:
    gone, stays = [(await keys.create(name, {}))[0].id for name in "ab"]
    await redis.delete(f"finops:key:{gone}")
    assert [key.id for key in (await keys.list())[0]] == ["fixed", stays]


async def test_closing_without_a_cache() -> None:
    await Authenticator(Settings()).aclose()

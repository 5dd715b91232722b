"""`auth.require_virtual_key = "auto"`: calls without a key are refused from the first virtual key on."""

from tests.api.admin.administering import ADMIN
from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, Gateway, Start
from tests.waiting import wait_until

AUTO = {"admin_key": ADMIN_KEY}


async def status(gateway: Gateway, **headers: str) -> int:
    return (await gateway.post("/v1/chat/completions", CHAT, headers=headers)).status_code


async def create(gateway: Gateway) -> str:
    answer = await gateway.post("/api/keys", {"name": "a"}, headers=ADMIN)
    assert answer.status_code == 201
    return answer.json()["id"]


async def test_the_first_key_closes_the_gateway_and_its_revocation_opens_nothing(start: Start):
    gateway, other = await start(auth=AUTO), await start(auth=AUTO)
    assert await status(gateway) == 200
    key = await create(gateway)
    assert await status(gateway) == 401
    await wait_until(lambda: other.services.governance.requires_key)
    assert await status(other, authorization="Bearer sk-anything") == 401
    assert (await gateway.post(f"/api/keys/{key}/revoke", headers=ADMIN)).status_code == 200
    await gateway.services.governance.keys_changed()
    assert await status(gateway) == 401


async def test_deleting_the_last_key_opens_nothing_not_even_for_the_next_process(start: Start):
    gateway = await start(auth=AUTO)
    key = await create(gateway)
    assert await status(gateway) == 401
    assert (await gateway.http.delete(f"/api/keys/{key}", headers=ADMIN)).status_code == 200
    assert await status(gateway) == 401
    assert await status(await start(auth=AUTO)) == 401
    assert (await gateway.http.delete("/api/keys/vk_unknown", headers=ADMIN)).status_code == 404


async def test_deleting_a_key_that_never_was_closes_nothing(start: Start):
    gateway = await start(auth=AUTO)
    assert (await gateway.http.delete("/api/keys/vk_unknown", headers=ADMIN)).status_code == 404
    assert await status(gateway) == 200


async def test_a_configured_key_closes_the_gateway(start: Start):
    gateway = await start(auth=AUTO, virtual_keys={"a": {"value": KEY_A}})
    assert [await status(gateway), await status(gateway, authorization=f"Bearer {KEY_A}")] == [401, 200]


async def test_false_leaves_it_open_whatever_exists(tenants: Gateway):
    await create(tenants)
    assert await status(tenants) == 200


async def test_without_a_store_nothing_is_known_and_calls_are_served(start: Start):
    gateway = await start(auth=AUTO, redis_url="redis://127.0.0.1:9/0")
    assert await status(gateway) == 200

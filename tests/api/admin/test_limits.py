"""``GET /api/limits``: the limits of all active keys, closest to its end first."""

from typing import Any

from tests.api.admin.administering import ADMIN, make
from tests.api.conftest import CHAT, Gateway, Start


async def limits(gateway: Gateway, query: str = "") -> Any:
    gateway.services.shared_answers.forget()
    answer = await gateway.http.get(f"/api/limits{query}", headers=ADMIN)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_limits_of_all_keys_are_listed_closest_to_its_end_first(start: Start) -> None:
    gateway = await start(
        prices={"sim/*": {"input": 1, "output": 1}},
        teams={"search": {"rate_limit": {"requests": 1000, "window": "1d"}}},
    )
    assert (await limits(gateway))["data"] == []
    one = await make(gateway, name="one", team="search", budget={"limit_usd": 5, "window": "1d"})
    two = await make(gateway, name="two", team="search", rate_limit={"requests": 4, "window": "1d"})
    revoked = await make(gateway, name="old", rate_limit={"requests": 1, "window": "1d"})
    await gateway.post(f"/api/keys/{revoked['id']}/revoke", headers=ADMIN)
    for key in (one, two):
        await gateway.post("/openai/chat/completions", CHAT, headers={"x-bf-vk": key["value"]})
    found = await limits(gateway)
    rows = [(row["key"], row.get("key_name"), row["of"], row["kind"], row["used"]) for row in found["data"][:2]]
    assert rows == [(two["id"], "two", "key", "requests", 1), (None, None, "team", "requests", 2)]
    budget = found["data"][2]
    assert (budget["key_name"], budget["limit_usd"]) == ("one", 5)
    assert budget["used_usd"] > 0
    assert budget["forecast"]["rate_usd_per_hour"] > 0
    assert found["has_more"] is False
    first = await limits(gateway, "?limit=1")
    assert [row["key"] for row in first["data"]] == [two["id"]]
    assert first["has_more"] is True


async def test_the_list_is_read_once_however_many_ask(gateway: Gateway) -> None:
    await limits(gateway)
    await make(gateway, rate_limit={"requests": 4, "window": "1d"})
    gateway.services.shared_answers._now = lambda: 0.0  # as if no time passed
    gateway.services.shared_answers.forget()
    assert len((await gateway.http.get("/api/limits", headers=ADMIN)).json()["data"]) == 1
    await make(gateway, rate_limit={"requests": 4, "window": "1d"})
    assert len((await gateway.http.get("/api/limits", headers=ADMIN)).json()["data"]) == 1
    assert len((await limits(gateway))["data"]) == 2


async def test_only_administrators_list_limits(gateway: Gateway) -> None:
    assert (await gateway.http.get("/api/limits")).status_code == 401
    assert (await gateway.http.get("/api/limits?limit=0", headers=ADMIN)).status_code == 400

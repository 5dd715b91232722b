"""Temporary raises of budgets (contract 9 and 15)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from shared.errors import BudgetExceeded
from shared.governance.limits.guard import LimitGuard
from shared.governance.limits.model import Limit
from shared.governance.limits.raises import Raise, Raises
from shared.store.multiplexed import MultiplexedClient
from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, Gateway, Start

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
TODAY = datetime.now(UTC)
TOMORROW = (TODAY + timedelta(days=1)).isoformat()
KEY_BUDGET = "budget:key:a:1d"
RAISE = {"limit": KEY_BUDGET, "amount_usd": 5, "until": TOMORROW, "reason": "release night"}


@pytest.fixture
async def gateway(start: Start) -> Gateway:
    tiny = {"limit_usd": 0.000001}
    return await start(
        prices={"sim/*": {"input": 1, "output": 10}},
        teams={"red": {"budget": {**tiny, "window": "1M"}}},
        virtual_keys={"a": {"value": KEY_A, "team": "red", "budget": tiny, "rate_limit": {"requests": 100}}, "b": {}},
    )


async def ask(gateway: Gateway) -> httpx.Response:
    return await gateway.post("/v1/chat/completions", CHAT, headers={"x-bf-vk": KEY_A})


async def raised(gateway: Gateway, **changes: Any) -> httpx.Response:
    return await gateway.post("/api/keys/a/limits/raise", {**RAISE, **changes}, headers=ADMIN)


async def test_a_raised_budget_lets_calls_pass_and_is_audited(gateway: Gateway) -> None:
    assert (await ask(gateway)).status_code == 200
    assert "key:a" in (await ask(gateway)).json()["error"]["message"]
    answer = await raised(gateway)
    assert answer.status_code == 200, answer.text
    assert answer.json()["limit_usd"] == 5.000001
    assert answer.json()["raise"] | {"until": ""} == {"amount_usd": 5.0, "reason": "release night", "until": ""}
    assert "budget of team:red" in (await ask(gateway)).json()["error"]["message"], "the team's own is not raised"
    assert (await raised(gateway, limit="budget:team:red:1M")).status_code == 200
    assert (await ask(gateway)).status_code == 200
    rows = (await gateway.http.get("/api/keys/a/limits", headers=ADMIN)).json()["data"]
    found = {row["id"]: row for row in rows}
    assert found[KEY_BUDGET]["raise"]["amount_usd"] == 5
    assert found[KEY_BUDGET]["left_usd"] > 4
    assert "raise" not in found["requests:key:a:1m"]
    (entry, _) = (await gateway.http.get("/api/audit", headers=ADMIN)).json()["data"]
    assert (entry["target"], entry["detail"]["reason"], entry["detail"]["amount_usd"]) == ("a", "release night", 5)


async def test_a_second_raise_replaces_the_first(gateway: Gateway) -> None:
    for amount, limit in ((5, 5.000001), (1, 1.000001)):
        assert (await raised(gateway, amount_usd=amount)).json()["limit_usd"] == limit


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"limit": "requests:key:a:1m"}, "limit"),
        ({"limit": "budget:key:other:1d"}, "limit"),
        ({"limit": 7}, "limit"),
        ({"amount_usd": 0}, "amount_usd"),
        ({"amount_usd": -1}, "amount_usd"),
        ({"amount_usd": 1e10}, "amount_usd"),
        ({"amount_usd": "much"}, "amount_usd"),
        ({"until": "soon"}, "until"),
        ({"until": "2020-01-01T00:00:00Z"}, "until"),
        ({"until": "2020-01-01T00:00:00"}, "until"),
        ({"until": (TODAY + timedelta(days=400)).isoformat()}, "until"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"more": 1}, "more"),
    ],
)
async def test_a_wrong_raise_is_refused(gateway: Gateway, changes: dict[str, Any], param: str) -> None:
    refused = await raised(gateway, **changes)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param), refused.text


async def test_only_administrators_raise_limits_of_keys_that_exist(gateway: Gateway) -> None:
    path = "/api/keys/a/limits/raise"
    assert (await gateway.post(path, RAISE, headers={"x-bf-vk": KEY_A})).status_code == 401
    assert (await gateway.post("/api/keys/nobody/limits/raise", RAISE, headers=ADMIN)).status_code == 404
    refused = await gateway.post("/api/keys/b/limits/raise", RAISE, headers=ADMIN)
    assert (refused.status_code, "it has no budget" in refused.text) == (400, True)


@pytest.mark.parametrize("window", ["1d", "rolling:1d"])
async def test_a_raise_is_over_by_itself(redis_url: str, window: str) -> None:
    store = MultiplexedClient(redis_url)
    guard, raises = LimitGuard(store), Raises(store)
    limit = Limit("cost", "key:a", window, 0)
    now = round(datetime.now(UTC).timestamp() * 1000)
    until = now + 3_600_000
    assert await raises.add(Limit("cost", "key:b", window, 1), Raise(1, until - 60_000, "other"))
    assert await raises.add(limit, Raise(100, until, "why not"))
    assert not await raises.add(limit, Raise(100, now - 60_000, "late"))
    await guard.admit("1", (limit,), cost=50, tokens=0, clock=str(now))
    await guard.admit("2", (limit,), cost=50, tokens=0, clock=str(now))
    with pytest.raises(BudgetExceeded, match=r"of \$0,"):
        await guard.admit("3", (limit,), cost=50, tokens=0, clock=str(until))
    found = Raise(100, until, "why not")
    assert await raises.of((limit,), now) == [found]
    assert await raises.of((limit,), until) == [None]
    assert 0 < await store.execute("PTTL", "finops:raises") <= 3_600_000
    await store.execute("HSET", "finops:raises", "budget:key:c:1d", f"1 {now - 1} over")
    assert await raises.add(limit, found)
    assert await store.execute("HLEN", "finops:raises") == 2
    await guard.aclose()
    await store.aclose()

"""Limits of every value of a dimension and of every end user (contract 9 and 15)."""

from typing import Any

import httpx
import pytest

from api.http.dimensions import dimensions_of
from shared.errors import BudgetExceeded, InvalidRequest
from shared.governance.keys.caller import Caller
from shared.governance.limits.each import EachLimits
from shared.governance.limits.guard import LimitGuard
from shared.settings.limits import EachSettings, Limited
from shared.settings.model import Settings
from shared.store.multiplexed import MultiplexedClient
from tests.api.conftest import CHAT, KEY_A, KEY_B, Gateway, Start

PRICES = {"sim/*": {"input": 1, "output": 10}}
SPENT_AT_ONCE = {"each": {"budget": {"limit_usd": 0.000001}}}
CHAT_PATH = "/v1/chat/completions"


@pytest.fixture
async def gateway(start: Start) -> Gateway:
    return await start(
        prices=PRICES,
        virtual_keys={"a": {"value": KEY_A}, "b": {"value": KEY_B, "dimensions": {"customer": "acme"}}},
        limits={
            "dimension:customer": SPENT_AT_ONCE,
            "dimension:app": {"each": {"rate_limit": {"requests": 1, "window": "1d"}}},
            "user": {"each": {"rate_limit": {"requests": 1, "window": "rolling:1d"}}},
        },
    )


async def ask(gateway: Gateway, body: dict[str, Any] | None = None, key: str = KEY_A, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await gateway.post(CHAT_PATH, {**CHAT, **(body or {})}, headers={"x-bf-vk": key, **named})


async def test_every_customer_has_a_budget_of_its_own(gateway: Gateway) -> None:
    assert (await ask(gateway, x_bf_dim_customer="acme")).status_code == 200
    refused = await ask(gateway, x_bf_dim_customer="acme")
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded")
    assert "budget of dimension:customer:acme for this day (UTC)" in refused.json()["error"]["message"]
    assert (await ask(gateway, x_bf_dim_customer="globex")).status_code == 200
    assert (await ask(gateway)).status_code == 200, "a call without the dimension has no such limit"
    assert (await ask(gateway, key=KEY_B)).status_code == 402, "a key's own dimension counts"


async def test_a_job_that_runs_again_meets_its_customers_limit(gateway: Gateway) -> None:
    body = {"model": "sim/gpt@status=500"}
    submitted = await ask(gateway, body, x_bf_dim_customer="acme", x_bf_async="true")
    await gateway.worker.work_off()
    assert (await ask(gateway, x_bf_dim_customer="acme")).status_code == 200
    retry = f"/v1/async/jobs/{submitted.headers['x-bf-async-id']}/retry"
    assert (await gateway.post(retry, headers={"x-bf-vk": KEY_A})).status_code == 402


async def test_every_end_user_has_a_limit_of_its_own(gateway: Gateway) -> None:
    assert (await ask(gateway, {"user": "ann"})).status_code == 200
    refused = await ask(gateway, {"user": "ann"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "request_limited")
    assert "limit of requests of user:ann for the last 1 day" in refused.json()["error"]["message"]
    named = {"user": "ann", "safety_identifier": "bob"}
    assert [(await ask(gateway, named)).status_code for _ in range(2)] == [200, 429], "the identifier counts first"


async def test_what_is_forwarded_unread_meets_the_limits_of_its_dimensions(gateway: Gateway) -> None:
    mine = {"x-bf-vk": KEY_A, "x-bf-dim-app": "search", "x-bf-provider": "sim"}
    first = await gateway.post("/v1/threads/runs", {}, headers=mine)
    assert first.status_code == 404, first.text
    assert (await gateway.post("/v1/threads/runs", {}, headers=mine)).status_code == 429


async def test_a_header_cannot_override_a_dimension_that_the_key_fixes(gateway: Gateway) -> None:
    refused = await ask(gateway, key=KEY_B, x_bf_dim_customer="globex")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "dimension_fixed", "x-bf-dim-customer")
    for path, sent in (("/v1/threads/runs", {}), ("/v1/async/chat/completions", CHAT)):
        mine = {"x-bf-vk": KEY_B, "x-bf-dim-customer": "globex", "x-bf-provider": "sim"}
        assert (await gateway.post(path, sent, headers=mine)).json()["error"]["code"] == "dimension_fixed"
    assert (await ask(gateway, key=KEY_B, x_bf_dim_customer="acme")).status_code == 200, (
        "the same value overrides nothing"
    )


def test_dimensions_of_headers_are_checked_against_the_keys() -> None:
    fixed = Caller(dimensions=(("app", "x"),))
    assert dimensions_of({b"x-bf-dim-team": b"t"}, fixed) == {"team": "t"}
    with pytest.raises(InvalidRequest):
        dimensions_of({b"x-bf-dim-app": b"y"}, fixed)


@pytest.mark.parametrize(
    ("fields", "scope"),
    [
        ({}, None),
        ({"user": ""}, None),
        ({"user": None, "safety_identifier": None}, None),
        ({"user": "ann"}, "user:ann"),
        ({"user": 7}, "user:7"),
        ({"user": {"a": 1}}, 'user:{"a":1}'),
        ({"user": "x" * 101}, "user:#"),
        ({"user": "a\nb"}, "user:#"),
        ({"user": "\ud800"}, "user:#"),
    ],
)
def test_any_end_user_makes_a_short_printable_scope(fields: dict[str, Any], scope: str | None) -> None:
    each = EachLimits({"user": EachSettings(each=Limited.model_validate({"budget": {"limit_usd": 1}}))})
    found = each.of((), {"customer": "acme"}, fields)
    assert len(found) == (scope is not None)
    for limit in found:
        assert limit.scope.startswith(str(scope))
        assert limit.scope.isprintable()
        assert len(limit.scope) < 120


@pytest.mark.parametrize("name", ["key", "dimension:", "dimension:A", "dimension", "users"])
def test_a_limit_of_something_else_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be user or dimension:<name>"):
        Settings.model_validate({"limits": {name: SPENT_AT_ONCE}})


@pytest.mark.parametrize("window", ["1d", "rolling:1d"])
async def test_past_100_000_values_new_ones_share_a_meter(redis_url: str, window: str) -> None:
    table = EachSettings.model_validate({"each": {"budget": {"limit_usd": 0.000001, "window": window}}})
    each = EachLimits({"dimension:customer": table})
    store = MultiplexedClient(redis_url)
    guard = LimitGuard(store)

    async def admit(reservation: str, customer: str) -> None:
        await guard.admit(reservation, each.of((), {"customer": customer}, {}), cost=1, tokens=0)

    await admit("1", "first")
    (values,) = await store.execute("KEYS", "finops:values:*")
    assert await store.execute("GET", values) == b"1"
    assert await store.execute("PTTL", values) > 0
    await store.execute("SET", values, "100000", "KEEPTTL")
    await admit("2", "second")
    for number, customer in enumerate(("first", "second", "third")):
        with pytest.raises(BudgetExceeded):
            await admit(f"again {number}", customer)
    assert len(await store.execute("KEYS", "finops:meter:*")) == 2
    assert await store.execute("GET", values) == b"100000"
    await guard.aclose()
    await store.aclose()

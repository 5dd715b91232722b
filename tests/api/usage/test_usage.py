"""What FinOps teams ask for: usage, calls, files of both, forecasts; and what a key may see of it."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from shared.governance.ledger.focus import NAMES
from tests.api.conftest import CHAT, KEY_A, KEY_B, Gateway, Start

ADMIN = {"authorization": "Bearer test-admin-key-0123456789"}
OWN = {"x-bf-vk": KEY_A}
OTHER = {"x-bf-vk": KEY_B}
TODAY = datetime.now(UTC)
LAST_WEEK, TOMORROW = TODAY - timedelta(days=7), TODAY + timedelta(days=1)


@pytest.fixture
async def busy(start: Start) -> Gateway:
    """A gateway on which two teams have made calls: priced, unpriced, failed."""
    gateway = await start(
        virtual_keys={
            "team-a": {
                "value": KEY_A,
                "team": "search",
                "customer": "acme",
                "budget": {"limit_usd": 50, "window": "1d"},
            },
            "team-b": {"value": KEY_B, "team": "ads", "dimensions": {"app": "=cmd()"}},
        },
        prices={"sim/gpt*": {"input": 1000, "output": 1000}},
        teams={"search": {"budget": {"limit_usd": 100, "window": "rolling:1d"}}},
        ledger={"unpriced": "allow"},
    )
    for headers, model, status in (
        (OWN, "sim/gpt-4o", 200),
        (OWN, "sim/mystery", 200),
        (OTHER, "sim/gpt-4o", 200),
        (OTHER, "sim/gpt@status=500", 500),
    ):
        answer = await gateway.post("/v1/chat/completions", {**CHAT, "model": model}, headers=headers)
        assert answer.status_code == status, answer.text
    await booked(gateway)
    return gateway


async def booked(gateway: Gateway) -> None:
    billing = gateway.services.inference._billing
    assert billing
    await billing.ledger.flush()


async def asked(gateway: Gateway, path: str, headers: dict[str, str] | None = None, **params: Any) -> Any:
    answer = await gateway.http.get(path, params=params, headers=headers or ADMIN)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_usage_by_team(busy: Gateway):
    usage = await asked(busy, "/api/usage", group_by="team")
    assert (usage["per"], usage["group_by"]) == ("day", ["team"])
    rows = {row["team"]: row for row in usage["data"]}
    assert rows.keys() == {"search", "ads"}
    assert (rows["search"]["calls"], rows["search"]["unpriced_calls"], rows["search"]["errors"]) == (2, 1, 0)
    assert (rows["ads"]["calls"], rows["ads"]["errors"]) == (2, 1)
    assert rows["search"]["cost_usd"] > 0
    assert rows["search"]["period"] in {f"{day:%Y-%m-%d}" for day in (TODAY, TOMORROW)}
    assert usage["total"]["calls"] == 4
    assert usage["total"]["cost_usd"] == pytest.approx(sum(row["cost_usd"] for row in usage["data"]))
    assert usage["from"].endswith("T00:00:00Z")
    assert usage["to"] > f"{TODAY:%Y-%m-%dT%H:%M:%SZ}"


async def test_models_without_a_price_are_named(busy: Gateway):
    usage = await asked(busy, "/api/usage", per="total")
    assert usage["unpriced"] == [{"provider": "sim", "model": "mystery", "calls": 1}]
    assert (await asked(busy, "/api/usage", team="ads"))["unpriced"] == []
    (call,) = (await asked(busy, "/api/logs", model="mystery"))["data"]
    assert (call["cost_usd"], call["priced"]) == (None, False)


@pytest.mark.parametrize(
    ("params", "calls"),
    [
        ({"group_by": "key", "per": "hour"}, {("team-a",): 2, ("team-b",): 2}),
        ({"group_by": "provider,model", "model": "sim/gpt-4o", "per": "month"}, {("sim", "gpt-4o"): 2}),
        ({"group_by": "request_type", "per": "total"}, {("chat.completions",): 4}),
        ({"group_by": "type", "per": "total"}, {("chat.completions",): 4}),
        ({"group_by": ["team", "customer"], "key": "team-a"}, {("search", "acme"): 2}),
        ({"group_by": "dimension:app"}, {("",): 2, ("=cmd()",): 2}),
        ({"group_by": "team", "dimension:app": "=cmd()"}, {("ads",): 2}),
        ({"group_by": "team", "from": f"{LAST_WEEK:%Y-%m-%d}", "to": f"{LAST_WEEK:%Y-%m-%d}"}, {}),
        ({"group_by": "team", "from": f"{LAST_WEEK:%Y-%m-%dT%H:%M:%S+02:00}", "key": "team-b"}, {("ads",): 2}),
        ({"group_by": "team", "from": f"{TODAY:%Y-%m-%d}", "to": f"{TOMORROW:%Y-%m-%d}", "team": "ads"}, {("ads",): 2}),
    ],
)  # fmt: skip
async def test_groups_periods_and_filters(busy: Gateway, params: dict[str, Any], calls: dict[tuple[str, ...], int]):
    usage = await asked(busy, "/api/usage", **params)
    assert {tuple(row[name] for name in usage["group_by"]): row["calls"] for row in usage["data"]} == calls


@pytest.mark.parametrize("path", ["/api/usage", "/api/usage/export", "/api/logs", "/api/logs/export"])
@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-13-01"}, "to"),
        ({"to": "0001-01-01"}, "to"),
        ({"from": "9999-12-31", "to": "9999-12-31T00:00:00+99:00"}, "to"),
        ({"to": "9999-12-31"}, "to"),
        ({"from": "2026-02-01", "to": "2026-01-01"}, "to"),
        ({"teem": "search"}, "teem"),
        ({"team": "x" * 300}, "team"),
        ({"dimension:": "x"}, "dimension:"),
    ],
)
async def test_what_makes_no_sense_is_a_400_that_names_it(
    gateway: Gateway, path: str, params: dict[str, str], param: str
):
    answer = await gateway.http.get(path, params=params, headers=ADMIN)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/api/usage?per=year", "per"),
        ("/api/usage?group_by=colour", "group_by"),
        ("/api/usage?group_by=dimension:", "group_by"),
        ("/api/usage?group_by=key,team,customer,provider,model,type,dimension:a", "group_by"),
        ("/api/usage?from=2001-01-01", "from"),
        ("/api/usage?per=hour&from=2026-01-01&to=2026-06-01", "from"),
        ("/api/usage/export?format=xml", "format"),
        ("/api/logs?limit=0", "limit"),
        ("/api/logs?limit=1001", "limit"),
        ("/api/logs?cursor=x", "cursor"),
        ("/api/logs?content=please", "content"),
        ("/api/usage/forecast?by=model", "by"),
        ("/api/usage/forecast?limit=x", "limit"),
    ],
)
async def test_other_nonsense(gateway: Gateway, path: str, param: str):
    answer = await gateway.http.get(path, headers=ADMIN)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_calls_newest_first_page_by_page(busy: Gateway):
    first = await asked(busy, "/api/logs", limit=3)
    assert [(call["key"], call["status"]) for call in first["data"]] == [
        ("team-b", 500),
        ("team-b", 200),
        ("team-a", 200),
    ]
    rest = await asked(busy, "/api/logs", limit=3, cursor=first["next_cursor"])
    assert [call["model"] for call in rest["data"]] == ["gpt-4o"]
    assert (rest["has_more"], rest["next_cursor"]) == (False, None)
    (failed,) = (await asked(busy, "/api/logs", status="5xx", key="team-b"))["data"]
    assert failed["code"]
    assert failed["dimensions"] == {"app": "=cmd()"}
    (one,) = (await asked(busy, "/api/logs", request_id=failed["request_id"]))["data"]
    assert one == failed
    assert (await asked(busy, "/api/logs", **{"from": f"{TOMORROW + timedelta(days=1):%Y-%m-%d}", "to": "2200-01-01"}))[
        "data"
    ] == []
    assert KEY_A not in json.dumps(first)


async def test_content_is_returned_only_where_it_is_stored_and_requested(start: Start):
    gateway = await start(log={"content": True})
    await gateway.post("/v1/chat/completions", CHAT)
    await booked(gateway)
    assert "content" not in (await asked(gateway, "/api/logs"))["data"][0]
    assert "hello" in (await asked(gateway, "/api/logs", content="true"))["data"][0]["content"]["request"]
    files = [
        (await gateway.http.get(f"/api/logs/export?format={kind}&content=true", headers=ADMIN)).text
        for kind in ("csv", "jsonl")
    ]
    assert all("hello" in text for text in files)


async def test_a_jobs_call_is_found_by_its_id(tenants: Gateway):
    job_id = await tenants.submit(**OWN)
    await tenants.worker.work_off()
    (call,) = (await asked(tenants, "/api/logs", job=job_id))["data"]
    assert (call["key"], call["job_id"]) == ("team-a", job_id)


@pytest.mark.parametrize("path", ["/api/usage/export", "/api/logs/export"])
async def test_files(busy: Gateway, path: str):
    params = {"group_by": "team,dimension:app"} if "usage" in path else {}
    texts = {}
    for kind, media_type in (("csv", "text/csv"), ("jsonl", "application/x-ndjson"), ("focus", "text/csv")):
        answer = await busy.http.get(path, params={**params, "format": kind}, headers=ADMIN)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(media_type)
        assert answer.headers["content-disposition"].startswith('attachment; filename="finops-')
        texts[kind] = answer.text
    table = list(csv.DictReader(io.StringIO(texts["csv"])))
    lines = [orjson.loads(line) for line in texts["jsonl"].splitlines()]
    charges = list(csv.DictReader(io.StringIO(texts["focus"])))
    assert list(table[0]) == list(lines[0])
    assert len(table) == len(lines)
    assert tuple(charges[0]) == NAMES
    cost = sum(line["cost_usd"] or 0 for line in lines)
    assert sum(float(charge["BilledCost"]) for charge in charges) == pytest.approx(cost)
    assert sum(int(charge["x_Calls"]) for charge in charges) == 4
    assert "'=cmd()" in texts["csv"] or '{""app"":""=cmd()""}' in texts["csv"]


@pytest.mark.parametrize("params", [{}, {"group_by": "key", "per": "total"}])
async def test_a_file_of_nothing_has_its_header(gateway: Gateway, params: dict[str, str]):
    past = {"from": "2026-01-01", "to": "2026-01-02"}
    for path in ("/api/usage/export", "/api/logs/export"):
        parameters = {**past, **(params if "usage" in path else {})}
        lines = (await gateway.http.get(path, params=parameters, headers=ADMIN)).text.splitlines()
        assert len(lines) == 1
        assert "cost_usd" in lines[0]
    assert (
        await gateway.http.get("/api/logs/export", params={**past, "format": "jsonl"}, headers=ADMIN)
    ).content == b""


async def test_a_store_that_is_away_is_an_error_not_half_a_file(start: Start):
    gateway = await start(redis_url="redis://127.0.0.1:9/0")
    for path in ("/api/usage", "/api/usage/export", "/api/logs", "/api/logs/export", "/api/usage/forecast"):
        answer = await gateway.http.get(path, headers=ADMIN)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable"), path


@pytest.mark.parametrize(
    "path", ["/api/usage", "/api/usage/export", "/api/usage/forecast", "/api/logs", "/api/logs/export"]
)
async def test_virtual_keys_stay_outside(busy: Gateway, path: str):
    for headers in ({}, OWN):
        answer = await busy.http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "admin_key_required")


async def test_a_key_sees_its_own_usage_alone(busy: Gateway):
    usage = await asked(busy, "/v1/usage", OWN, group_by="key,team")
    assert {(row["key"], row["team"]) for row in usage["data"]} == {("team-a", "search")}
    assert usage["total"]["calls"] == 2
    assert [model["model"] for model in usage["unpriced"]] == ["mystery"]
    assert (await asked(busy, "/v1/usage", OTHER))["unpriced"] == []
    assert (await asked(busy, "/v1/usage", OWN, key="team-a", team="ads"))["data"] == []
    refused = await busy.http.get("/v1/usage", params={"key": "team-b"}, headers=OWN)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "key")
    for headers in ({}, ADMIN):
        assert (await busy.http.get("/v1/usage", headers=headers)).status_code == 401


async def test_a_key_sees_the_limits_that_bind_it(busy: Gateway):
    answer = await asked(busy, "/v1/limits", OWN)
    assert answer["id"] == "team-a"
    assert [(row["of"], row["of_name"], row["limit_usd"]) for row in answer["data"]] == [
        ("key", "team-a", 50),
        ("team", "search", 100),
    ]
    assert all(row["used_usd"] > 0 for row in answer["data"])
    assert answer["data"][0]["forecast"]["projected_usd"] > 0
    assert (await asked(busy, "/v1/limits", OTHER))["data"] == []
    for headers in ({}, ADMIN):
        assert (await busy.http.get("/v1/limits", headers=headers)).status_code == 401


async def test_forecasts(busy: Gateway):
    page = await asked(busy, "/api/usage/forecast")
    first, second = page["data"]
    assert (first["id"], second["id"], second["budgets"]) == ("team-a", "team-b", [])
    assert first["rate_usd_per_hour"] > 0
    assert first["projected_month_usd"] > first["month_usd"] == first["today_usd"]
    (budget,) = first["budgets"]
    assert (budget["window"], budget["limit_usd"]) == ("1d", 50.0)
    assert budget["used_usd"] == pytest.approx(first["today_usd"])
    assert not first["anomalous"]
    one = await asked(busy, "/api/usage/forecast", limit=1)
    assert (one["has_more"], one["last_id"]) == (True, "team-a")
    assert [row["id"] for row in (await asked(busy, "/api/usage/forecast", after="team-a"))["data"]] == ["team-b"]
    teams = (await asked(busy, "/api/usage/forecast", by="team"))["data"]
    assert [(row["id"], len(row["budgets"])) for row in teams] == [("ads", 0), ("search", 1)]
    assert teams[1]["budgets"][0]["window_ends_at"] is None
    assert [row["id"] for row in (await asked(busy, "/api/usage/forecast", by="customer"))["data"]] == ["acme"]
    assert (await asked(busy, "/api/usage/forecast", by="customer", after="z"))["last_id"] is None


async def test_metrics_count_cost_and_tokens(busy: Gateway):
    text = (await busy.http.get("/metrics")).text
    assert 'finops_cost_usd_total{model="gpt-4o",provider="sim",team="search"}' in text
    assert 'finops_tokens_total{kind="input",model="gpt-4o",provider="sim",team="ads"}' in text
    assert 'finops_unpriced_calls_total{model="mystery",provider="sim"} 1.0' in text


async def test_the_schema_describes_it(gateway: Gateway):
    schema = (await gateway.http.get("/openapi.json")).json()
    usage = schema["paths"]["/api/usage"]["get"]
    assert {"from", "to", "per", "group_by", "team"} <= {parameter["name"] for parameter in usage["parameters"]}
    assert "UsageAnswer" in usage["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    assert "/v1/usage" in schema["paths"]

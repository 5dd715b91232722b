"""Search over HTTP: labels from headers, keys and metadata; every parameter; cursors."""

from typing import Any

import pytest

from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, KEY_B, Gateway, Start

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture
async def teams(start: Start) -> Gateway:
    """Two keys, of two teams and customers; the first fixes a dimension."""
    return await start(
        virtual_keys={
            "team-a": {"value": KEY_A, "team": "search", "customer": "acme", "dimensions": {"app": "web"}},
            "team-b": {"value": KEY_B, "team": "ads"},
        },
    )


async def ids(gateway: Gateway, path: str, key: str, /, **params: Any) -> list[str]:
    headers = {"authorization": f"Bearer {key}"} if key == ADMIN_KEY else {"x-bf-vk": key}
    answer = await gateway.http.get(path, params=params, headers=headers)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["data"]]


async def test_jobs_are_found_by_their_labels(teams: Gateway) -> None:
    body = {**CHAT, "metadata": {"run": "nightly", "n": "7"}}
    first = await teams.submit(body, x_bf_vk=KEY_A, x_bf_dim_step="parse")
    second = await teams.submit(CHAT, x_bf_vk=KEY_A, x_bf_dim_step="embed")
    theirs = await teams.submit({**CHAT, "metadata": {"run": "nightly"}}, x_bf_vk=KEY_B)
    own = "/v1/async/jobs"
    assert await ids(teams, own, KEY_A, label="run:nightly") == [first]
    assert await ids(teams, own, KEY_A, label="app:web") == [second, first]
    assert await ids(teams, own, KEY_A, label=["app:web", "step:parse"]) == [first]
    assert await ids(teams, own, KEY_A, label=["run:nightly", "step:embed"]) == []
    assert await ids(teams, "/api/jobs", ADMIN_KEY, label="run:nightly", order="asc") == [first, theirs]
    assert await ids(teams, "/api/jobs", ADMIN_KEY, team="search") == [second, first]
    assert await ids(teams, "/api/jobs", ADMIN_KEY, team=["search", "ads"], customer="acme") == [second, first]
    assert await ids(teams, "/api/jobs", ADMIN_KEY, key="team-b") == [theirs]
    assert await ids(teams, own, ADMIN_KEY, label="run:nightly") == [theirs, first]
    listed = (await teams.http.get(own, headers={"x-bf-vk": KEY_A}, params={"label": "run:nightly"})).json()
    assert listed["data"][0]["labels"] == {"run": "nightly", "n": "7", "app": "web", "step": "parse"}


async def test_outcomes_are_found(gateway: Gateway) -> None:
    done = await gateway.submit()
    failed = await gateway.submit({**CHAT, "model": "sim/gpt-4o@status=418"})
    await gateway.worker.work_off()
    path = "/api/jobs"
    assert await ids(gateway, path, ADMIN_KEY, status=["failed", "cancelled"]) == [failed]
    assert await ids(gateway, path, ADMIN_KEY, provider="sim", status="completed", type="chat.completions") == [done]
    assert await ids(gateway, path, ADMIN_KEY, provider="sim", priority="normal") == [failed, done]
    assert await ids(gateway, path, ADMIN_KEY, provider="openai") == []
    code = (await gateway.http.get(f"/v1/async/jobs/{failed}")).json()["error"]["code"]
    assert await ids(gateway, path, ADMIN_KEY, code=str(code)) == ([failed] if code else [])
    now = (await gateway.http.get(f"/v1/async/jobs/{done}")).json()["created_at"]
    assert await ids(gateway, path, ADMIN_KEY, created_after=now) == [failed]
    assert await ids(gateway, path, ADMIN_KEY, created_before=now) == []


async def test_a_cursor_whose_job_has_gone_still_works(gateway: Gateway) -> None:
    made = [await gateway.submit() for _ in range(3)]
    await gateway.http.post(f"/v1/async/jobs/{made[1]}/cancel")
    assert (await gateway.http.delete(f"/v1/async/jobs/{made[1]}")).status_code == 200
    assert await ids(gateway, "/api/jobs", ADMIN_KEY, after=made[1]) == [made[0]]


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("/v1/async/jobs", "sort", "asc"), ("/v1/async/jobs", "team", "search"), ("/api/jobs", "owner", "a"),
        ("/api/jobs", "order", "up"), ("/api/jobs", "label", "app"), ("/api/jobs", "label", ""),
        ("/api/jobs", "created_after", "now"), ("/api/jobs", "min_cost_usd", "1e9"), ("/api/jobs", "type", "\0"),
    ],
)  # fmt: skip
async def test_invalid_parameters_are_named(gateway: Gateway, path: str, name: str, value: str) -> None:
    answer = await gateway.http.get(path, params={name: value}, headers=ADMIN)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)

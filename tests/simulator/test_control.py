"""Scripting and reading the log from outside, over HTTP."""

import asyncio

import httpx
import pytest

from simulator import log as simulator_log
from simulator.serve import running

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
async def control(sim):
    async with httpx.AsyncClient(base_url=f"{sim.origin}/sim", trust_env=False) as client:
        yield client


async def test_rules_are_added_used_up_and_cleared(http, control):
    rules = [
        {"match": {"path": "/chat/*"}, "behaviour": {"status": 500}, "times": 1},
        {"match": {"model": "gpt-*"}, "behaviour": {"status": 429, "retry_after": 2}},
    ]
    assert (await control.post("/script", json=rules)).json()["rules"][0]["left"] == 1
    statuses = [(await http.post("/chat/completions", json=CHAT)).status_code for _ in range(3)]
    assert statuses == [500, 429, 429]
    await control.post("/script", json={"match": {"path": "/v1/audio/*"}, "behaviour": {"status": 418}})
    other = await http.post("/chat/completions", json={**CHAT, "model": "claude"})
    assert other.status_code == 200
    assert (await control.get("/script")).json()["rules"][0]["left"] == 0
    assert (await control.delete("/script")).json() == {"rules": []}
    assert (await http.post("/chat/completions", json=CHAT)).status_code == 200


async def test_a_rule_overlays_what_the_model_name_asks_for(http, sim):
    sim.script(path="/v1/chat/completions", tokens=3)
    reply = await http.post("/chat/completions", json={**CHAT, "model": "m@reasoning,tokens=9"})
    assert len(reply.json()["choices"][0]["message"]["content"].split()) == 3
    assert reply.json()["choices"][0]["message"]["reasoning_content"]


async def test_clearing_the_script_forgets_the_counts_of_models(http, control):
    body = {**CHAT, "model": "m@status=500,times=1"}
    assert [(await http.post("/chat/completions", json=body)).status_code for _ in range(2)] == [500, 200]
    await control.delete("/script")
    assert (await http.post("/chat/completions", json=body)).status_code == 500


@pytest.mark.parametrize(
    "rule",
    [
        b"{",
        b"7",
        b'{"behaviour": {}, "extra": 1}',
        b'{"match": {}}',
        b'{"match": 7, "behaviour": {}}',
        b'{"match": {"host": "x"}, "behaviour": {}}',
        b'{"match": {"path": 7}, "behaviour": {}}',
        b'{"behaviour": {"times": 2}}',
        b'{"behaviour": {"unheard": 2}}',
        b'{"behaviour": {"status": 200}}',
        b'{"behaviour": {}, "times": 0}',
        b'[{"behaviour": {"status": 500}}, {"behaviour": {"status": 1}}]',
    ],
)
async def test_a_wrong_rule_is_refused_and_none_is_added(control, rule):
    reply = await control.post("/script", content=rule)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"]
    assert (await control.get("/script")).json() == {"rules": []}


async def test_the_log_shows_requests_with_masked_secrets(http, control):
    headers = {"authorization": "Bearer sk-very-secret-abcd", "x-api-key": "short", "x-twice": "1"}
    await http.post("/chat/completions?key=AIza-very-secret&a=b", json=CHAT, headers=headers)
    text = (await control.get("/log")).text
    assert "very-secret" not in text
    (entry,) = (await control.get("/log")).json()["entries"]
    assert entry["headers"]["authorization"] == "Bearer ****abcd"
    assert entry["headers"]["x-api-key"] == "****"
    assert entry["query"] == [["key", "****cret"], ["a", "b"]]
    assert entry["body"] == CHAT
    assert (entry["method"], entry["path"]) == ("POST", "/v1/chat/completions")
    assert (entry["outcome"], entry["status"], entry["form"]) == ("completed", 200, None)
    assert entry["started_at"] <= entry["finished_at"]


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("Bearer sk-12345678", "Bearer ****5678"),
        ("Bearer x", "Bearer ****"),
        ("a=1; b=secretvalue", "****alue"),
        ("", "****"),
    ],
)
def test_masking_keeps_the_scheme_and_four_characters(secret, expected):
    assert simulator_log.mask(secret) == expected


async def test_repeated_headers_are_joined(sim, http):
    await http.get("/models", headers=[("x-tag", "a"), ("x-tag", "b")])
    assert sim.requests[0].headers["x-tag"] == "a, b"


async def test_a_form_is_logged_by_names_sizes_and_digests(http, control):
    await http.post("/files", data={"purpose": "batch"}, files={"file": ("a.txt", b"private", "text/plain")})
    (entry,) = (await control.get("/log")).json()["entries"]
    assert entry["form"]["fields"] == {"purpose": "batch"}
    (upload,) = entry["form"]["files"]["file"]
    assert (upload["filename"], upload["bytes"], len(upload["sha256"])) == ("a.txt", 7, 64)
    assert entry["body"] is None
    assert "private" not in (await control.get("/log")).text


async def test_big_and_broken_bodies_are_logged_by_size(sim, http):
    await http.post("/chat/completions", content=b'"' + b"x" * 300_000 + b'"')
    await http.post("/chat/completions", content=b"{")
    big, broken = sim.requests
    assert (big.body, big.size, len(big.sha256)) == (None, 300_002, 64)
    assert (broken.body, broken.size, broken.outcome) == (None, 1, "completed")


async def test_the_log_can_be_limited_and_cleared(http, control):
    for _ in range(3):
        await http.get("/models")
    assert [entry["number"] for entry in (await control.get("/log?limit=2")).json()["entries"]] == [2, 3]
    assert (await control.get("/log?limit=0")).json()["entries"] == []
    assert (await control.get("/log?limit=x")).status_code == 400
    assert (await control.delete("/log")).json() == {"entries": [], "open": 0, "total": 3}


async def test_the_log_keeps_only_the_newest(monkeypatch, sim):
    monkeypatch.setattr(simulator_log, "ENTRIES_LIMIT", 2)
    log = simulator_log.Log()
    for _ in range(3):
        log.close(log.open(simulator_log.Entry("GET", "/", b"", [])), "completed")
    assert [entry.number for entry in log.entries] == [2, 3]


async def test_health_counts_open_requests(sim, http, control):
    request = asyncio.create_task(http.post("/chat/completions", json={**CHAT, "model": "m@hang"}))
    await sim.wait_until(lambda log: log.open_count == 1)
    assert (await control.get("/health")).json() == {"status": "ok", "open": 1, "total": 1}
    request.cancel()
    await asyncio.wait({request})
    await sim.wait_until(lambda log: log.open_count == 0)


async def test_waiting_for_the_log_has_an_end(sim):
    with pytest.raises(TimeoutError):
        await sim.wait_until(lambda log: log.total == 1, timeout_s=0.01)


async def test_unknown_control_paths_and_methods_are_refused(control):
    assert (await control.get("/nonsense")).status_code == 404
    assert (await control.put("/log")).status_code == 405


async def test_reset_forgets_script_and_log(sim, http):
    sim.script(status=500)
    await http.get("/models")
    sim.reset()
    assert sim.requests == []
    assert (await http.get("/models")).status_code == 200


async def test_keys_are_checked_only_when_configured():
    async with running(api_keys=["sk-good"]) as sim, httpx.AsyncClient(base_url=sim.base_url) as http:
        for headers, status in [
            ({}, 401),
            ({"authorization": "Basic eDp5"}, 401),
            ({"authorization": "Bearer sk-bad-and-long"}, 401),
            ({"authorization": "bearer sk-good"}, 200),
            ({"api-key": "sk-good"}, 200),
        ]:
            reply = await http.get("/models", headers=headers)
            assert reply.status_code == status
        assert "sk-bad" not in (await http.get("/models", headers={"authorization": "Bearer sk-bad-and-long"})).text


async def test_without_configured_keys_any_or_none_will_do_but_an_invalid_one(http):
    assert (await http.get("/models")).status_code == 200
    assert (await http.get("/models", headers={"authorization": "Bearer any"})).status_code == 200
    reply = await http.get("/models", headers={"authorization": "Bearer invalid"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "invalid." not in reply.json()["error"]["message"]

"""The Batch API: which batches run here, their lines, cancellation, expiry and hostile files."""

import json

import pytest

from tests.api.admin.administering import ADMIN
from tests.api.batch_work import create, line, loop_of, read, take_turn_now, upload, work_off
from tests.api.conftest import KEY_A, KEY_B, Gateway, Start
from tests.key_leaks import assert_no_key_leaks

CLAUDE = {"wire": "anthropic", "keys": [{"value": "sk-upstream-key-0123456789"}], "retry": {"max_attempts": 1}}
LINE = line("NUMBER", "sim/x")  # written once: each pytest worker makes 50,001 of it
TENANTS = {"team-a": {"value": KEY_A}, "team-b": {"value": KEY_B, "models": ["sim/*"]}}


@pytest.fixture
async def gateway(start: Start, sim) -> Gateway:
    """A gateway with providers that speak OpenAI's and Anthropic's formats, and nobody with a Batch API."""
    return await start(providers=providers(sim))


@pytest.fixture
async def tenants(start: Start, sim) -> Gateway:
    """The same with two virtual keys."""
    return await start(providers=providers(sim), virtual_keys=TENANTS)


def providers(sim) -> dict[str, object]:
    openai = {**CLAUDE, "wire": "openai", "base_url": sim.base_url}
    return {"claude": {**CLAUDE, "base_url": sim.base_url.removesuffix("/v1")}, "sim": openai}


async def test_models_of_several_providers_share_a_batch(gateway: Gateway):
    content = "\n".join([line("a", "claude/x"), "", line("b", "sim/y"), line("c", "sim/z@status=429"), ""])
    batch = await work_off(gateway, (await create(gateway, content))["id"])
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    output = {found["custom_id"]: found for found in await read(gateway, batch["output_file_id"])}
    assert set(output) == {"a", "b"}
    assert output["a"]["response"]["status_code"] == 200
    assert output["a"]["error"] is None
    [failed] = await read(gateway, batch["error_file_id"])
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("c", 429)
    assert failed["response"]["body"]["error"]["message"]


async def test_all_keys_of_a_batch_are_there_from_the_start(gateway: Gateway):
    batch = await create(gateway, line())
    assert set(batch) == {
        "id", "object", "endpoint", "model", "errors", "input_file_id", "completion_window", "status",
        "output_file_id", "error_file_id", "created_at", "in_progress_at", "expires_at", "finalizing_at",
        "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at", "request_counts", "usage",
        "metadata",
    }  # fmt: skip
    assert batch["expires_at"] == batch["created_at"] + 86_400


async def test_nothing_of_a_batch_stays_for_ever(gateway: Gateway, redis):
    batch = await work_off(gateway, (await create(gateway, line()))["id"])
    assert batch["status"] == "completed"
    permanent = ["finops:jobs:*", "finops:wake:*", "arq:queue*", "finops:lane:*", "finops:ledger", "finops:books"]
    await assert_no_key_leaks(redis, [*permanent, "finops:schema"])
    left = [key.decode() for key in await redis.keys("finops:*batch*")]
    assert sorted(key.split(":")[1] for key in left) == ["batch", "batch-request", "batches", "owner"]


BAD = [
    ("{not json", "invalid_json_line", None),
    ("[1]", "invalid_json_line", None),
    ('{"method":"POST","url":"/v1/chat/completions","body":{}}', "missing_required_parameter", "custom_id"),
    (line(""), "invalid_custom_id", "custom_id"),
    (line("x" * 513), "invalid_custom_id", "custom_id"),
    (line().replace('"POST"', '"GET"'), "invalid_method", "method"),
    (line(url="/v1/audio/speech"), "invalid_url", "url"),
    (line(url="/v1/embeddings"), "mismatched_endpoint", "url"),
    (line(stream=True), "unsupported_parameter", "body.stream"),
    (line(background=True), "unsupported_parameter", "body.background"),
    (line(model=""), "missing_required_parameter", "body.model"),
    (line(model="nobody/x"), "model_not_found", "body.model"),
    ('{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":[]}', "invalid_body", "body"),
]


@pytest.mark.parametrize(("bad", "code", "param"), BAD)
async def test_a_file_with_a_bad_line_fails_and_runs_nothing(gateway: Gateway, bad: str, code: str, param: str | None):
    batch = await work_off(gateway, (await create(gateway, f"{line('good')}\n\n{bad}\n"))["id"])
    assert batch["status"] == "failed"
    assert batch["failed_at"] >= batch["created_at"]
    [error] = batch["errors"]["data"]
    assert (error["code"], error["param"], error["line"]) == (code, param, 3)
    assert error["message"]
    assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert batch["output_file_id"] is batch["error_file_id"] is None


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "empty_file"),
        (" \n\r\n", "empty_file"),
        (f"{line()}\n{line()}", "duplicate_custom_id"),
        ("x" * 1_100_000, "line_too_long"),
        ("\n".join(f'{{"custom_id":"{number}"}}' for number in range(200)), "missing_required_parameter"),
        pytest.param(
            "\n".join(LINE.replace("NUMBER", str(number)) for number in range(50_001)),
            "too_many_lines",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["empty", "blank", "duplicates", "long line", "many faults", "50,001 lines"],
)
async def test_a_file_that_is_wrong_as_a_whole_fails(gateway: Gateway, content: str, code: str):
    batch = await work_off(gateway, (await create(gateway, content))["id"])
    assert batch["status"] == "failed"
    assert {error["code"] for error in batch["errors"]["data"]} == {code}
    assert len(batch["errors"]["data"]) <= 100


async def test_too_many_inputs_to_embed_fail(gateway: Gateway):
    body = {"model": "sim/x", "input": ["a"] * 50_000}
    lines = [{"custom_id": f"{n}", "method": "POST", "url": "/embeddings", "body": body} for n in range(2)]
    lines[1]["body"] = {"model": "sim/x", "input": [1, 2, 3]}
    content = "\n".join(json.dumps(each) for each in lines)
    batch = await work_off(gateway, (await create(gateway, content, endpoint="/embeddings"))["id"])
    assert [error["code"] for error in batch["errors"]["data"]] == ["too_many_inputs"]
    assert batch["endpoint"] == "/v1/embeddings"


async def test_a_line_that_nobody_could_serve_fails_alone(gateway: Gateway):
    nested = "[" * 500 + "]" * 500
    deep = '{"custom_id":"deep","method":"POST","url":"/v1/chat/completions","body":{"model":"sim/x","messages":%s}}'
    content = "\n".join([line("good"), line("bad", messages="hello"), deep % nested])
    batch = await work_off(gateway, (await create(gateway, content))["id"])
    assert batch["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
    failed = await read(gateway, batch["error_file_id"])
    assert {found["custom_id"]: found["response"]["status_code"] for found in failed} == {"bad": 400, "deep": 400}


async def test_lines_are_submitted_in_windows(gateway: Gateway):
    content = "\n".join(line(str(number), "sim/x") for number in range(25))
    batch_id = (await create(gateway, content))["id"]
    loop = loop_of(gateway, window=10)
    await take_turn_now(gateway, loop, batch_id)
    await take_turn_now(gateway, loop, batch_id)
    await take_turn_now(gateway, loop, batch_id)
    stats = await gateway.services.store.stats()
    assert sum(queue.depth for queue in stats.priorities.values()) == 10
    assert stats.priorities["low"].depth == 10
    batch = await work_off(gateway, batch_id, window=10)
    assert batch["request_counts"]["completed"] == 25


async def test_a_full_queue_is_waited_for(gateway: Gateway):
    content = "\n".join(line(str(number), "sim/x") for number in range(9))
    batch_id = (await create(gateway, content))["id"]
    loop = loop_of(gateway, max_queued=4)
    await take_turn_now(gateway, loop, batch_id)
    await take_turn_now(gateway, loop, batch_id)
    stats = await gateway.services.store.stats()
    assert stats.priorities["low"].depth == 4
    batch = await work_off(gateway, batch_id, max_queued=4)
    assert batch["request_counts"] == {"total": 9, "completed": 9, "failed": 0}


async def started(gateway: Gateway, lines: int, **more) -> str:
    """A batch of which ten lines are jobs, and one has its result."""
    content = "\n".join(line(str(number), "sim/x") for number in range(lines))
    batch_id: str = (await create(gateway, content, **more))["id"]
    loop = loop_of(gateway, window=10)
    for _ in range(2):
        await take_turn_now(gateway, loop, batch_id)
    [claim] = await gateway.worker.claim()
    await gateway.worker.run(claim)
    await take_turn_now(gateway, loop, batch_id)
    return batch_id


async def test_a_cancelled_batch_keeps_what_was_done(gateway: Gateway):
    batch_id = await started(gateway, 25)
    cancelled = await gateway.post(f"/openai/batches/{batch_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelling")
    assert (await gateway.post(f"/v1/batches/{batch_id}/cancel")).json()["status"] == "cancelling"
    batch = await work_off(gateway, batch_id)
    assert batch["status"] == "cancelled"
    assert batch["cancelled_at"] >= batch["cancelling_at"]
    assert batch["request_counts"] == {"total": 25, "completed": 1, "failed": 24}
    assert len(await read(gateway, batch["output_file_id"])) == 1
    rest = await read(gateway, batch["error_file_id"])
    assert len({found["custom_id"] for found in rest}) == 24
    assert {(found["error"]["code"], found["response"]) for found in rest} == {("batch_cancelled", None)}
    assert (await gateway.services.store.stats()).priorities["low"].depth == 0
    assert (await gateway.post(f"/v1/batches/{batch_id}/cancel")).json()["status"] == "cancelled"


async def test_a_batch_that_is_not_begun_is_cancelled_without_a_trace(gateway: Gateway):
    batch_id = (await create(gateway, line()))["id"]
    await gateway.post(f"/v1/batches/{batch_id}/cancel")
    batch = await work_off(gateway, batch_id)
    assert (batch["status"], batch["output_file_id"], batch["error_file_id"]) == ("cancelled", None, None)


async def test_a_batch_that_has_ended_cannot_be_cancelled(gateway: Gateway):
    batch = await work_off(gateway, (await create(gateway, line()))["id"])
    refused = await gateway.post(f"/v1/batches/{batch['id']}/cancel")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "batch_not_cancellable")


async def test_after_a_day_a_batch_expires(gateway: Gateway):
    batch_id = await started(gateway, 12)
    await gateway.services.commands.execute("HSET", f"finops:batch:{batch_id}", "expires_s", 1)
    batch = await work_off(gateway, batch_id)
    assert batch["status"] == "expired"
    assert batch["expired_at"]
    assert len(await read(gateway, batch["output_file_id"])) == 1
    assert {found["error"]["code"] for found in await read(gateway, batch["error_file_id"])} == {"batch_expired"}


async def test_a_deleted_result_fails_its_batch_line_as_lost(gateway: Gateway):
    batch_id = await started(gateway, 2)
    [claim] = await gateway.worker.claim()
    await gateway.worker.complete(claim)
    await gateway.services.store.delete(claim.id)
    batch = await work_off(gateway, batch_id)
    assert batch["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    [lost] = await read(gateway, batch["error_file_id"])
    assert (lost["custom_id"], lost["error"]["code"]) == ("1", "request_lost")


async def test_a_cancelled_job_is_a_failed_line(gateway: Gateway):
    batch_id = await started(gateway, 2)
    [claim] = await gateway.worker.claim()
    await gateway.services.store.cancel(claim.id)
    batch = await work_off(gateway, batch_id)
    [failed] = await read(gateway, batch["error_file_id"])
    assert failed["response"]["status_code"] == 409
    assert failed["response"]["body"]["error"]["code"] == "job_cancelled"


async def test_a_turn_that_was_cut_off_is_done_again_without_doubling_anything(gateway: Gateway):
    batch_id = await started(gateway, 30)
    # As if a worker had died before it wrote down how far it had come.
    await gateway.services.commands.execute("HSET", f"finops:batch:{batch_id}", "line", 0, "part", 0, "offset", 0)
    batch = await work_off(gateway, batch_id, window=10)
    found = await read(gateway, batch["output_file_id"])
    assert sorted(int(each["custom_id"]) for each in found) == list(range(30))
    assert batch["request_counts"] == {"total": 30, "completed": 30, "failed": 0}


async def test_an_input_that_is_gone_fails_the_batch(gateway: Gateway):
    batch_id = await started(gateway, 30)
    file_id = (await gateway.http.get(f"/v1/batches/{batch_id}")).json()["input_file_id"]
    await gateway.services.commands.execute("DEL", f"finops:file:{file_id}:0")
    batch = await work_off(gateway, batch_id, window=10)
    assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", "input_file_gone")
    assert (await gateway.services.store.stats()).priorities["low"].depth == 0


async def test_a_batch_that_breaks_its_workers_is_given_up(gateway: Gateway):
    batch_id = (await create(gateway, line()))["id"]
    await gateway.services.commands.execute("HSET", f"finops:batch:{batch_id}", "tries", 50)
    batch = await work_off(gateway, batch_id)
    assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", "internal_error")


async def limited(start: Start, sim, **limits: object) -> Gateway:
    return await start(
        providers=providers(sim),
        virtual_keys={"team-a": {"value": KEY_A, **limits}},
        prices={"sim/*": {"input": 1, "output": 1}},
    )


async def test_a_batch_waits_for_its_keys_rate_limit(start: Start, sim, redis):
    gateway = await limited(start, sim, rate_limit={"requests": 3, "window": "1h"})
    content = "\n".join(line(str(number), "sim/x") for number in range(5))
    batch_id = (await create(gateway, content, KEY_A))["id"]
    loop = loop_of(gateway)
    for _ in range(3):
        await take_turn_now(gateway, loop, batch_id)
    assert (await gateway.services.store.stats()).priorities["low"].depth == 3
    await redis.delete(*await redis.keys("finops:meter:*"))  # the hour is over
    batch = await work_off(gateway, batch_id)
    assert batch["request_counts"] == {"total": 5, "completed": 5, "failed": 0}


async def test_lines_of_a_key_that_is_no_longer_configured_fail(tenants: Gateway, start: Start, sim):
    batch_id = (await create(tenants, line(model="sim/x"), KEY_A))["id"]
    others = await start(virtual_keys={"team-b": {"value": KEY_B}})
    batch = await work_off(others, batch_id)
    assert batch["request_counts"] == {"total": 1, "completed": 0, "failed": 1}
    answer = await tenants.http.get(f"/v1/files/{batch['error_file_id']}/content", headers={"x-bf-vk": KEY_A})
    response = json.loads(answer.text)["response"]
    assert (response["status_code"], response["body"]["error"]["code"]) == (403, "virtual_key_blocked")


async def test_lines_that_no_budget_is_left_for_fail(start: Start, sim):
    gateway = await limited(start, sim, budget={"limit_usd": 0, "window": "1h"})
    batch = await work_off(gateway, (await create(gateway, line(model="sim/x"), KEY_A))["id"])
    answer = await gateway.http.get(f"/v1/files/{batch['error_file_id']}/content", headers={"x-bf-vk": KEY_A})
    assert json.loads(answer.text)["response"]["status_code"] == 402


async def test_a_line_is_booked_once_under_its_key_and_the_batchs_dimensions(tenants: Gateway):
    file = await upload(tenants, line(model="sim/x"), KEY_A)
    body = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    headers = {"x-bf-vk": KEY_A, "x-bf-dim-project": "apollo"}
    batch_id = (await tenants.post("/v1/batches", body, headers=headers)).json()["id"]
    await work_off(tenants, batch_id)
    entries = await tenants.services.commands.execute("XRANGE", "finops:ledger", "-", "+")
    [booked] = [json.loads(fields[1]) for _, fields in entries]
    assert (booked["key"], booked["dims"]) == ("team-a", {"project": "apollo"})


async def test_a_line_that_was_reserved_and_is_refused_by_the_queue_gives_its_reservation_back(
    start: Start, sim, redis
):
    gateway = await limited(start, sim, budget={"limit_usd": 10, "window": "1h"})
    content = "\n".join(line(str(number), "sim/x") for number in range(3))
    batch_id = (await create(gateway, content, KEY_A))["id"]
    loop = loop_of(gateway, max_queued=1)
    for _ in range(2):
        await take_turn_now(gateway, loop, batch_id)
    batch = await work_off(gateway, batch_id, max_queued=1)
    assert batch["request_counts"]["completed"] == 3
    await gateway.services.inference.aclose()
    held = [await redis.hget(key, "state") for key in await redis.keys("finops:hold:*")]
    assert b"held" not in held


async def test_a_model_that_a_key_may_not_use_is_not_found(tenants: Gateway):
    batch = await work_off(tenants, (await create(tenants, line(model="claude/x"), KEY_B))["id"])
    assert [error["code"] for error in batch["errors"]["data"]] == ["model_not_found"]
    assert "may not use" in batch["errors"]["data"][0]["message"]


async def test_administrators_list_all_callers_batches(tenants: Gateway):
    made = {}
    for name, key in (("team-a", KEY_A), ("team-b", KEY_B)):
        made[name] = (await create(tenants, line("a", "sim/y"), key))["id"]
    page = (await tenants.http.get("/api/batches", headers=ADMIN)).json()
    assert [(batch["id"], batch["key"]) for batch in page["data"]] == [
        (made["team-b"], "team-b"), (made["team-a"], "team-a"),
    ]  # fmt: skip
    rest = (await tenants.http.get(f"/api/batches?limit=1&after={made['team-b']}", headers=ADMIN)).json()
    assert [batch["id"] for batch in rest["data"]] == [made["team-a"]]
    own = (await tenants.http.get("/api/batches?key=team-b", headers=ADMIN)).json()
    assert [batch["id"] for batch in own["data"]] == [made["team-b"]]
    assert (await tenants.http.get("/api/batches?after=batch_x", headers=ADMIN)).status_code == 400
    assert (await tenants.http.get("/api/batches", headers={"x-bf-vk": KEY_A})).status_code == 401

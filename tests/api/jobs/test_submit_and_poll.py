"""The async headers on the SDK's own paths, in plain HTTP (contract 4.1, 4.2)."""

import uuid

import pytest

from tests.api.conftest import CHAT, KEY_A, KEY_B, Gateway

PREFIXES = ["/openai", "/openai/v1", "/v1"]


def error(answer):
    return answer.json()["error"]


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_job_is_queued_then_in_progress_then_the_providers_own_body(gateway: Gateway, prefix: str):
    path = f"{prefix}/chat/completions"
    submitted = await gateway.post(path, CHAT, headers={"x-bf-async": "true"})
    assert submitted.status_code == 200
    body = submitted.json()
    job_id = body["id"]
    assert uuid.UUID(job_id).version == 4
    assert (body["object"], body["choices"], body["status"]) == ("chat.completion", [], "queued")
    assert submitted.headers["x-bf-async-id"] == job_id
    assert submitted.headers["x-bf-async-status"] == "queued"
    assert submitted.headers["x-bf-async-queue-position"] == "1"
    assert int(submitted.headers["retry-after"]) >= 1

    worker = gateway.worker
    (claim,) = await worker.claim()
    running = await gateway.poll(job_id, path)
    assert (running.status_code, running.json()["status"]) == (200, "in_progress")
    assert running.json()["choices"] == []
    assert running.headers["x-bf-async-status"] == "in_progress"
    assert "x-bf-async-queue-position" not in running.headers

    await worker.run(claim)
    done = await gateway.poll(job_id, path)
    assert done.status_code == 200
    assert done.headers["x-bf-async-status"] == "completed"
    assert done.headers["x-bf-async-id"] == job_id
    assert done.json()["choices"][0]["message"]["content"]
    assert done.json()["id"].startswith("chatcmpl-")
    assert "status" not in done.json()


@pytest.mark.parametrize("word", ["1", "true", "YES", "On"])
async def test_true_values_submit_a_job(gateway: Gateway, sim, word: str):
    answer = await gateway.post("/v1/chat/completions", CHAT, headers={"x-bf-async": word})
    assert answer.json()["status"] == "queued"
    assert sim.requests == []


@pytest.mark.parametrize("word", ["0", "false", "No", "OFF", ""])
async def test_false_values_answer_at_once(gateway: Gateway, word: str):
    answer = await gateway.post("/v1/chat/completions", CHAT, headers={"x-bf-async": word})
    assert answer.json()["choices"]
    assert "x-bf-async-id" not in answer.headers


@pytest.mark.parametrize("word", ["maybe", "2", "tru", "x" * 300, "ja\xff"])
async def test_any_other_value_of_x_bf_async_is_refused(gateway: Gateway, sim, word: str):
    answer = await gateway.post("/v1/chat/completions", CHAT, headers={"x-bf-async": word.encode("latin-1")})
    assert answer.status_code == 400
    assert error(answer)["param"] == "x-bf-async"
    assert sim.requests == []


@pytest.mark.parametrize("body", [b"", b"{}", b"not json \xff", b'{"model": 5, "stream": true}'])
async def test_a_poll_never_looks_at_the_body_nor_runs_it(gateway: Gateway, sim, body: bytes):
    job_id = await gateway.submit()
    answer = await gateway.http.post(
        "/openai/chat/completions", content=body, headers={"x-bf-async-id": job_id, "x-bf-async": "true"}
    )
    assert (answer.status_code, answer.json()["id"]) == (200, job_id)
    assert sim.requests == []
    assert (await gateway.services.store.stats()).priorities["normal"].depth == 1


async def test_an_empty_id_is_a_poll_too_and_is_never_executed(gateway: Gateway, sim):
    answer = await gateway.poll("")
    assert (answer.status_code, error(answer)["code"]) == (404, "job_not_found")
    assert sim.requests == []


@pytest.mark.parametrize(
    "job_id",
    [
        "5f0c2e7a-3b1d-4c68-9a0e-7d52f3b1c9aa",
        "nonsense",
        "../../etc/passwd",
        "*",
        "a" * 200,
        "resp_" + "0" * 48,
        "\xe9\xff",
        "{finops}",
        "x" * 3000,
    ],
)
async def test_unknown_ids_are_one_and_the_same_404(gateway: Gateway, job_id: str):
    answer = await gateway.http.post(
        "/openai/chat/completions", json=CHAT, headers={"x-bf-async-id": job_id.encode("latin-1")}
    )
    assert answer.status_code == 404
    assert error(answer)["code"] == "job_not_found"
    assert error(answer)["type"] == "invalid_request_error"
    assert answer.headers["x-should-retry"] == "false"


async def test_another_callers_job_and_another_types_path_look_like_no_job_at_all(tenants: Gateway):
    headers = {"x-bf-vk": KEY_A}
    job_id = await tenants.submit(**{"x-bf-vk": KEY_A})
    own = await tenants.poll(job_id, **headers)
    foreign = await tenants.poll(job_id, **{"x-bf-vk": KEY_B})
    keyless = await tenants.poll(job_id)
    other_type = await tenants.poll(job_id, "/openai/responses", **headers)
    unknown_id = str(uuid.uuid4())
    unknown = await tenants.poll(unknown_id, **headers)
    assert own.status_code == 200
    texts = set()
    for answer in (foreign, keyless, other_type, unknown):
        assert answer.status_code == 404
        texts.add(error(answer)["message"].replace(job_id, "-").replace(unknown_id, "-"))
    assert len(texts) == 1


async def test_a_keyless_job_is_reachable_by_its_id_alone(tenants: Gateway):
    job_id = await tenants.submit()
    assert (await tenants.poll(job_id)).status_code == 200
    assert (await tenants.poll(job_id, **{"x-bf-vk": KEY_B})).status_code == 200


async def test_the_admin_key_sees_every_job(tenants: Gateway):
    job_id = await tenants.submit(**{"x-bf-vk": KEY_A})
    answer = await tenants.poll(job_id, authorization="Bearer test-admin-key-0123456789")
    assert answer.status_code == 200


async def test_a_failed_job_is_its_own_http_error_and_is_not_to_be_retried(gateway: Gateway):
    job_id = await gateway.submit({**CHAT, "model": "sim/gpt-4o@status=418"})
    await gateway.worker.work_off()
    answer = await gateway.poll(job_id)
    assert answer.status_code == 418
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-bf-async-status"] == "failed"
    assert set(error(answer)) >= {"message", "type", "param", "code"}
    assert "choices" not in answer.json()


async def test_a_cancelled_job_is_409_on_chat(gateway: Gateway):
    job_id = await gateway.submit()
    await gateway.services.store.cancel(job_id)
    answer = await gateway.poll(job_id)
    assert (answer.status_code, error(answer)["code"]) == (409, "job_cancelled")
    assert answer.headers["x-should-retry"] == "false"


async def test_a_cancelled_job_is_a_cancelled_response_on_responses(gateway: Gateway):
    job_id = await gateway.submit({"model": "sim/gpt-4o", "input": "hi"}, "/openai/responses")
    await gateway.services.store.cancel(job_id)
    answer = await gateway.poll(job_id, "/openai/responses")
    assert (answer.status_code, answer.json()["status"], answer.json()["output"]) == (200, "cancelled", [])


async def test_a_stream_cannot_be_a_job(gateway: Gateway):
    answer = await gateway.post("/v1/chat/completions", {**CHAT, "stream": True}, headers={"x-bf-async": "1"})
    assert (answer.status_code, error(answer)["param"]) == (400, "stream")
    assert "background" in error(answer)["message"]
    assert "/events" in error(answer)["message"]


@pytest.mark.parametrize(
    ("header", "ttl_s"),
    [("60", 60), ("60.9", 60), ("0.2", 1), ("0", 3600), ("-5", 3600), ("soon", 3600), ("", 3600), ("nan", 3600),
     ("1e3", 3600), ("inf", 3600), ("99999999999", 7 * 86_400)],
)  # fmt: skip
async def test_the_results_lifetime(gateway: Gateway, header: str, ttl_s: int):
    job_id = await gateway.submit(**{"x-bf-async-job-result-ttl": header})
    job = await gateway.services.store.get(job_id)
    assert job is not None
    assert job.ttl_s == ttl_s


async def test_the_lifetime_counts_from_completion_and_a_poll_does_not_change_it(gateway: Gateway):
    job_id = await gateway.submit(**{"x-bf-async-job-result-ttl": "100"})
    await gateway.worker.work_off()
    await gateway.poll(job_id, **{"x-bf-async-job-result-ttl": "5000"})
    job = await gateway.services.store.get(job_id)
    assert job is not None
    assert job.expires_ms == job.completed_ms + 100_000


@pytest.mark.parametrize("word", ["high", "normal", "LOW"])
async def test_priorities(gateway: Gateway, word: str):
    job_id = await gateway.submit(**{"x-bf-async-priority": word})
    job = await gateway.services.store.get(job_id)
    assert job is not None
    assert job.priority == word.lower()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-bf-async-priority", "urgent"),
        ("x-bf-async-delay", "-1"),
        ("x-bf-async-delay", "soon"),
        ("x-bf-async-delay", "1e400"),
        ("x-bf-async-deadline", "0"),
        ("x-bf-async-deadline", "-3"),
        ("x-bf-async-deadline", "nan"),
        ("x-bf-async-wait", "x"),
        ("x-bf-async-wait", "-1"),
        ("x-bf-async-wait", "9" * 300),
        ("Idempotency-Key", "k" * 256),
        ("Idempotency-Key", "tab\there"),
        ("Idempotency-Key", ""),
        ("x-bf-async-webhook", "no-such-hook"),
        ("x-bf-async-webhook", "http://example.com/hook"),
        ("x-bf-async-webhook", "https://user:pw@example.com/hook"),
        ("x-bf-async-webhook", "https://"),
        ("x-bf-async-webhook", "https://[::1/hook"),
        ("x-bf-async-webhook", "https://example.com/a b"),
        ("x-bf-async-webhook", "ftp://example.com/"),
        ("x-bf-async-webhook", "https://example.com/" + "a" * 2048),
    ],
)
async def test_header_values_that_make_no_sense_are_refused_by_name(gateway: Gateway, name: str, value: str):
    answer = await gateway.post("/v1/chat/completions", CHAT, headers={"x-bf-async": "true", name: value})
    assert (answer.status_code, error(answer)["param"]) == (400, name)
    assert (await gateway.services.store.stats()).priorities["normal"].depth == 0


async def test_a_repeated_header_is_refused(gateway: Gateway):
    headers = [("x-bf-async", "true"), ("x-bf-async-priority", "low"), ("x-bf-async-priority", "high")]
    answer = await gateway.http.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert (answer.status_code, error(answer)["param"]) == (400, "x-bf-async-priority")


async def test_a_repeated_header_that_is_none_of_ours_does_not_matter(gateway: Gateway):
    headers = [("x-bf-async", "true"), ("x-other", "1"), ("x-other", "2")]
    answer = await gateway.http.post("/v1/chat/completions", json=CHAT, headers=headers)
    assert answer.status_code == 200


async def test_a_delayed_job_is_reported_as_queued_and_starts_later(gateway: Gateway):
    job_id = await gateway.submit(**{"x-bf-async-delay": "20"})
    answer = await gateway.poll(job_id)
    assert answer.json()["status"] == "queued"
    assert 15 <= int(answer.headers["retry-after"]) <= 20
    assert await gateway.worker.claim() == ()


async def test_a_deadline_is_kept_from_submit(gateway: Gateway):
    job_id = await gateway.submit(**{"x-bf-async-deadline": "90"})
    job = await gateway.services.store.get(job_id)
    assert job is not None
    assert job.deadline_ms == job.created_ms + 90_000


async def test_a_webhook_by_name_or_by_url(start):
    hooks = {"orders": {"url": "https://example.com/h", "secret": "whsec_aaaa"}}
    gateway = await start(webhooks=hooks)
    for value in ("orders", "https://example.com/hook?x=1"):
        job = await gateway.services.store.get(await gateway.submit(**{"x-bf-async-webhook": value}))
        assert job is not None
        assert job.webhook == value


async def test_the_same_idempotency_key_and_body_give_the_same_job(gateway: Gateway):
    first = await gateway.submit(**{"Idempotency-Key": "order-1"})
    second = await gateway.submit(**{"Idempotency-Key": "order-1"})
    assert first == second
    await gateway.worker.work_off()
    again = await gateway.post(
        "/openai/chat/completions", CHAT, headers={"x-bf-async": "true", "Idempotency-Key": "order-1"}
    )
    assert again.json()["choices"]


async def test_another_body_under_that_key_is_a_conflict(gateway: Gateway):
    await gateway.submit(**{"Idempotency-Key": "order-1"})
    answer = await gateway.post(
        "/v1/chat/completions", {**CHAT, "n": 2}, headers={"x-bf-async": "true", "Idempotency-Key": "order-1"}
    )
    assert (answer.status_code, error(answer)["code"]) == (409, "idempotency_conflict")


async def test_an_idempotency_key_is_the_callers_own(tenants: Gateway):
    body = {**CHAT, "model": "openai/gpt-4o"}
    ours = await tenants.submit(body, **{"Idempotency-Key": "k", "x-bf-vk": KEY_A})
    theirs = await tenants.submit(body, **{"Idempotency-Key": "k", "x-bf-vk": KEY_B})
    assert ours != theirs


async def test_an_sdks_blind_retry_finds_the_job_it_made(gateway: Gateway):
    bearer = {"authorization": "Bearer sk-mine"}
    first = await gateway.submit(**bearer)
    retried = await gateway.submit(**bearer, **{"x-stainless-retry-count": "1"})
    fresh = await gateway.submit(**bearer, **{"x-stainless-retry-count": "0"})
    assert first == retried
    assert fresh != first


async def test_equal_retries_of_callers_without_identity_are_two_jobs(gateway: Gateway):
    retry = {"x-stainless-retry-count": "1"}
    first, second = await gateway.submit(**retry), await gateway.submit(**retry)
    assert first != second
    known = await gateway.submit(authorization="Bearer sk-mine", **retry)
    other = await gateway.submit(authorization="Bearer sk-other", **retry)
    assert len({first, second, known, other}) == 4
    assert await gateway.submit(authorization="Bearer sk-mine", **retry) == known


async def test_a_multipart_retry_with_another_boundary_finds_its_job(gateway: Gateway):
    async def send(**headers: str) -> str:
        answer = await gateway.http.post(
            "/openai/audio/transcriptions",
            data={"model": "sim/whisper-1"},
            files={"file": ("a.wav", b"RIFF0000WAVE" * 20)},
            headers={"x-bf-async": "true", "authorization": "Bearer sk-mine", **headers},
        )
        assert answer.status_code == 200, answer.text
        return answer.headers["x-bf-async-id"]

    assert await send() == await send(**{"x-stainless-retry-count": "1"})


async def test_a_full_queue_refuses_with_retry_after(start):
    gateway = await start(jobs={"max_queued": 1})
    await gateway.submit()
    answer = await gateway.post("/v1/chat/completions", CHAT, headers={"x-bf-async": "true"})
    assert (answer.status_code, error(answer)["code"]) == (429, "queue_full")
    assert int(answer.headers["retry-after"]) >= 1


async def test_what_no_provider_could_serve_is_refused_before_a_job_is_made(tenants: Gateway):
    refusals = [
        ({**CHAT, "model": "nowhere/gpt"}, {}, 400),
        ({**CHAT, "model": "sim/gpt-4o"}, {"x-bf-vk": KEY_B}, 403),
        (CHAT, {"x-bf-vk": "sk-bf-unknown"}, 401),
    ]
    for body, headers, status in refusals:
        answer = await tenants.post("/v1/chat/completions", body, headers={"x-bf-async": "true", **headers})
        assert answer.status_code == status, answer.text
    assert (await tenants.services.store.stats()).priorities["normal"].depth == 0


async def test_a_required_key_is_asked_for(start):
    gateway = await start(auth={"require_virtual_key": True})
    answer = await gateway.post("/v1/chat/completions", CHAT)
    assert (answer.status_code, error(answer)["code"]) == (401, "virtual_key_required")
    polled = await gateway.poll(str(uuid.uuid4()))
    assert polled.status_code == 401


async def test_a_response_to_be_run_as_a_job_needs_model_and_content(gateway: Gateway):
    headers = {"x-bf-async": "true"}
    no_model = await gateway.post("/openai/responses", {"input": "hi"}, headers=headers)
    no_input = await gateway.post("/openai/responses", {"model": "sim/gpt-4o"}, headers=headers)
    assert (no_model.status_code, error(no_model)["param"]) == (400, "model")
    assert (no_input.status_code, error(no_input)["param"]) == (400, "input")
    stored_prompt = {"model": "sim/gpt-4o", "prompt": {"id": "pmpt_1"}}
    assert (await gateway.post("/openai/responses", stored_prompt, headers=headers)).status_code == 200


async def test_a_pending_response_repeats_what_was_asked(gateway: Gateway):
    asked = {"model": "sim/gpt-4o", "input": "hi", "metadata": {"a": "b"}, "temperature": 0.5, "top_p": "wrong"}
    job_id = await gateway.submit(asked, "/openai/responses")
    body = (await gateway.poll(job_id, "/openai/responses")).json()
    assert (body["metadata"], body["temperature"], body["top_p"]) == ({"a": "b"}, 0.5, 1.0)

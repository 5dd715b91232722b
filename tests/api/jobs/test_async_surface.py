"""``/v1/async``: envelopes, lists, cancel, removal, retry (contract 4.3)."""

import asyncio
import base64
import re
import uuid

import pytest

from shared.jobs.model import Outcome, State
from tests.api.conftest import CHAT, KEY_A, KEY_B, Gateway
from tests.waiting import wait_until

CHAT_PATH = "/v1/async/chat/completions"
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def submit(gateway: Gateway, json=CHAT, path=CHAT_PATH, **headers: str) -> str:
    answer = await gateway.post(path, json, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def test_the_life_of_an_envelope(gateway: Gateway):
    submitted = await gateway.post(CHAT_PATH, CHAT, headers={"x-request-id": "mine-1"})
    pending = submitted.json()
    assert submitted.status_code == 202
    assert submitted.headers["location"] == f"{CHAT_PATH}/{pending['id']}"
    assert int(submitted.headers["retry-after"]) >= 1
    assert uuid.UUID(pending["id"]).version == 4
    assert pending["request_id"] == "mine-1"
    assert (pending["status"], pending["request_type"], pending["model"]) == (
        "pending", "chat.completions", "sim/gpt-4o",
    )  # fmt: skip
    assert RFC3339.fullmatch(pending["created_at"])
    assert (pending["attempts"], pending["queue_position"]) == (0, 1)
    assert not {"started_at", "completed_at", "expires_at", "status_code", "result", "error"} & pending.keys()

    worker = gateway.worker
    (claim,) = await worker.claim()
    running = await gateway.http.get(submitted.headers["location"])
    assert (running.status_code, running.json()["status"], running.json()["attempts"]) == (202, "processing", 1)
    assert RFC3339.fullmatch(running.json()["started_at"])
    assert not {"completed_at", "expires_at"} & running.json().keys()

    await worker.run(claim)
    done = await gateway.http.get(submitted.headers["location"])
    body = done.json()
    assert (done.status_code, body["status"], body["status_code"]) == (200, "completed", 200)
    assert body["result"]["choices"][0]["message"]["content"]
    assert RFC3339.fullmatch(body["completed_at"])
    job = await gateway.services.store.get(body["id"])
    assert job is not None
    assert job.expires_ms - job.completed_ms == 3_600_000
    assert RFC3339.fullmatch(body["expires_at"])
    assert "error" not in body
    assert "retry-after" not in done.headers


async def test_a_failed_job_is_a_200_that_says_how(gateway: Gateway):
    job_id = await submit(gateway, {**CHAT, "model": "sim/gpt-4o@status=429"})
    await gateway.worker.work_off()
    answer = await gateway.http.get(f"{CHAT_PATH}/{job_id}")
    body = answer.json()
    assert (answer.status_code, body["status"], body["status_code"]) == (200, "failed", 429)
    assert body["error"]["message"]
    assert "result" not in body


async def test_another_types_path_does_not_know_the_job(gateway: Gateway):
    job_id = await submit(gateway)
    answer = await gateway.http.get(f"/v1/async/embeddings/{job_id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "job_not_found")
    assert (await gateway.http.get(f"/v1/async/jobs/{job_id}")).status_code == 202


async def test_sound_is_base64_in_the_envelope_and_bytes_at_content(gateway: Gateway):
    body = {"model": "sim/tts-1", "input": "hello", "voice": "alloy"}
    job_id = await submit(gateway, body, "/v1/async/audio/speech")
    early = await gateway.http.get(f"/v1/async/audio/speech/{job_id}/content")
    assert (early.status_code, early.json()["status"]) == (202, "pending")
    await gateway.worker.work_off()
    envelope = (await gateway.http.get(f"/v1/async/audio/speech/{job_id}")).json()
    for path in (f"/v1/async/audio/speech/{job_id}/content", f"/v1/async/jobs/{job_id}/content"):
        content = await gateway.http.get(path)
        assert content.headers["content-type"] == envelope["result_type"]
        assert content.content == base64.b64decode(envelope["result"])
        assert content.content


async def test_text_and_broken_json_are_strings_in_the_envelope(gateway: Gateway):
    for kind, result in (("text/plain; charset=utf-8", b"hello"), ("application/json", b"{broken")):
        job_id = await submit(gateway)
        (claim,) = await gateway.worker.claim()
        await gateway.worker.complete(claim, result, result_type=kind)
        assert (await gateway.http.get(f"/v1/async/jobs/{job_id}")).json()["result"] == result.decode()


async def test_the_content_of_what_ended_otherwise_is_its_error(gateway: Gateway):
    failed = await submit(gateway, {**CHAT, "model": "sim/gpt-4o@status=418"})
    await gateway.worker.work_off()
    cancelled = await submit(gateway)
    await gateway.post(f"/v1/async/jobs/{cancelled}/cancel")
    assert (await gateway.http.get(f"/v1/async/jobs/{failed}/content")).status_code == 418
    answer = await gateway.http.get(f"/v1/async/jobs/{cancelled}/content")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_cancelled")


async def test_the_poll_header_works_on_this_surface_too(gateway: Gateway, sim):
    job_id = await submit(gateway)
    answer = await gateway.post(CHAT_PATH, CHAT, headers={"x-bf-async-id": job_id})
    assert (answer.status_code, answer.json()["id"], answer.json()["status"]) == (202, job_id, "pending")
    refused = await gateway.post(CHAT_PATH, CHAT, headers={"x-bf-async": "perhaps"})
    assert refused.status_code == 400
    assert sim.requests == []


@pytest.mark.parametrize("path", ["chat/completions", "openai/chat/completions"])
async def test_waiting_on_submit_gives_the_final_answer_if_it_is_there_in_time(gateway: Gateway, path: str):
    url = f"/v1/async/{path}" if path.startswith("chat") else f"/{path}"
    headers = {"x-bf-async": "true", "x-bf-async-wait": "10"}
    waiting = asyncio.create_task(gateway.post(url, CHAT, headers=headers))
    worker = gateway.worker
    await wait_until(worker.work_off)
    answer = await waiting
    body = answer.json()
    assert answer.status_code == 200
    assert (body.get("result") or body)["choices"][0]["message"]["content"]


async def test_waiting_that_is_over_gives_the_pending_body(gateway: Gateway):
    answer = await gateway.post(
        "/openai/chat/completions", CHAT, headers={"x-bf-async": "true", "x-bf-async-wait": "0.05"}
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    assert (await gateway.poll(answer.json()["id"], prefer="respond-async, wait=0")).json()["status"] == "queued"


@pytest.mark.parametrize("header", [{"x-bf-async-wait": "10"}, {"prefer": 'respond-async; x=1, wait="10"'}])
async def test_a_long_poll_is_woken_by_the_outcome(gateway: Gateway, header: dict[str, str]):
    job_id = await gateway.submit()
    (claim,) = await gateway.worker.claim()
    waiting = asyncio.create_task(gateway.poll(job_id, **header))
    await asyncio.sleep(0)
    await gateway.worker.run(claim)
    answer = await asyncio.wait_for(waiting, 5)
    assert answer.json()["choices"]


async def test_cancel_ends_a_job_once_and_again_alike(gateway: Gateway):
    job_id = await submit(gateway)
    for _ in range(2):
        answer = await gateway.post(f"/v1/async/jobs/{job_id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert await gateway.worker.claim() == ()


async def test_a_run_that_was_cancelled_cannot_finish(gateway: Gateway):
    job_id = await submit(gateway)
    (claim,) = await gateway.worker.claim()
    await gateway.post(f"/v1/async/jobs/{job_id}/cancel")
    assert not await gateway.services.store.finish(claim, Outcome(state=State.COMPLETED, status_code=200, result=b"{}"))
    assert (await gateway.http.get(f"/v1/async/jobs/{job_id}")).json()["status"] == "cancelled"


async def test_what_has_ended_cannot_be_cancelled(gateway: Gateway):
    job_id = await submit(gateway)
    await gateway.worker.work_off()
    answer = await gateway.post(f"/v1/async/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_already_finished")


async def test_removal_takes_everything_but_never_an_open_job(gateway: Gateway):
    job_id = await submit(gateway)
    refused = await gateway.http.delete(f"/v1/async/jobs/{job_id}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "job_live")
    assert "cancel" in refused.json()["error"]["message"]
    await gateway.worker.work_off()
    removed = await gateway.http.delete(f"/v1/async/jobs/{job_id}")
    assert removed.json() == {"id": job_id, "object": "job", "deleted": True}
    assert (await gateway.http.get(f"/v1/async/jobs/{job_id}")).status_code == 404
    assert (await gateway.http.delete(f"/v1/async/jobs/{job_id}")).status_code == 404


async def test_a_failed_job_runs_again_on_request_any_other_does_not(gateway: Gateway, sim):
    sim.script(model="gpt-4o", times=1, status=500)
    job_id = await submit(gateway)
    await gateway.worker.work_off()
    again = await gateway.post(f"/v1/async/jobs/{job_id}/retry")
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    await gateway.worker.work_off()
    assert (await gateway.http.get(f"/v1/async/jobs/{job_id}")).json()["status"] == "completed"
    assert (await gateway.post(f"/v1/async/jobs/{job_id}/retry")).json()["error"]["code"] == "job_not_failed"


async def test_nobody_elses_job_can_be_seen_changed_or_removed(tenants: Gateway):
    job_id = await submit(tenants, **{"x-bf-vk": KEY_A})
    for method, path in (
        ("GET", ""), ("GET", "/content"), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", ""),
    ):  # fmt: skip
        for headers in ({"x-bf-vk": KEY_B}, {}):
            answer = await tenants.http.request(method, f"/v1/async/jobs/{job_id}{path}", headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "job_not_found")
    job = await tenants.services.store.get(job_id)
    assert job is not None
    assert job.live


async def test_a_list_holds_own_jobs_newest_first_in_pages(tenants: Gateway):
    own = {"x-bf-vk": KEY_A}
    ids = [await submit(tenants, **own) for _ in range(5)]
    await submit(tenants, {**CHAT, "model": "openai/x"}, **{"x-bf-vk": KEY_B})
    await submit(tenants)
    seen, after = [], ""
    for _ in range(3):
        page = (await tenants.http.get("/v1/async/jobs", params={"limit": 2, "after": after}, headers=own)).json()
        assert page["object"] == "list"
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        seen += [job["id"] for job in page["data"]]
        after = page["last_id"]
        assert page["has_more"] is (len(seen) < 5)
    assert seen == ids[::-1]


async def test_lists_are_filtered_by_status_and_model(gateway: Gateway):
    done = await submit(gateway)
    await gateway.worker.work_off()
    later = await submit(gateway, **{"x-bf-async-delay": "60"})
    other = await submit(gateway, {**CHAT, "model": "sim/other"})

    async def ids(**params: str) -> list[str]:
        page = (await gateway.http.get("/v1/async/jobs", params=params)).json()
        return [job["id"] for job in page["data"]]

    assert await ids(status="completed") == [done]
    assert await ids(status="pending") == [other, later]
    assert await ids(status="pending", limit="1") == [other]
    assert await ids(model="sim/other") == [other]
    assert await ids(status="failed") == []
    listed = (await gateway.http.get("/v1/async/jobs", params={"status": "completed"})).json()["data"][0]
    assert "result" not in listed


async def test_without_a_key_a_list_is_empty_where_there_are_keys(tenants: Gateway):
    await submit(tenants)
    await submit(tenants, **{"x-bf-vk": KEY_A})
    page = (await tenants.http.get("/v1/async/jobs")).json()
    assert (page["data"], page["first_id"], page["has_more"]) == ([], None, False)
    everybodys = await tenants.http.get("/v1/async/jobs", headers={"authorization": "Bearer test-admin-key-0123456789"})
    assert len(everybodys.json()["data"]) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", "0"), ("limit", "101"), ("limit", "-1"), ("limit", "x"), ("limit", "٣"), ("status", "queued"),
     ("after", "no-such-job"), ("model", "m" * 257)],
)  # fmt: skip
async def test_wrong_list_parameters(gateway: Gateway, name: str, value: str):
    answer = await gateway.http.get("/v1/async/jobs", params={name: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


@pytest.mark.parametrize("path", ["", "/content", "/events", "/cancel", "/retry"])
@pytest.mark.parametrize("job_id", ["nope", "a" * 300, "%2e%2e", "x%0d%0ay", "\xe9"])
async def test_unknown_ids_everywhere(gateway: Gateway, path: str, job_id: str):
    method = "POST" if path in {"/cancel", "/retry"} else "GET"
    answer = await gateway.http.request(method, f"/v1/async/jobs/{job_id}{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] in {"job_not_found", "not_found"}

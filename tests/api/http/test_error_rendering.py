"""What `api.http.errors` makes of exceptions that ordinary requests seldom meet."""

import asyncio

import orjson
import pytest
from redis.exceptions import ResponseError

from api.http.disconnect import Hangup
from api.http.errors import as_gateway_error, error_reply
from api.http.long_polls import LongPolls
from shared.errors import InvalidRequest, RequestLimited, UpstreamRefused
from shared.jobs.events import EventLog
from shared.jobs.store import JobStore
from shared.jobs.waiting import OutcomeWaiters
from shared.store.connection import connect
from shared.store.multiplexed import MultiplexedClient
from tests.api.conftest import CHAT, Gateway
from tests.waiting import wait_until


def test_error_text_without_a_utf_8_form_is_escaped():
    reply = error_reply(InvalidRequest("odd \ud800 text", param="x"))
    assert orjson.loads(reply.body)["error"] == {
        "message": "'odd \\ud800 text'", "type": "invalid_request_error", "param": "x", "code": None,
    }  # fmt: skip
    error = orjson.loads(error_reply(InvalidRequest("odd \ud800 text", param="x"), "genai").body)["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert error["details"][0]["fieldViolations"] == [{"field": "x", "description": "'odd \\ud800 text'"}]


def test_waiting_times_are_whole_seconds_and_at_least_one():
    lines = dict(error_reply(RequestLimited("slow down", retry_after_s=0.2, should_retry=True)).headers)
    assert (lines[b"retry-after"], lines[b"x-should-retry"]) == (b"1", b"true")
    assert dict(error_reply(RequestLimited("slow down", retry_after_s=1.2)).headers)[b"retry-after"] == b"2"


def test_what_an_upstream_said_beside_its_error_cannot_break_the_framing():
    headers = {"x-ratelimit-limit": "5", "content-length": "7", "transfer-encoding": "chunked", "x-a": "b\r\nc: d"}
    refused = UpstreamRefused(429, {"message": "slow"}, provider="p", headers=headers)
    lines = dict(error_reply(refused).headers)
    assert lines[b"x-ratelimit-limit"] == b"5"
    assert lines[b"x-a"] == b"bc: d"
    assert not {b"content-length", b"transfer-encoding"} & lines.keys()


def test_a_fault_of_redis_is_the_stores():
    assert as_gateway_error(ResponseError("OOM command not allowed")).code == "store_unavailable"


async def test_a_submit_that_was_accepted_is_answered_even_if_nobody_can_wait(gateway: Gateway):
    gone = MultiplexedClient("redis://127.0.0.1:9/0")
    waiters = OutcomeWaiters(JobStore(gone), EventLog(gone), lambda: connect("redis://127.0.0.1:9/0"))
    working = gateway.services.waiters
    object.__setattr__(gateway.services, "waiters", waiters)
    answer = await gateway.post("/v1/chat/completions", CHAT, headers={"x-bf-async": "1", "x-bf-async-wait": "5"})
    object.__setattr__(gateway.services, "waiters", working)
    await waiters.aclose()
    await gone.aclose()
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")


async def test_nothing_waits_in_a_process_that_ends(gateway: Gateway):
    job_id = await gateway.submit()
    gateway.services.waits.end()
    answer = await asyncio.wait_for(gateway.poll(job_id, **{"x-bf-async-wait": "30"}), 5)
    assert answer.json()["status"] == "queued"


async def test_a_cancellation_that_is_not_the_callers_goes_through():
    entered = asyncio.Event()

    async def receive() -> dict[str, str]:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def serve() -> None:
        with LongPolls().interruptible(), Hangup(receive):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(serve())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await wait_until(task.done)


def test_a_genai_error_holds_retry_info():
    reply = error_reply(RequestLimited("slow down", retry_after_s=1.5), "genai")
    assert dict(reply.headers)[b"retry-after"] == b"2"
    error = orjson.loads(reply.body)["error"]
    assert error["status"] == "RESOURCE_EXHAUSTED"
    assert error["details"][-1] == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"}


@pytest.mark.parametrize("path", ["/chat/completions", "/api/v1/chat/completions"])
async def test_a_path_without_its_surface_names_the_one_that_was_meant(gateway: Gateway, path: str) -> None:
    answer = await gateway.post(path, {})
    assert answer.status_code == 404, answer.text
    assert "Did you mean '/openai/v1/chat/completions'?" in answer.json()["error"]["message"]
    assert "Did you mean" not in (await gateway.http.get("/nowhere")).text


@pytest.mark.parametrize("status", [429, 503])
async def test_a_passed_on_refusal_says_when_to_come_back(gateway: Gateway, status: int) -> None:
    answer = await gateway.post("/openai/chat/completions", {**CHAT, "model": f"sim/gpt-4o@status={status}"})
    assert answer.status_code == status
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_wrong_method_or_provider_is_named_as_such(gateway: Gateway) -> None:
    answer = await gateway.http.get("/openai/chat/completions")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_supported")
    answer = await gateway.post("/openai/chat/completions", {**CHAT, "model": "opnai/gpt-4o"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unknown_provider")
    assert "Did you mean 'openai'?" in answer.json()["error"]["message"]

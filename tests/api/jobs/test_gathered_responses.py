"""Responses that can wait are gathered like chats, and stay responses: stored, continued, owned."""

from typing import Any

import pytest

from shared.errors import StoreUnavailable
from simulator.serve import RunningSimulator
from tests.api.conftest import Start
from tests.api.gathered_work import ADMIN, MINE, Gathered, gathered_on
from worker.lane_tools import LaneTools

PATH = "/v1/async/responses"
RESPONSE = {"messages": None, "input": "Remember the number 7."}


async def test_a_response_of_a_batch_can_be_continued(start: Start, sim: RunningSimulator) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit(path=PATH, **RESPONSE)
    await gathered.follow_to_the_end()
    job = await gathered.job(job_id, PATH)
    assert (job["status"], job["lane"], job["result"]["object"]) == ("completed", "batch", "response")
    (entry,) = await gathered.entries()
    usage = job["result"]["usage"]
    assert entry["cost"] == (usage["input_tokens"] + usage["output_tokens"]) * 500
    assert (entry["type"], entry["lane"]) == ("responses", "batch")
    body = {"model": "openai/gpt-5", "input": "Which one?", "previous_response_id": job_id}
    continued = await gathered.gateway.post("/v1/responses", body, headers=MINE)
    assert continued.status_code == 200, continued.text
    owned = gathered.gateway.services.inference.objects._owned
    assert owned is not None
    made = job["result"]["id"]
    assert list(await owned.owners("openai", [made])) == [made], "nobody else may read it at the provider"


async def test_a_background_response_is_gathered_and_has_the_id_that_its_caller_knows(
    start: Start, sim: RunningSimulator
) -> None:
    gathered = await gathered_on(start)
    body = {"model": "openai/gpt-5", "input": "hi", "background": True}
    headers = {**MINE, "x-bf-async-patience": "3600"}
    submitted = await gathered.gateway.post("/v1/responses", body, headers=headers)
    assert (submitted.json()["status"], submitted.headers["x-bf-async-lane"]) == ("queued", "batch")
    response_id = submitted.json()["id"]
    await gathered.follow_to_the_end()
    (line,) = [entry for entry in sim.log.entries if entry.path.endswith("/batches") and entry.method == "POST"]
    assert line.body["endpoint"] == "/v1/responses"
    done = (await gathered.gateway.http.get(f"/v1/responses/{response_id}", headers=MINE)).json()
    assert (done["id"], done["status"], done["background"]) == (response_id, "completed", True)


@pytest.mark.parametrize(
    "fields",
    [
        {"store": False},
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"tools": [{"type": "web_search"}]},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ],
)
async def test_what_continues_or_may_not_be_stored_is_not_gathered(start: Start, fields: dict[str, Any]) -> None:
    gathered: Gathered = await gathered_on(start)
    body = {"model": "openai/gpt-5", "input": "hi", **fields}
    answer = await gathered.gateway.post(PATH, body, headers={**MINE, "x-bf-async-patience": "3600"})
    assert answer.status_code in {202, 400, 404}, answer.text
    assert answer.json().get("lane") in {None, "now"}
    assert (await gathered.gateway.services.commands.execute("ZCARD", "finops:gathering")) == 0


async def test_a_request_that_is_gone_keeps_nothing(start: Start, sim: RunningSimulator) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit(path=PATH, **RESPONSE)
    while (await gathered.fields())["state"] != "running":
        await gathered.look()
    await gathered.gateway.services.commands.execute("DEL", f"finops:job:{job_id}:payload")
    await gathered.follow_to_the_end()
    assert (await gathered.job(job_id, PATH))["status"] == "completed"


async def until_running(gathered: Gathered) -> None:
    while (await gathered.fields())["state"] != "running":
        await gathered.look()


async def test_a_key_that_was_revoked_meanwhile_owns_nothing_of_the_answer(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    gathered = await gathered_on(start)
    http = gathered.gateway.http
    made = (await http.post("/api/keys", json={"name": "soon"}, headers=ADMIN)).json()
    headers = {"x-bf-vk": made["value"], "x-bf-async-patience": "3600"}
    answer = await http.post(PATH, json={"model": "openai/gpt-5", "input": "hi"}, headers=headers)
    assert answer.json()["lane"] == "batch", answer.text
    await until_running(gathered)
    assert (await http.post(f"/api/keys/{made['id']}/revoke", headers=ADMIN)).status_code == 200
    await gathered.follow_to_the_end()
    job = await gathered.gateway.services.store.get(answer.json()["id"])
    assert (job is not None and job.state, "owner is not recorded" in caplog.text) == ("completed", True)


async def test_a_request_that_is_gone_before_the_upload_is_left_out(start: Start, sim: RunningSimulator) -> None:
    gathered = await gathered_on(start)
    job_id = await gathered.submit(path=PATH, **RESPONSE)
    await gathered.gateway.services.commands.execute("DEL", f"finops:job:{job_id}:payload")
    await gathered.follow_to_the_end()
    assert [entry.path for entry in sim.log.entries if entry.method == "POST"] == []


@pytest.mark.parametrize("sent", [False, True])
async def test_a_store_that_is_away_while_requests_are_read_is_asked_again(
    start: Start, monkeypatch: pytest.MonkeyPatch, *, sent: bool
) -> None:
    async def away(*_: Any) -> None:
        raise StoreUnavailable

    gathered = await gathered_on(start)
    job_id = await gathered.submit(path=PATH, **RESPONSE)
    if sent:
        await until_running(gathered)
    with monkeypatch.context() as patch:
        patch.setattr(LaneTools, "call_of", away)
        with pytest.raises(StoreUnavailable):
            await gathered.follow_to_the_end()
    await gathered.follow_to_the_end()
    assert (await gathered.job(job_id, PATH))["lane"] == "batch"

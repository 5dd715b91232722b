"""Nothing of one key is visible to another, whether it was configured or made at run time; secrets are nowhere."""

import logging
from typing import Any

import pytest

from shared.governance.ledger.call_log import CallLog
from shared.governance.ledger.exports import csv_text, json_lines
from shared.governance.ledger.focus import focus_csv
from tests.api.conftest import ADMIN_KEY, CHAT, KEY_A, Gateway
from tests.waiting import wait_until

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}


async def make(gateway: Gateway, name: str, **settings: Any) -> str:
    answer = await gateway.post("/api/keys", {"name": name, **settings}, headers=ADMIN)
    value: str = answer.json()["value"]
    return value


@pytest.mark.parametrize("state", ["waiting", "done"])
@pytest.mark.parametrize(
    ("method", "tail"),
    [("GET", ""), ("GET", "/content"), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")],
)
async def test_anothers_job_is_as_unknown_as_one_that_never_was(
    tenants: Gateway, state: str, method: str, tail: str
) -> None:
    owner = await make(tenants, "owner")
    job_id = await tenants.submit(**{"x-bf-vk": owner})
    if state == "done":
        await tenants.worker.work_off()
    for other in (await make(tenants, "other"), KEY_A, None):
        headers = {"x-bf-vk": other} if other else {}
        seen = await tenants.http.request(method, f"/v1/async/jobs/{job_id}{tail}", headers=headers)
        unknown = await tenants.http.request(method, f"/v1/async/jobs/{job_id[:-4]}0000{tail}", headers=headers)
        assert seen.status_code == unknown.status_code == 404
        assert seen.text.replace(job_id, "") == unknown.text.replace(f"{job_id[:-4]}0000", "")
    assert (await tenants.http.get(f"/v1/async/jobs/{job_id}", headers={"x-bf-vk": owner})).status_code in {200, 202}


async def test_a_list_holds_ones_own_jobs_alone(tenants: Gateway) -> None:
    values = [await make(tenants, name) for name in ("one", "two")]
    jobs = {value: await tenants.submit(**{"x-bf-vk": value}) for value in [*values, KEY_A]}
    for value, job_id in jobs.items():
        page = (await tenants.http.get("/v1/async/jobs", headers={"x-bf-vk": value})).json()
        assert [job["id"] for job in page["data"]] == [job_id]
        others = [other for other in jobs.values() if other != job_id]
        beyond = await tenants.http.get(f"/v1/async/jobs?after={others[0]}", headers={"x-bf-vk": value})
        assert beyond.status_code == 400


async def test_anothers_poll_and_idempotency_key_lead_nowhere(tenants: Gateway) -> None:
    one, two = [await make(tenants, name) for name in ("one", "two")]
    first = await tenants.submit(**{"x-bf-vk": one, "idempotency-key": "same"})
    second = await tenants.submit(**{"x-bf-vk": two, "idempotency-key": "same"})
    assert first != second
    assert (await tenants.poll(first, **{"x-bf-vk": two})).status_code == 404
    assert (await tenants.poll(first, **{"x-bf-vk": one})).status_code == 200


async def test_anothers_response_is_not_found_and_not_gone_on_with(tenants: Gateway) -> None:
    one, two = [await make(tenants, name) for name in ("one", "two")]
    body = {"model": "sim/gpt-4o", "input": "hello"}
    kept = await tenants.post("/v1/responses", {**body, "background": True}, headers={"x-bf-vk": one})
    await tenants.worker.work_off()
    path = f"/v1/responses/{kept.json()['id']}"
    assert (await tenants.http.get(path, headers={"x-bf-vk": one})).status_code == 200
    for method, tail in (("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")):
        answer = await tenants.http.request(method, path + tail, headers={"x-bf-vk": two})
        assert answer.status_code == 404, (method, tail)
    more = {**body, "previous_response_id": kept.json()["id"]}
    assert (await tenants.post("/v1/responses", more, headers={"x-bf-vk": two})).status_code in {400, 404}


async def test_a_retry_made_by_two_keys_is_two_jobs(tenants: Gateway) -> None:
    one, two = [await make(tenants, name) for name in ("one", "two")]
    retry = {"x-stainless-retry-count": "1"}
    assert await tenants.submit(**{"x-bf-vk": one, **retry}) != await tenants.submit(**{"x-bf-vk": two, **retry})


@pytest.mark.parametrize("path", ["/api/keys", "/api/audit", "/api/jobs", "/api/queue", "/api/webhooks/secret"])
async def test_a_key_made_at_run_time_administers_nothing(gateway: Gateway, path: str) -> None:
    value = await make(gateway, "a")
    for headers in ({"x-bf-vk": value}, {"authorization": f"Bearer {value}"}, {"x-bf-admin-key": value}):
        assert (await gateway.http.get(path, headers=headers)).status_code == 401


async def test_secrets_are_in_no_log_error_figure_entry_or_export(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "finops")
    value = await make(gateway, "a", team="t", dimensions={"app": "x"})
    texts = []
    for name in ("x-bf-vk", "x-api-key", "x-goog-api-key"):
        for model in ("sim/gpt-4o", "sim/gpt-4o@status=401", "nowhere/x"):
            answer = await gateway.post("/v1/chat/completions", {**CHAT, "model": model}, headers={name: value})
            texts.append(answer.text + str(answer.headers))
    await gateway.submit(**{"x-bf-vk": value})
    await gateway.worker.work_off()
    log = CallLog(gateway.services.commands)

    async def entries() -> list[dict[str, Any]]:
        return (await log.page({}))[0]

    await wait_until(lambda: _at_least(entries, 7))
    booked = await entries()
    texts += [b"".join(json_lines(booked)).decode(), "".join(csv_text(booked)), "".join(focus_csv(booked))]
    texts += [(await gateway.http.get(path, headers=ADMIN)).text for path in ("/metrics", "/api/audit", "/api/keys")]
    texts += [str(vars(record)) for record in caplog.records if record.name.startswith("finops")]
    for secret in (value, value.removeprefix("sk-bf-"), ADMIN_KEY, "sk-upstream-key-0123456789"):
        assert not [text for text in texts if secret in text], secret


async def _at_least(entries: Any, count: int) -> bool:
    return len(await entries()) >= count

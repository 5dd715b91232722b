"""Deliveries and secrets at the API: from a job's end to its callback, for administrators and for callers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
from standardwebhooks.webhooks import Webhook

from api.http.webhook_models import DeliveryAnswer, DeliveryList
from shared.store.connection import connect
from tests.api.admin.administering import ADMIN, refused
from tests.api.conftest import ADMIN_KEY, KEY_A, KEY_B, Gateway, Start
from tests.waiting import wait_until
from tests.webhooks.lane import SECRET, delivering
from tests.worker.test_webhooks import Receiver, receiver  # noqa: F401 - a fixture
from worker.outbox import Outbox
from worker.webhooks import WebhookDelivery

EVENTS = ["async_job.completed", "async_job.failed"]


@pytest.fixture
async def hooked(start: Start, receiver: Receiver) -> Gateway:  # noqa: F811
    """A gateway with two virtual keys, a webhook, and callbacks to addresses of this machine allowed."""
    orders = {"url": f"{receiver.url}&token=of-the-operator", "secret": SECRET, "events": EVENTS}
    return await start(
        virtual_keys={"team-a": {"value": KEY_A}, "team-b": {"value": KEY_B}},
        server={"allow_private_network": True, "max_body_mb": 1, "shutdown_grace_s": 2},
        webhooks={"orders": orders, "spare": orders},
    )


@asynccontextmanager
async def worker_of(gateway: Gateway, redis_url: str) -> AsyncIterator[None]:
    """The part of a worker that delivers events."""
    redis = connect(redis_url, timeout_s=None)
    delivery = WebhookDelivery(gateway.services.settings, gateway.services.commands)
    async with delivering(delivery) as (lane, _):
        outbox = asyncio.create_task(Outbox(redis, delivery, "w", wake=lane.wake).run())
        yield
        outbox.cancel()
        await asyncio.wait([outbox])
    await delivery.aclose()
    await redis.aclose()


async def rows(gateway: Gateway, query: str = "") -> list[dict[str, Any]]:
    answer = await gateway.http.get(f"/api/webhooks/deliveries?{query}", headers=ADMIN)
    assert answer.status_code == 200, answer.text
    DeliveryList.model_validate_json(answer.content, strict=True)
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def until_delivered(gateway: Gateway, query: str, count: int = 1) -> list[dict[str, Any]]:
    async def delivered() -> list[dict[str, Any]]:
        found = await rows(gateway, f"status=delivered&{query}")
        return found if len(found) >= count else []

    found: list[dict[str, Any]] = await wait_until(delivered)
    return found


async def of_job(gateway: Gateway, job_id: str, key: str) -> httpx.Response:
    return await gateway.http.get(f"/v1/async/jobs/{job_id}/deliveries", headers={"x-bf-vk": key})


async def test_a_jobs_end_is_delivered_and_listed(
    hooked: Gateway,
    receiver: Receiver,  # noqa: F811
    redis_url: str,
) -> None:
    job_id = await hooked.submit(**{"x-bf-vk": KEY_A, "x-bf-async-webhook": "orders"})
    unhooked = await hooked.submit(**{"x-bf-vk": KEY_A})
    await hooked.worker.work_off()
    async with worker_of(hooked, redis_url):
        [row] = await until_delivered(hooked, f"job={job_id}")
    assert (row["event"], row["webhook"], row["status"]) == ("async_job.completed", "orders", "delivered")
    assert row["url"].endswith("&token=of-the-operator")
    assert set(row["attempts"][0]) == {"at", "status", "duration_ms", "answer"}
    assert (row["attempts"][0]["status"], row["attempts"][0]["answer"]) == (200, "thanks")
    one = await hooked.http.get(f"/api/webhooks/deliveries/{row['id']}", headers=ADMIN)
    assert one.json() == row
    own = await of_job(hooked, job_id, KEY_A)
    assert own.json()["data"] == [{**row, "url": receiver.url.partition("?")[0]}]
    assert (await of_job(hooked, job_id, ADMIN_KEY)).json()["data"] == [row]
    assert (await of_job(hooked, unhooked, KEY_A)).json()["data"] == []
    for job, key in ((job_id, KEY_B), ("unknown", KEY_A), (unhooked, KEY_B), ("a:b", KEY_A)):
        answer = await of_job(hooked, job, key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "job_not_found")
    await hooked.http.delete(f"/v1/async/jobs/{job_id}", headers={"x-bf-vk": KEY_A})
    assert len((await of_job(hooked, job_id, KEY_A)).json()["data"]) == 1, "it is kept for longer than the job"


async def test_an_event_is_sent_again(
    hooked: Gateway,
    receiver: Receiver,  # noqa: F811
    redis_url: str,
) -> None:
    receiver.status = 410
    await hooked.submit(**{"x-bf-vk": KEY_A, "x-bf-async-webhook": "orders"})
    await hooked.worker.work_off()
    async with worker_of(hooked, redis_url):
        [failed] = await wait_until(lambda: rows(hooked, "status=failed&webhook=orders"))
        assert failed["reason"] == "status_410"
        receiver.status = 200
        path = f"/api/webhooks/deliveries/{failed['id']}/redeliver"
        answer = await hooked.post(path, headers=ADMIN)
        assert (answer.status_code, answer.json()["status"]) == (202, "pending")
        [row] = await until_delivered(hooked, "event=async_job.completed")
    assert [attempt["status"] for attempt in row["attempts"]] == [410, 200]
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1


async def test_a_test_event_is_signed_by_both_secrets_after_a_rotation(
    hooked: Gateway,
    receiver: Receiver,  # noqa: F811
    redis_url: str,
) -> None:
    rotated = await hooked.post("/api/webhooks/orders/rotate-secret", headers=ADMIN)
    assert rotated.status_code == 200
    assert rotated.headers["cache-control"] == "no-store"
    assert set(rotated.json()) == {"secret", "previous_expires_at"}
    answer = await hooked.post("/api/webhooks/orders/test", headers=ADMIN)
    assert (answer.status_code, answer.json()["event"]) == (202, "webhook.test")
    async with worker_of(hooked, redis_url):
        [row] = await until_delivered(hooked, "webhook=orders")
    assert row["id"] == answer.json()["id"]
    [(headers, body)] = receiver.requests
    for secret in (rotated.json()["secret"], SECRET):
        Webhook(secret).verify(body, headers)
    assert orjson.loads(body)["type"] == "webhook.test"


async def test_each_key_reads_the_secret_of_its_own_callbacks(
    hooked: Gateway,
    receiver: Receiver,  # noqa: F811
    redis_url: str,
) -> None:
    async def secret_of(key: str) -> str:
        answer = await hooked.http.get("/v1/webhooks/secret", headers={"x-bf-vk": key})
        assert answer.headers["cache-control"] == "no-store"
        return str(answer.json()["secret"])

    await hooked.submit(**{"x-bf-vk": KEY_A, "x-bf-async-webhook": receiver.url})
    await hooked.worker.work_off()
    async with worker_of(hooked, redis_url):
        await until_delivered(hooked, "event=async_job.completed")
    [(headers, body)] = receiver.requests
    Webhook(await secret_of(KEY_A)).verify(body, headers)
    keyless = (await hooked.http.get("/api/webhooks/secret", headers=ADMIN)).json()["secret"]
    assert len({await secret_of(KEY_A), await secret_of(KEY_B), keyless}) == 3
    assert await secret_of(ADMIN_KEY) == keyless
    answer = await hooked.http.get("/v1/webhooks/secret")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "virtual_key_required")


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("status=done", "status"),
        ("limit=0", "limit"),
        ("limit=1e9", "limit"),
        ("after=nope", "after"),
        ("after=evt_%0a", "after"),
        ("sort=asc", "sort"),
        (f"webhook={'x' * 300}", "webhook"),
    ],
)
async def test_bad_parameters_are_refused(hooked: Gateway, path: str, param: str) -> None:
    error = await refused(hooked, "GET", f"/api/webhooks/deliveries?{path}", 400)
    assert error["param"] == param


async def test_unknown_names_and_ids_are_not_found(hooked: Gateway) -> None:
    for path in ("other/test", "other/rotate-secret", f"{'x' * 500}/test", "a%0ab/test"):
        error = await refused(hooked, "POST", f"/api/webhooks/{path}", 404)
        assert error["code"] == "webhook_not_found"
        assert "orders, spare" in error["message"]
    for method, path in (("GET", ""), ("POST", "/redeliver")):
        for identity in ("evt_unknown", "evt_" + "0" * 32, "a%3Ab"):
            error = await refused(hooked, method, f"/api/webhooks/deliveries/{identity}{path}", 404)
            assert error["code"] == "delivery_not_found"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "deliveries"),
        ("GET", "deliveries/x"),
        ("POST", "deliveries/x/redeliver"),
        ("POST", "orders/test"),
        ("POST", "orders/rotate-secret"),
    ],
)
async def test_deliveries_are_for_administrators(hooked: Gateway, method: str, path: str) -> None:
    answer = await hooked.http.request(method, f"/api/webhooks/{path}", headers={"x-bf-vk": KEY_A})
    assert answer.status_code == 401


async def test_rotation_is_audited_without_the_secret(hooked: Gateway) -> None:
    rotated = (await hooked.post("/api/webhooks/orders/rotate-secret", headers=ADMIN)).json()
    [entry] = (await hooked.http.get("/api/audit", headers=ADMIN)).json()["data"]
    assert (entry["action"], entry["target"]) == ("POST /api/webhooks/{name}/rotate-secret", "orders")
    assert rotated["secret"] not in str(entry)


async def test_the_routes_are_described(hooked: Gateway) -> None:
    document = (await hooked.http.get("/openapi.json")).json()
    paths, schemas = document["paths"], document["components"]["schemas"]
    example = schemas["DeliveryAnswer"]["example"]
    assert DeliveryAnswer.model_validate(example).model_dump(exclude_unset=True) == example
    assert set(example) | {"reason"} == set(schemas["DeliveryAnswer"]["properties"])
    for path, method in (
        ("/api/webhooks/deliveries", "get"),
        ("/api/webhooks/deliveries/{delivery_id}", "get"),
        ("/api/webhooks/deliveries/{delivery_id}/redeliver", "post"),
        ("/api/webhooks/{name}/test", "post"),
        ("/api/webhooks/{name}/rotate-secret", "post"),
        ("/v1/async/jobs/{job_id}/deliveries", "get"),
        ("/v1/webhooks/secret", "get"),
    ):
        status = "202" if path.endswith(("/redeliver", "/test")) else "200"
        assert "$ref" in paths[path][method]["responses"][status]["content"]["application/json"]["schema"]
    names = {parameter["name"] for parameter in paths["/api/webhooks/deliveries"]["get"]["parameters"]}
    assert {"status", "webhook", "job", "event", "after", "limit"} <= names

"""Helpers for batches that the simulator runs: they do a worker's part when a test asks for it."""

import json
from typing import Any

import httpx
import orjson

from shared.governance.ledger.followed_batches import FollowedBatches
from shared.jobs.bodies import AS_THEY_ARE
from tests.api.conftest import KEY_A, Gateway, Start
from worker.provider_batches import ProviderBatchLoop, follow_batches

PRICES = {"sim/gpt*": {"input": 1000, "output": 1000, "batch_discount": 0.5}}
MINE = {"x-bf-vk": KEY_A, "x-bf-provider": "sim"}
FIELDS = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}


async def gateway_with(start: Start, limit_usd: float = 100, **more: Any) -> Gateway:
    key = {"value": KEY_A, "budget": {"limit_usd": limit_usd}}
    others = more.pop("virtual_keys", {})
    return await start(prices=PRICES, virtual_keys={"a": key, **others}, **more)


def line(custom_id: str, model: str = "gpt-4o", **more: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100, **more}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


async def upload(gateway: Gateway, *lines: Any) -> str:
    content = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines).encode()
    sent = {"file": ("a.jsonl", content)}
    answer = await gateway.http.post("/v1/files", files=sent, data={"purpose": "batch"}, headers=MINE)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def create(gateway: Gateway, file_id: str, headers: dict[str, str] = MINE, **more: Any) -> httpx.Response:
    return await gateway.post("/v1/batches", {"input_file_id": file_id, **FIELDS, **more}, headers=headers)


def follower(gateway: Gateway) -> ProviderBatchLoop:
    services = gateway.services
    batches = services.inference.forwarder.batches
    assert batches
    followed = FollowedBatches(services.commands)
    return follow_batches(services.settings, AS_THEY_ARE, followed, batches, services.governance)


async def look(gateway: Gateway) -> bool:
    """Take a turn without waiting for it to be due."""
    commands = gateway.services.commands
    for followed in await commands.execute("ZRANGE", "finops:provider-batches", 0, -1):
        await commands.execute("ZADD", "finops:provider-batches", 0, followed)
    return await follower(gateway).take_turn()


async def follow_to_the_end(gateway: Gateway) -> None:
    while await look(gateway):
        pass


async def budget_of(gateway: Gateway) -> tuple[float, float]:
    """Used and reserved, in USD."""
    admin = {"authorization": "Bearer test-admin-key-0123456789"}
    (row,) = (await gateway.http.get("/api/keys/a/limits", headers=admin)).json()["data"]
    return row["used_usd"], row["reserved_usd"]


async def entries(gateway: Gateway) -> list[dict[str, Any]]:
    billing = gateway.services.inference._billing
    assert billing
    await billing.ledger.flush()
    found = await gateway.services.commands.execute("XRANGE", "finops:ledger", "-", "+")
    return [entry for _, fields in found if (entry := orjson.loads(fields[1]))["type"] == "chat.completions"]

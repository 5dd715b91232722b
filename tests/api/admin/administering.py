"""What tests of the administration have in common."""

from typing import Any

import httpx

from tests.api.conftest import ADMIN_KEY, CHAT, Gateway

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}


async def make(gateway: Gateway, name: str = "a", **settings: Any) -> dict[str, Any]:
    answer = await gateway.post("/api/keys", {"name": name, **settings}, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def use(gateway: Gateway, value: str, **body: Any) -> httpx.Response:
    return await gateway.post("/v1/chat/completions", {**CHAT, **body}, headers={"x-bf-vk": value})


async def refused(gateway: Gateway, method: str, path: str, status: int, **body: Any) -> dict[str, Any]:
    answer = await gateway.http.request(method, path, headers=ADMIN, **body)
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error

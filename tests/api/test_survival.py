"""What callers, operators and scrapers see of providers that fail."""

import asyncio
import time

import pytest

from tests.api.conftest import CHAT, Gateway
from tests.waiting import wait_until


async def test_a_caller_says_how_long_it_waits(gateway: Gateway):
    began = time.monotonic()
    answer = await gateway.post(
        "/v1/chat/completions", {**CHAT, "model": "sim/gpt@hang"}, headers={"x-bf-timeout": "0.3"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("header", ["soon", "0", "-1", "nan"])
async def test_an_invalid_timeout_header_is_a_400(gateway: Gateway, header: str):
    answer = await gateway.post("/v1/chat/completions", CHAT, headers={"x-bf-timeout": header})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "x-bf-timeout")


async def test_an_sdks_timeout_is_a_hint(gateway: Gateway):
    answer = await gateway.post("/v1/chat/completions", CHAT, headers={"x-stainless-read-timeout": "nonsense"})
    assert answer.status_code == 200


async def test_readiness_shows_keys_in_cooldown_and_concurrent_calls(gateway: Gateway):
    await gateway.post("/v1/chat/completions", {**CHAT, "model": "sim/gpt@status=401"})
    plain = (await gateway.http.get("/health/ready")).json()
    assert "providers" not in plain
    state = (await gateway.http.get("/health/ready?verbose")).json()["providers"]["sim"]
    assert state["circuit"] == "closed"
    assert [each["status"] for each in state["resting_keys"]] == [401]
    assert state["concurrency"]["inside"] == 0
    figures = (await gateway.http.get("/metrics")).text
    assert 'finops_provider_resting_keys{provider="sim"} 1.0' in figures
    assert 'finops_provider_circuit_state{provider="sim"} 0.0' in figures


async def test_two_gateways_share_what_they_find_out(start):
    one, other = await start(), await start()
    await one.post("/v1/chat/completions", {**CHAT, "model": "sim/gpt@status=401"})

    async def known() -> bool:
        state = (await other.http.get("/health/ready?verbose")).json()["providers"]["sim"]
        return bool(state["resting_keys"])

    async with asyncio.timeout(5):
        await wait_until(known)


async def test_an_overloaded_provider_is_a_503_with_retry_after(start, sim):
    gateway = await start(providers={"sim": {"wire": "openai", "base_url": sim.base_url, "concurrency": 1}})
    slow = {**CHAT, "model": "sim/gpt@hang"}
    first = [asyncio.create_task(gateway.post("/v1/chat/completions", slow)) for _ in range(3)]
    done, _ = await asyncio.wait(first, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    [refused] = done
    assert refused.result().status_code == 503
    assert int(refused.result().headers["retry-after"]) >= 1
    for task in first:
        task.cancel()
    await asyncio.gather(*first, return_exceptions=True)

"""A caller who leaves a stream is booked what the provider reported, wherever it left (contract 9).

Real sockets on both sides; the gateway reads on, and what it books is compared with the same call read to its end.
"""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from simulator.serve import RunningSimulator
from tests.api.conftest import KEY_A, Gateway, Start
from tests.waiting import wait_until

HELLO = [{"role": "user", "content": "hello"}]
BEHAVIOUR = "@tokens=12,tps=200"
PRICE = {"input": 1, "output": 10}

FORMATS: dict[str, tuple[str, dict[str, Any], bytes]] = {
    "chat": (
        "/openai/chat/completions",
        {"model": f"openai/gpt-4o{BEHAVIOUR}", "messages": HELLO},
        b'"finish_reason":"',
    ),
    "chat, counted": (
        "/openai/chat/completions",
        {"model": f"openai/gpt-4o{BEHAVIOUR}", "messages": HELLO, "stream_options": {"include_usage": True}},
        b'"finish_reason":"',
    ),
    "completions": ("/v1/completions", {"model": f"openai/gpt{BEHAVIOUR}", "prompt": "hello"}, b'"finish_reason":"'),
    "responses": (
        "/v1/responses",
        {"model": f"openai/gpt-4o{BEHAVIOUR}", "input": "hello"},
        b"response.output_text.done",
    ),
    "responses, bridged": (
        "/v1/responses",
        {"model": f"anthropic/claude-haiku-4-5{BEHAVIOUR}", "input": "hello"},
        b"response.output_text.done",
    ),
    "messages": (
        "/anthropic/v1/messages",
        {"model": f"claude-haiku-4-5{BEHAVIOUR}", "messages": HELLO, "max_tokens": 900},
        b"event: content_block_stop",
    ),
    "generate": (
        f"/genai/v1beta/models/gemini-2.5-flash{BEHAVIOUR}:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
        b'"finishReason"',
    ),
}  # fmt: skip
FIRST, MIDDLE = 1, 6


@pytest.fixture
async def gateway(start: Start, sim: RunningSimulator) -> Gateway:
    key = {"keys": [{"value": "sk-upstream-key-0123456789"}], "retry": {"max_attempts": 1}}
    return await start(
        providers={
            "openai": {"base_url": sim.base_url, **key},
            "anthropic": {"base_url": f"{sim.origin}/anthropic", **key},
            "gemini": {"base_url": f"{sim.origin}/v1beta", **key},
        },
        prices={"openai/*": PRICE, "anthropic/*": PRICE, "gemini/*": PRICE},
        virtual_keys={"a": {"value": KEY_A, "budget": {"limit_usd": 100}}},
    )


async def read(gateway: Gateway, name: str, *, leave_at: int | bytes | None) -> None:
    """Read a stream: to its end, up to an event of that number, or up to the first that contains a word."""
    path, body, _ = FORMATS[name]
    asked = body if name == "generate" else {**body, "stream": True}
    seen = b""
    async with gateway.http.stream("POST", path, json=asked, headers={"x-bf-vk": KEY_A}) as answer:
        assert answer.status_code == 200
        async for chunk in answer.aiter_raw():
            seen += chunk
            here = seen.count(b"data:") if isinstance(leave_at, int) else leave_at in seen if leave_at else 0
            if leave_at is not None and here >= (leave_at if isinstance(leave_at, int) else 1):
                return


async def booked(gateway: Gateway, count: int) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []

    async def all_there() -> bool:
        lines = await gateway.services.commands.execute("XRANGE", "finops:ledger", "-", "+")
        found[:] = [orjson.loads(fields[1]) for _, fields in lines]
        return len(found) >= count

    await wait_until(all_there, 30)
    return found


@pytest.mark.parametrize("name", ["messages", "generate"])
async def test_a_count_that_never_ends_is_charged_as_reserved(gateway: Gateway, name: str) -> None:
    path, body, _ = FORMATS[name]
    stalled = "@stall=6,tokens=12"
    limited = {**body, "generationConfig": {"maxOutputTokens": 900}} if name == "generate" else {**body, "stream": True}
    if "model" in limited:
        limited["model"] = limited["model"].replace(BEHAVIOUR, stalled)
    asked = gateway.http.stream("POST", path.replace(BEHAVIOUR, stalled), json=limited, headers={"x-bf-vk": KEY_A})
    async with asked as answer:
        async for _ in answer.aiter_raw():
            break
    late_reads = gateway.services.inference.late_reads
    await wait_until(lambda: late_reads._tasks, 30)
    await late_reads.aclose()  # as when the process stops; otherwise it would wait for a minute
    (left,) = await booked(gateway, 1)
    assert (left["status"], left["output"], left["estimated"]) == (499, 900, True)


@pytest.mark.parametrize("name", FORMATS)
async def test_what_the_provider_reports_is_booked(gateway: Gateway, name: str) -> None:
    await read(gateway, name, leave_at=None)
    (whole,) = await booked(gateway, 1)
    assert whole["output"] == 12
    for number, leave_at in enumerate((FIRST, MIDDLE, FORMATS[name][2])):
        await read(gateway, name, leave_at=leave_at)
        left = (await booked(gateway, number + 2))[-1]
        amounts = ("input", "output", "cached", "cost", "estimated")
        assert {key: left.get(key) for key in amounts} == {key: whole.get(key) for key in amounts}
    assert await gateway.services.commands.execute("ZCARD", "finops:holds") == 0

"""The Batch API at the door: what is kept and run here, what happens to lines, cancelling, expiry, hostile files."""

import json

import pytest

from tests.api.batch_work import create, line, loop_of, read, take_turn_now, upload, work_off
from tests.api.conftest import KEY_A, KEY_B, Gateway, Start
from tests.key_leaks import assert_no_key_leaks

CLAUDE = {"wire": "anthropic", "keys": [{"value": "sk-upstream-key-0123456789"}], "retry": {"max_attempts": 1}}
TENANTS = {"team-a": {"value": KEY_A}, "team-b": {"value": KEY_B, "models": ["sim/*"]}}


@pytest.fixture
async def gateway(start: Start, sim) -> Gateway:
    """A gateway with providers that speak OpenAI's and Anthropic's formats, and nobody with a Batch API."""
    return await start(providers=providers(sim))


@pytest.fixture
async def tenants(start: Start, sim) -> Gateway:
    """The same with two virtual keys."""
    return await start(providers=providers(sim), virtual_keys=TENANTS)


def providers(sim) -> dict[str, object]:
    openai = {**CLAUDE, "wire": "openai", "base_url": sim.base_url}
    return {"claude": {**CLAUDE, "base_url": sim.base_url.removesuffix("/v1")}, "sim": openai}


async def test_models_of_several_providers_share_a_batch(gateway: Gateway):
    content = "\n".join([line("a", "claude/x"), "", line("b", "sim/y"), line("c", "sim/z@status=429"), ""])
    batch = await work_off(gateway, (await create(gateway, content))["id"])
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    output = {found["custom_id"]: found for found in await read(gateway, batch["output_file_id"])}
    assert set(output) == {"a", "b"}
    assert output["a"]["response"]["status_code"] == 200
    assert output["a"]["error"] is None
    [failed] = await read(gateway, batch["error_file_id"])
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("c", 429)
    assert failed["response"]["body"]["error"]["message"]


async def test_all_keys_of_a_batch_are_there_from_the_start(gateway: Gateway):
    batch = await create(gateway, line())
    assert set(batch) == {
        "id", "object", "endpoint", "model", "errors", "input_file_id", "completion_window", "status",
        "output_file_id", "error_file_id", "created_at", "in_progress_at", "expires_at", "finalizing_at",
        "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at", "request_counts", "usage", "metadata",
    }  # fmt: skip
    assert batch["expires_at"] == batch["created_at"] + 86_400


async def test_nothing_of_a_batch_stays_for_ever(gateway: Gateway, redis):
    batch = await work_off(gateway, (await create(gateway, line()))["id"])
    assert batch["status"] == "completed"
    await assert_no_key_leaks(redis, ["finops:jobs:*", "finops:wake:*", "arq:queue*", "finops:lane:*"])
    left = [key.decode() for key in await redis.keys("finops:*batch*")]
    assert sorted(key.split(":")[1] for key in left) == ["batch", "batch-request", "owner"]

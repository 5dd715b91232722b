"""Helpers for batches at an in-process gateway: they do a worker's part when a test asks for it."""

import json
from typing import Any

from shared.inference.submission import Submitter
from tests.api.conftest import Gateway
from worker.batch_lines import LineJobs
from worker.batch_turns import BatchTurns
from worker.batches import BatchLoop

URL = "/v1/chat/completions"


def turns_of(gateway: Gateway, *, window: int = 1000, max_queued: int = 1000) -> BatchTurns:
    services = gateway.services
    submitter = Submitter(services.inference, services.queue, services.store)
    jobs = LineJobs(submitter, services.store, services.batches, max_queued=max_queued)
    return BatchTurns(
        services.batches,
        services.files,
        jobs,
        services.inference,
        services.governance,
        window=window,
        max_line_bytes=services.settings.server.max_body_bytes,
    )


def loop_of(gateway: Gateway, **more: Any) -> BatchLoop:
    return BatchLoop(gateway.services.batches, turns_of(gateway, **more))


async def work_off(gateway: Gateway, batch_id: str, **more: Any) -> dict[str, Any]:
    """Advance a batch, and run its jobs, to its end; the batch as the API shows it."""
    loop = loop_of(gateway, **more)
    while True:
        await take_turn_now(gateway, loop, batch_id)
        await gateway.worker.work_off()
        batch = await gateway.services.batches.get(batch_id)
        assert batch is not None
        if batch.status.terminal:
            return batch.as_object()


async def take_turn_now(gateway: Gateway, loop: BatchLoop, batch_id: str) -> None:
    """Take a turn without waiting for it to be due."""
    await gateway.services.commands.execute("ZADD", "finops:batches:open", "XX", 0, batch_id)
    assert await loop.take_turn()


def line(custom_id: str = "a", model: str = "claude/x", url: str = URL, **more: Any) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body})


async def upload(gateway: Gateway, content: str | bytes, key: str = "", **fields: str) -> dict[str, Any]:
    """Keep a file here, whatever is in it."""
    headers = {"x-bf-provider": "finops"} | ({"x-bf-vk": key} if key else {})
    form = {"purpose": "batch", **fields}
    answer = await gateway.http.post("/v1/files", data=form, files={"file": ("in.jsonl", content)}, headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def create(gateway: Gateway, content: str | bytes, key: str = "", **more: Any) -> dict[str, Any]:
    """Upload a file and make a batch of it."""
    file = await upload(gateway, content, key)
    body = {"input_file_id": file["id"], "endpoint": URL, "completion_window": "24h", **more}
    answer = await gateway.post("/v1/batches", body, headers={"x-bf-vk": key} if key else {})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def read(gateway: Gateway, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of an output file."""
    if file_id is None:
        return []
    answer = await gateway.http.get(f"/v1/files/{file_id}/content")
    assert answer.status_code == 200, answer.text
    return [json.loads(text) for text in answer.text.splitlines()]

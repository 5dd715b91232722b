"""Work on large request bodies: beside the loop, in pieces, and with the results of the usual way."""

import json
import threading
from typing import Any

import orjson
import pytest

from shared.background import LARGE_BYTES, beside_loop
from shared.governance.pricing.usage import prompt_size, upper_estimate
from shared.jobs import records
from shared.jobs.queue import JobQueue
from shared.providers.wires.base import ProviderRequest
from shared.providers.wires.openai import OpenAIWire
from shared.surfaces.large_json import STEP_BYTES, dump_object, find_in_pieces
from shared.surfaces.request_types import CHAT
from tests.api.conftest import Gateway, gateway, sim, start  # noqa: F401 - fixtures
from tests.jobs.conftest import new_job

LARGE = STEP_BYTES + 1


def chat(content: str, **more: Any) -> dict[str, Any]:
    return {"model": "sim/old", "messages": [{"role": "user", "content": content}], **more}


def sent(fields: dict[str, Any], body: bytes | None = None, model: str = "new") -> dict[str, Any]:
    """The body that the wire makes of a request."""
    request = ProviderRequest(
        request_type=CHAT, model=model, body=orjson.dumps(fields) if body is None else body, fields=fields
    )
    return dict(json.loads(OpenAIWire().request(request).body))


async def test_only_large_bodies_are_worked_on_in_a_thread() -> None:
    here = threading.get_ident()
    assert await beside_loop(b"x" * LARGE_BYTES, threading.get_ident) == here
    assert await beside_loop(b"x" * (LARGE_BYTES + 1), threading.get_ident) != here


@pytest.mark.parametrize(
    "fields", [{}, {"a": []}, {"a": [1], "b": "c"}, {"a": [1, [2], {"x": None}], "ü": {"b": [1.5]}}]
)
@pytest.mark.parametrize("size", [0, LARGE])
def test_a_large_object_is_written_as_any_other(fields: dict[str, Any], size: int) -> None:
    assert dump_object(fields, size) == orjson.dumps(fields)


@pytest.mark.parametrize("at", [0, STEP_BYTES - 3, STEP_BYTES, 2 * STEP_BYTES])
def test_a_word_is_found_across_the_pieces(at: int) -> None:
    body = b"." * at + b"word" + b"." * 10
    assert find_in_pieces(body, b"word") == at
    assert find_in_pieces(body, b"word", at + 1) == find_in_pieces(body, b"words") == -1


@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize(
    ("more", "gone"),
    [({}, ()), ({"fallbacks": ["sim/x"]}, ("fallbacks",)), ({"metadata": {"model": "other"}}, ())],
)
def test_the_model_is_replaced_in_bodies_of_every_size(size: int, more: dict[str, Any], gone: tuple[str, ...]) -> None:
    fields = chat("x" * size, **more)
    kept = {name: value for name, value in fields.items() if name not in gone}
    assert sent(fields) == {**kept, "model": "new"}


@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize("name", [b'"\\u006dodel"', b'"model" '])
def test_however_the_model_is_spelled_it_is_replaced(size: int, name: bytes) -> None:
    fields = chat("x" * size)
    body = orjson.dumps(fields).replace(b'"model"', name)
    assert sent(fields, body) == {**fields, "model": "new"}


@pytest.mark.parametrize("content", ["x" * LARGE, "é" * LARGE, '{"ttl":"1h"}' * 100_000, "short"])
def test_a_prompt_that_was_measured_before_has_the_same_estimate(content: str) -> None:
    fields = chat(content, cache_control={"ttl": "1h"})
    body = orjson.dumps(fields)
    size = prompt_size(fields, body)
    assert size.kept_1h
    assert size.tokens >= len(content.encode()) // 4
    assert upper_estimate(CHAT, fields, body, prompt=size) == upper_estimate(CHAT, fields, body)


async def test_a_large_job_is_recognised_when_it_is_repeated(commands: Any) -> None:
    queue = JobQueue(commands)
    new = new_job(payload=b"x" * (records.LARGE_BYTES + 1), idempotency_key="k")
    first = await queue.submit(new)
    assert first.created
    again = await queue.find_repeated(new)
    assert again is not None and again.job.id == first.job.id
    assert not (await queue.submit(new)).created


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/anthropic/v1/messages", "/openai/responses"])
async def test_a_large_request_is_answered_and_becomes_a_job_on_every_surface(gateway: Gateway, path: str) -> None:  # noqa: F811
    content = "hello " * 60_000
    body = {**chat(content), "model": "sim/gpt-4o", "max_tokens": 5}
    if path.endswith("responses"):
        body = {"model": "sim/gpt-4o", "input": content}
    answer = await gateway.post(path, body)
    assert answer.status_code == 200, answer.text
    job_id = await gateway.submit(body, path)
    payload = await gateway.services.store.payload(job_id)
    assert payload is not None
    assert content in payload.decode()

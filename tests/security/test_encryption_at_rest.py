"""Bodies at rest: what the store holds with `[store] encryption_key`, rotation, and missing keys."""

import base64
import itertools
import os
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.errors import BodyUndecryptable
from shared.jobs.model import State
from shared.store.encryption import is_sealed, key_id
from simulator.serve import RunningSimulator
from tests.api.batch_work import create, line, loop_of, read, take_turn_now, work_off
from tests.api.conftest import Gateway, Start
from tests.blobs.conftest import directory
from tests.security.store_dump import dump
from worker.batches import SEALED_MS

OLD, NEW = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
MARK = "kolibri"
CHAT = {"model": "sim/sim-echo", "messages": [{"role": "user", "content": f"{MARK} " * 20}]}
RESPONSES = {"model": "claude/sim-echo", "input": f"{MARK} {MARK}", "instructions": f"be a {MARK}"}
SEEDS = itertools.count()
CACHE = {"mode": "exact", "ttl_s": 3600}
EVENT = b'{"delta":"kolibri"}'


def with_keys(*keys: str) -> dict[str, Any]:
    return {"store": {"encryption_key": list(keys)}, "cache": CACHE}


@pytest.fixture
def start(start: Start, sim: RunningSimulator) -> Start:
    """Start a gateway that has the simulator as a provider of another wire too, whose responses are stored here."""
    upstream = {"keys": [{"value": "sk-upstream-key-0123456789"}], "retry": {"max_attempts": 1}}
    origin = sim.base_url.removesuffix("/v1")
    providers = {
        "sim": {**upstream, "wire": "openai", "base_url": sim.base_url},
        "claude": {**upstream, "wire": "anthropic", "base_url": origin},
    }
    return partial(start, providers=providers)


class Traces:
    """What the use of a gateway leaves in its store."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def leave(self) -> None:
        """Use everything that stores a body."""
        gateway = self.gateway
        self.batch = await work_off(gateway, (await create(gateway, line("a", **CHAT)))["id"])
        self.file_id = self.batch["input_file_id"]
        self.done = await gateway.submit({**CHAT, "seed": next(SEEDS)})
        await gateway.worker.work_off()
        self.response_id = (await _ok(gateway.post("/v1/responses", RESPONSES)))["id"]
        await _ok(gateway.post("/v1/chat/completions", CHAT))
        await gateway.services.inference.cache.store.flush()  # type: ignore[union-attr]
        schedule = {"every_s": 3600, "request": {"type": "chat.completions", "body": CHAT}}
        self.schedule_id = (await _ok(gateway.post("/v1/async/schedules", schedule)))["id"]
        self.pending = (await _ok(gateway.post("/v1/responses", {**RESPONSES, "background": True})))["id"]
        self.running = await gateway.submit({**CHAT, "seed": next(SEEDS)})
        for claim in await gateway.worker.claim(2):
            if claim.id == self.running:
                await gateway.services.events.append(claim, [("delta", EVENT)])

    async def found(self, gateway: Gateway) -> None:
        """Read all of it back at a gateway."""
        for answer in (await gateway.poll(self.done), await gateway.post("/v1/chat/completions", CHAT)):
            assert MARK in answer.json()["choices"][0]["message"]["content"]
        assert "; hit" in answer.headers["cache-status"]
        follow_up = {**RESPONSES, "previous_response_id": self.response_id}
        assert (await _ok(gateway.post("/v1/responses", follow_up)))["status"] == "completed"
        (row,) = await read(gateway, self.batch["output_file_id"])
        assert MARK in row["response"]["body"]["choices"][0]["message"]["content"]
        file = await _ok(gateway.http.get(f"/v1/files/{self.batch['output_file_id']}"))
        content = await gateway.http.get(f"/v1/files/{file['id']}/content")
        assert len(content.content) == file["bytes"]
        assert MARK in (await gateway.http.get(f"/v1/files/{self.file_id}/content")).text
        schedule = await _ok(gateway.http.get(f"/v1/async/schedules/{self.schedule_id}"))
        assert schedule["request"]["body"] == CHAT
        assert (await _ok(gateway.http.get(f"/v1/responses/{self.pending}")))["instructions"] == f"be a {MARK}"
        events = await gateway.services.events.read(self.running)
        assert EVENT in [event.data for event in events]
        assert await gateway.services.store.payload(self.running) is not None


async def _ok(request: Any) -> dict[str, Any]:
    answer: httpx.Response = await request
    assert answer.status_code in {200, 201}, answer.text
    return dict(answer.json())


def _with_mark(found: dict[str, bytes]) -> set[str]:
    return {key for key, content in found.items() if MARK.encode() in content}


async def test_the_store_holds_no_text_of_a_body_and_all_of_them_are_read(start: Start) -> None:
    gateway = await start(**with_keys(OLD))
    traces = Traces(gateway)
    await traces.leave()
    found = await dump(gateway.services.commands)
    assert _with_mark(found) == set()
    sealed = {key.split(":")[1] for key, content in found.items() if content.startswith(b"\xffFINOPS")}
    assert sealed >= {"job", "file", "response"}
    await traces.found(gateway)


async def test_plain_bodies_are_read_with_a_key_and_a_new_key_reads_the_old_ones(start: Start) -> None:
    plain = await start(cache=CACHE)
    traces = Traces(plain)
    await traces.leave()
    assert _with_mark(await dump(plain.services.commands)), "the marker would be found"
    await traces.found(await start(**with_keys(OLD)))
    await plain.services.commands.execute("FLUSHALL")
    first = await start(**with_keys(OLD))
    traces = Traces(first)
    await traces.leave()
    rotated = await start(**with_keys(NEW, OLD))
    await traces.found(rotated)
    job_id = await rotated.submit({**CHAT, "seed": next(SEEDS)})
    payload = await rotated.services.commands.execute("GET", f"finops:job:{job_id}:payload")
    assert is_sealed(payload)
    assert payload[8:12] == key_id(base64.b64decode(NEW))


async def test_without_its_key_every_body_is_a_clear_error_and_none_is_lost(start: Start) -> None:
    first = await start(**with_keys(OLD))
    traces = Traces(first)
    await traces.leave()
    waiting = await first.submit({**CHAT, "seed": next(SEEDS)})
    for gateway in (await start(**with_keys(NEW)), await start(cache=CACHE)):
        for answer in (
            await gateway.poll(traces.done),
            await gateway.http.get(f"/v1/async/jobs/{traces.done}"),
            await gateway.post("/v1/responses", {**RESPONSES, "previous_response_id": traces.response_id}),
            await gateway.http.get(f"/v1/async/schedules/{traces.schedule_id}"),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (500, "body_undecryptable")
        assert key_id(base64.b64decode(OLD)).hex() in answer.json()["error"]["message"]
        uncached = await gateway.post("/v1/chat/completions", CHAT)
        assert (uncached.status_code, "; hit" in uncached.headers["cache-status"]) == (200, False)
        (listed,) = (await _ok(gateway.http.get("/v1/async/schedules")))["data"]
        assert (listed["request"], listed["last_error"]["code"]) == ({}, "body_undecryptable")
        pending = await _ok(gateway.http.get(f"/v1/responses/{traces.pending}"))
        assert pending["instructions"] is None
        for part in (traces.file_id, traces.batch["output_file_id"]):
            file = await gateway.services.files.get(part)
            assert file is not None
            with pytest.raises(BodyUndecryptable):
                await gateway.services.files.read(part, 0)
            with pytest.raises(BodyUndecryptable):
                await gateway.services.files.read(part, 0, 10)
        with pytest.raises(BodyUndecryptable):
            await gateway.services.events.read(traces.running)
    await gateway.worker.work_off()
    failed = await gateway.poll(waiting)
    assert (failed.status_code, failed.json()["error"]["code"]) == (500, "body_undecryptable")
    await first.services.store.retry(waiting)
    await first.worker.work_off()
    assert MARK in (await first.poll(waiting)).json()["choices"][0]["message"]["content"]


async def test_a_batch_without_its_key_waits_and_goes_on_with_it(start: Start) -> None:
    first, other = await start(**with_keys(OLD)), await start(**with_keys(NEW))
    batch = await create(first, line("a", **CHAT))
    for _ in range(2):
        await take_turn_now(first, loop_of(first), batch["id"])
    await first.worker.work_off()
    await take_turn_now(other, loop_of(other), batch["id"])
    due_ms = float(await first.services.commands.execute("ZSCORE", "finops:batches:open", batch["id"]))
    seconds, _ = await first.services.commands.execute("TIME")
    assert due_ms / 1000 > int(seconds) + SEALED_MS / 1000 / 2
    ended = await work_off(first, batch["id"])
    assert (ended["status"], ended["request_counts"]["completed"]) == ("completed", 1)


async def test_a_schedule_without_its_key_is_put_off_and_fires_with_it(start: Start) -> None:
    first, other = await start(**with_keys(OLD)), await start(**with_keys(NEW))
    body = {"every_s": 3600, "request": {"type": "chat.completions", "body": CHAT}}
    schedule_id = (await _ok(first.post("/v1/async/schedules", body)))["id"]
    commands = first.services.commands
    await commands.execute("ZADD", "finops:schedules:due", 0, schedule_id)
    assert await other.services.schedules.take() == 0.0
    assert b"body_undecryptable" in await commands.execute("HGET", f"finops:schedule:{schedule_id}", "last_error")
    assert float(await other.services.schedules.take()) > 0  # type: ignore[arg-type]
    await commands.execute("ZADD", "finops:schedules:due", 0, schedule_id)
    turn = await first.services.schedules.take()
    assert not isinstance(turn, float)
    assert turn.schedule.request["body"] == CHAT


async def test_objects_in_the_object_store_are_sealed(start: Start, tmp_path: Path) -> None:
    place = directory(tmp_path / "bodies")
    gateway = await start(blobs={"url": place.url, "min_kb": 1}, **with_keys(OLD))
    long = {**CHAT, "messages": [{"role": "user", "content": (MARK * 8 + " ") * 30}]}
    job_id = await gateway.submit(long)
    await gateway.worker.work_off()
    batch = await work_off(gateway, (await create(gateway, line("a", **long)))["id"])
    names = place.names()
    assert {name.split("/")[0] for name in names} == {"jobs", "files"}
    for name in names:
        content = await place.open().get(name)
        assert content is not None
        assert is_sealed(content)
        assert MARK.encode() not in content
    assert MARK in (await gateway.poll(job_id)).json()["choices"][0]["message"]["content"]
    (row,) = await read(gateway, batch["output_file_id"])
    assert row["custom_id"] == "a"
    plain = await start(blobs={"url": place.url, "min_kb": 1})
    with pytest.raises(BodyUndecryptable):
        await plain.services.files.read(batch["output_file_id"], 0, 10)


async def test_a_value_that_is_moved_to_another_key_does_not_open(start: Start) -> None:
    gateway = await start(**with_keys(OLD))
    mine, other = await gateway.submit(CHAT), await gateway.submit({**CHAT, "temperature": 1})
    commands = gateway.services.commands
    moved = await commands.execute("GET", f"finops:job:{mine}:payload")
    await commands.execute("SET", f"finops:job:{other}:payload", moved, "KEEPTTL")
    await gateway.worker.work_off()
    job = await gateway.services.store.get(other)
    assert job is not None
    assert (job.state, (job.error or {})["code"]) == (State.FAILED, "body_undecryptable")


async def test_a_result_that_nobody_packed_is_sealed(start: Start) -> None:
    gateway = await start(**with_keys(OLD))
    job_id = await gateway.submit(CHAT)
    (claim,) = await gateway.worker.claim()
    await gateway.worker.complete(claim, f'{{"text":"{MARK}"}}'.encode())
    assert _with_mark(await dump(gateway.services.commands)) == set()
    assert (await gateway.poll(job_id)).json()["text"] == MARK

"""The gateway with an object store: what callers see, and what Redis and the object store hold."""

import asyncio
import json
from pathlib import Path
from typing import cast

import pytest

from shared.blobs.blob_store import BlobStoreError
from shared.errors import StoreUnavailable
from shared.jobs.blobs import ListedBlobs
from shared.jobs.bodies import BodyPolicy
from shared.jobs.model import Claim, Outcome, State
from shared.jobs.store import JobStore
from tests.api.batch_work import create, line, loop_of, read, take_turn_now, work_off
from tests.api.conftest import Gateway, Start, sim, start  # noqa: F401 - fixtures
from tests.blobs.conftest import Place, directory
from tests.worker.engine import bench_on, done, working
from worker import blob_sweep
from worker.blob_sweep import BlobSweep
from worker.handle import RunHandle
from worker.outage import OutageLog

WORDS = f"{'x' * 50} " * 50  # few words: each is an event of the job
CHAT = {"model": "sim/sim-echo", "messages": [{"role": "user", "content": WORDS}]}


@pytest.fixture
def bodies(tmp_path: Path) -> Place:
    return directory(tmp_path / "bodies")


@pytest.fixture
async def gateway(start: Start, bodies: Place) -> Gateway:  # noqa: F811
    return await start(blobs={"url": bodies.url, "min_kb": 2})


async def test_the_life_of_a_job_with_large_bodies(gateway: Gateway, bodies: Place) -> None:
    job_id = await gateway.submit(CHAT)
    assert len(bodies.names()) == 1
    await gateway.worker.work_off()
    services = gateway.services
    assert await services.commands.execute("HSTRLEN", f"finops:job:{job_id}", "result") == 0
    answer = await gateway.poll(job_id)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == WORDS
    sweeper = BlobSweep(ListedBlobs(services.commands, bodies.open()), OutageLog())
    await sweeper.sweep()
    assert len(bodies.names()) == 1, "the result's object alone"
    metrics = (await gateway.http.get("/metrics")).text
    assert 'finops_blob_operations_total{operation="put",result="done"} 1.0' in metrics
    assert (await gateway.http.delete(f"/v1/async/jobs/{job_id}")).status_code == 200
    await sweeper.sweep()
    assert bodies.names() == set()


async def test_a_job_whose_request_body_is_lost_fails_with_a_code(gateway: Gateway, bodies: Place) -> None:
    job_id = await gateway.submit(CHAT)
    await bodies.open().delete(sorted(bodies.names()))
    await gateway.worker.work_off()
    answer = await gateway.poll(job_id)
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "body_lost")


async def test_a_lost_result_is_a_410_on_every_surface_and_the_job_can_be_deleted(
    gateway: Gateway, bodies: Place
) -> None:
    job_id = await gateway.submit(CHAT)
    await gateway.worker.work_off()
    await bodies.open().delete(sorted(bodies.names()))
    path = f"/v1/async/chat/completions/{job_id}"
    for answer in (
        await gateway.poll(job_id),
        await gateway.http.get(path),
        await gateway.http.get(f"{path}/content"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (410, "body_lost")
    assert (await gateway.http.delete(f"/v1/async/jobs/{job_id}")).status_code == 200


async def test_a_lost_result_is_an_anthropic_error_there(gateway: Gateway, bodies: Place) -> None:
    body = {**CHAT, "max_tokens": 5000}
    job_id = await gateway.submit(body, "/anthropic/v1/messages")
    await gateway.worker.work_off()
    await bodies.open().delete(sorted(bodies.names()))
    answer = await gateway.poll(job_id, "/anthropic/v1/messages")
    assert (answer.status_code, answer.json()["type"]) == (410, "error")


async def test_a_batch_with_large_files_and_answers(gateway: Gateway, bodies: Place) -> None:
    lines = [line(str(number), "sim/sim-echo", messages=CHAT["messages"]) for number in range(3)]
    batch = await create(gateway, "\n".join(lines))
    assert bodies.names() == {f"files/{batch['input_file_id']}/0"}
    ended = await work_off(gateway, batch["id"])
    assert ended["status"] == "completed"
    assert f"files/{ended['output_file_id']}/0" in bodies.names()
    output = await read(gateway, ended["output_file_id"])
    assert sorted(row["custom_id"] for row in output) == ["0", "1", "2"]
    assert {json.dumps(row["response"]["body"]["choices"][0]["message"]["content"]) for row in output} == {
        json.dumps(WORDS)
    }


async def test_a_batchs_line_whose_result_is_lost_is_an_error_line(gateway: Gateway, bodies: Place) -> None:
    batch = await create(gateway, line("a", "sim/sim-echo", messages=CHAT["messages"]))
    loop = loop_of(gateway)
    for _ in range(2):
        await take_turn_now(gateway, loop, batch["id"])
    await gateway.worker.work_off()
    await bodies.open().delete([name for name in sorted(bodies.names()) if "/result-" in name])
    ended = await work_off(gateway, batch["id"])
    (row,) = await read(gateway, ended["error_file_id"])
    assert (row["response"]["status_code"], row["response"]["body"]["error"]["code"]) == (410, "body_lost")


@pytest.mark.parametrize("blobs", [{"url": "s3:/x"}, {"min_kb": 0}, {"url": "file://x"}])
async def test_an_invalid_section_is_refused(start: Start, blobs: dict[str, object]) -> None:  # noqa: F811
    with pytest.raises(ValueError, match="blobs"):
        await start(blobs=blobs)


async def test_a_worker_stores_results_as_its_options_say(redis_url: str, bodies: Place) -> None:
    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        return done(WORDS.encode())

    policy = BodyPolicy(blobs=bodies.open(), blob_min_bytes=2048)
    async with bench_on(redis_url) as bench, working(redis_url, run, bodies=policy):
        bench.store = JobStore(bench.commands, policy)
        job = await bench.until_state(await bench.submit(), State.COMPLETED)
    assert job.result == WORDS.encode()
    assert len(bodies.names()) == 1


@pytest.mark.parametrize("ending", ["stop", "cancel"])
async def test_an_answer_on_its_way_to_the_object_store_is_kept_when_the_worker_stops(
    redis_url: str, bodies: Place, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    writing = asyncio.Event()

    async def never(*args: object) -> None:
        writing.set()
        await asyncio.Event().wait()

    async def run(claim: Claim, handle: RunHandle) -> Outcome:
        return done(WORDS.encode())

    monkeypatch.setattr("shared.blobs.blob_store.BlobStore.put", never)
    policy = BodyPolicy(blobs=bodies.open(), blob_min_bytes=2048)
    async with bench_on(redis_url) as bench:
        async with working(redis_url, run, bodies=policy, grace_s=0.0):
            job_id = await bench.submit()
            async with asyncio.timeout(20):
                await writing.wait()
            if ending == "cancel":
                await bench.store.cancel(job_id)
        job = await bench.store.get(job_id)
    assert job is not None
    assert (job.state, job.result) == (
        (State.COMPLETED, WORDS.encode()) if ending == "stop" else (State.CANCELLED, b"")
    )


@pytest.mark.parametrize("error", [BlobStoreError("no"), StoreUnavailable(), None])
async def test_the_sweep_goes_on_after_trouble(error: Exception | None) -> None:
    swept = asyncio.Event()

    class Listed:
        calls = 0

        async def take_orphans(self, count: int, lease_ms: int) -> list[str]:
            self.calls += 1
            if self.calls > 1:
                swept.set()
                return []
            if error is not None:
                raise error
            return ["a"] * count

        async def delete(self, names: list[str]) -> None:
            return

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blob_sweep, "POLL_S", 0.0)
        task = asyncio.create_task(BlobSweep(cast("ListedBlobs", Listed()), OutageLog()).run())
        async with asyncio.timeout(10):
            await swept.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

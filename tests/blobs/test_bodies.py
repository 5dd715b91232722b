"""Bodies of jobs: compressed in Redis, or in the object store, and what is deleted when."""

import uuid

import pytest

from shared.blobs.blob_store import BlobStoreError
from shared.errors import BodyLost, StoreUnavailable
from shared.jobs import keys
from shared.jobs.blobs import ListedBlobs
from shared.jobs.bodies import Bodies, BodyPolicy
from shared.jobs.model import Job, NewJob, Outcome, RetryChanges, State
from shared.jobs.queue import JobQueue
from shared.jobs.records import LARGE_BYTES
from shared.jobs.store import JobStore
from shared.store.commands import RedisCommands
from tests.blobs.conftest import Place
from tests.jobs.conftest import BROKEN, claim_one, new_job
from tests.jobs.test_keys import assert_every_key_is_known
from worker.blob_sweep import BlobSweep
from worker.outage import OutageLog

SMALL, TEXT = b'{"a":1}', b'{"text":"' + b"all work and no play " * 500 + b'"}'
NOISE = b"".join(uuid.uuid4().bytes for _ in range(4000))
LARGE_NOISE = b"".join(uuid.uuid4().bytes for _ in range(20_000))


class Engine:
    """A queue and a store under one policy of bodies, and a worker's part."""

    def __init__(self, commands: RedisCommands, policy: BodyPolicy) -> None:
        self.commands = commands
        self.queue, self.store = JobQueue(commands, bodies=policy), JobStore(commands, policy)
        self.bodies = Bodies(commands, policy)
        self.sweeper = BlobSweep(ListedBlobs(commands, policy.blobs), OutageLog())

    async def answer(self, new: NewJob, outcome: Outcome) -> bool:
        await self.queue.submit(new)
        claim = await self.bodies.with_payload(await claim_one(self.queue))
        assert claim.payload == new.payload
        return await self.store.finish(claim, await self.bodies.pack_result(claim, outcome))

    async def job(self, job_id: str) -> Job:
        job = await self.store.get(job_id)
        assert job is not None
        return job

    async def sweep_later(self) -> None:
        """Sweep as if every listed object were due."""
        for name in await self.commands.execute("ZRANGE", keys.BLOBS, 0, -1):
            await self.commands.execute("ZADD", keys.BLOBS, 0, name)
        await self.sweeper.sweep()


def completed(result: bytes) -> Outcome:
    return Outcome(state=State.COMPLETED, status_code=200, result=result)


@pytest.fixture
def packing(commands: RedisCommands) -> Engine:
    return Engine(commands, BodyPolicy(compress_min_bytes=2048))


@pytest.fixture(params=["fake", "real-multiplexed"])
def commands_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(commands: RedisCommands, place: Place) -> Engine:
    return Engine(commands, BodyPolicy(compress_min_bytes=2048, blobs=place.open(), blob_min_bytes=4096))


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(SMALL, b""), (TEXT, b"z"), (NOISE, b""), (TEXT * 100, b"z"), (LARGE_NOISE, b"")],
    ids=["small", "text", "noise", "large text", "large noise"],
)
async def test_a_body_is_compressed_where_that_helps(
    packing: Engine, commands: RedisCommands, body: bytes, encoding: bytes
) -> None:
    new = new_job(payload=body, keep_payload=True)
    assert await packing.answer(new, completed(body))
    fields = await commands.execute("HMGET", keys.job(new.id), "payload_as", "result_as")
    assert [field or b"" for field in fields] == [encoding, encoding]
    stored = await commands.execute("STRLEN", keys.payload(new.id))
    assert stored < len(body) / 2 if encoding else stored == len(body)
    assert await packing.store.payload(new.id) == body
    assert (await packing.job(new.id)).result == body
    assert (await packing.store.cancel(new.id)).result == body
    await assert_every_key_is_known(commands)


async def test_quotas_count_the_bodies_own_bytes(packing: Engine, engine: Engine, commands: RedisCommands) -> None:
    for own in (packing, engine):
        new = new_job(owner="a", payload=TEXT)
        await own.queue.submit(new)
        assert await commands.execute("HGET", "finops:stored:a", "live") == str(len(TEXT)).encode()
        claim = await claim_one(own.queue)
        await own.store.finish(claim, await own.bodies.pack_result(claim, completed(TEXT * 2)))
        assert await commands.execute("HGET", keys.job(new.id), "stored") == str(2 * len(TEXT)).encode()
        await own.store.delete(new.id)
        assert not await commands.execute("HGETALL", "finops:stored:a")


async def test_uncompressed_records_are_read_under_the_new_policy(commands: RedisCommands, packing: Engine) -> None:
    old = Engine(commands, BodyPolicy())
    new = new_job(payload=TEXT, keep_payload=True)
    assert await old.answer(new, completed(TEXT))
    assert (await packing.job(new.id)).result == TEXT
    assert await packing.store.payload(new.id) == TEXT


async def test_a_damaged_body_is_lost_not_served(packing: Engine, commands: RedisCommands) -> None:
    new = new_job(payload=TEXT)
    await packing.queue.submit(new)
    await commands.execute("SETRANGE", keys.payload(new.id), 0, b"garbage")
    with pytest.raises(BodyLost):
        await packing.bodies.with_payload(await claim_one(packing.queue))
    with pytest.raises(BodyLost):
        await packing.bodies.unpack(b"x", "another version's", "jobs/x/payload")


async def test_bodies_above_the_limit_are_objects(engine: Engine, place: Place, commands: RedisCommands) -> None:
    new = new_job(payload=NOISE, idempotency_key="k")
    await engine.answer(new, completed(LARGE_NOISE))
    (name,) = await commands.execute("HMGET", keys.job(new.id), "result_as")
    assert f"b:{next(iter(place.names() - _of_payload(place, new.id)))}".encode() == name
    assert await commands.execute("EXISTS", keys.payload(new.id), keys.result(new.id)) == 0
    assert (await engine.job(new.id)).result == LARGE_NOISE
    assert (await engine.queue.submit(new)).job.result == LARGE_NOISE
    await assert_every_key_is_known(commands)


def _of_payload(place: Place, job_id: str) -> set[str]:
    return {name for name in place.names() if name.startswith(f"jobs/{job_id}/") and "/result-" not in name}


async def test_a_payload_is_deleted_after_its_job_and_a_result_with_its_record(engine: Engine, place: Place) -> None:
    new = new_job(payload=NOISE)
    await engine.answer(new, completed(NOISE))
    assert len(place.names()) == 2, "deleted after the record stops naming it"
    await engine.sweeper.sweep()
    assert [name for name in place.names() if "/result-" not in name] == []
    await engine.sweep_later()
    assert (await engine.job(new.id)).result == NOISE, "what a record names is not swept"
    await engine.store.delete(new.id)
    await engine.sweeper.sweep()
    assert place.names() == set()
    assert not await engine.commands.execute("EXISTS", keys.BLOBS)


async def test_a_cancelled_jobs_payload_is_deleted(engine: Engine, place: Place) -> None:
    new = new_job(payload=NOISE)
    await engine.queue.submit(new)
    await engine.sweep_later()
    assert len(place.names()) == 1
    await engine.store.cancel(new.id)
    await engine.sweeper.sweep()
    assert place.names() == set()


async def test_an_expired_records_objects_are_deleted(engine: Engine, place: Place) -> None:
    new = new_job(payload=SMALL)
    await engine.answer(new, completed(NOISE))
    await engine.commands.execute("DEL", keys.job(new.id))
    await engine.sweep_later()
    assert place.names() == set()


async def test_a_run_that_lost_its_lease_leaves_an_orphan_that_is_swept(engine: Engine, place: Place) -> None:
    new = new_job()
    await engine.queue.submit(new)
    claim = await claim_one(engine.queue)
    outcome = await engine.bodies.pack_result(claim, completed(NOISE))
    await engine.store.cancel(new.id)
    assert not await engine.store.finish(claim, outcome)
    await engine.sweeper.sweep()
    assert len(place.names()) == 1, "only after the time that a slow write may take"
    await engine.sweep_later()
    assert place.names() == set()


async def test_a_result_that_is_sent_twice_is_one_object(engine: Engine, place: Place) -> None:
    new = new_job()
    await engine.queue.submit(new)
    claim = await claim_one(engine.queue)
    outcome = await engine.bodies.pack_result(claim, completed(NOISE))
    assert await engine.bodies.pack_result(claim, completed(NOISE)) == outcome
    assert await engine.bodies.pack_result(claim, BROKEN) == BROKEN
    assert await engine.store.finish(claim, outcome)
    assert await engine.store.finish(claim, outcome)
    assert len(place.names()) == 1


async def test_a_retry_keeps_its_payload_or_replaces_it(engine: Engine, place: Place) -> None:
    new = new_job(payload=NOISE)
    await engine.answer(new, BROKEN)
    await engine.store.retry(new.id)
    assert (await engine.bodies.with_payload(await claim_one(engine.queue))).payload == NOISE
    (first,) = place.names()
    await engine.store.cancel(new.id)
    failed = new_job(payload=NOISE)
    await engine.answer(failed, BROKEN)
    await engine.store.retry(failed.id, RetryChanges(payload=NOISE[::-1]))
    assert (await engine.bodies.with_payload(await claim_one(engine.queue))).payload == NOISE[::-1]
    await engine.sweeper.sweep()
    assert len(place.names()) == 1
    assert first not in place.names()


async def test_a_lost_object_is_a_clear_error_and_its_job_stays_readable(engine: Engine, place: Place) -> None:
    new = new_job(payload=NOISE, keep_payload=True)
    await engine.answer(new, completed(NOISE))
    blobs = place.open()
    await blobs.delete(sorted(place.names()))
    job = await engine.job(new.id)
    assert (job.state, job.result, job.result_lost) == (State.COMPLETED, b"", True)
    with pytest.raises(BodyLost):
        job.check_result()
    with pytest.raises(BodyLost):
        await engine.store.payload(new.id)
    assert await engine.store.delete(new.id)


async def test_a_body_stays_in_redis_if_the_object_store_does_not_take_it(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*args: object) -> None:
        raise BlobStoreError("no")

    with monkeypatch.context() as patch:
        patch.setattr("shared.blobs.blob_store.BlobStore.put", refuse)
        new = new_job(payload=NOISE)
        await engine.answer(new, completed(LARGE_NOISE))
    assert (await engine.job(new.id)).result == LARGE_NOISE
    assert place.names() == set()


async def test_an_object_store_that_does_not_answer_is_an_outage(
    engine: Engine, commands: RedisCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = new_job(payload=NOISE)
    await engine.answer(new, completed(NOISE))

    async def refuse(*args: object) -> None:
        raise BlobStoreError("no")

    monkeypatch.setattr("shared.blobs.blob_store.BlobStore.get", refuse)
    with pytest.raises(StoreUnavailable, match="object store"):
        await engine.store.get(new.id)
    with pytest.raises(StoreUnavailable, match=r"\[blobs\]"):
        await JobStore(commands).get(new.id)


async def test_objects_that_cannot_be_deleted_are_tried_again(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = new_job(payload=NOISE)
    await engine.answer(new, completed(b""))

    async def refuse(*args: object) -> None:
        raise BlobStoreError("no")

    with monkeypatch.context() as patch:
        patch.setattr("shared.blobs.blob_store.BlobStore.delete", refuse)
        with pytest.raises(BlobStoreError):
            await engine.sweeper.sweep()
    await engine.sweeper.sweep()
    assert len(place.names()) == 1, "another worker may be deleting it"
    await engine.sweep_later()
    assert place.names() == set()


async def test_without_an_object_store_nothing_is_put_there(commands: RedisCommands) -> None:
    assert not await ListedBlobs(commands, None).put("jobs/1/a", NOISE)
    await ListedBlobs(commands, None).delete(["jobs/1/a"])


async def test_an_unknown_name_in_the_list_is_an_orphan(engine: Engine) -> None:
    await engine.commands.execute("ZADD", keys.BLOBS, 0, "others/1/a", 0, "no path")
    await engine.sweeper.sweep()
    assert not await engine.commands.execute("EXISTS", keys.BLOBS)


async def test_a_large_body_is_compressed_outside_the_loop(packing: Engine) -> None:
    stored = await packing.bodies.pack("jobs/x", TEXT * 100)
    assert len(TEXT * 100) > LARGE_BYTES
    assert await packing.bodies.unpack(stored.data, stored.encoding, "jobs/x/payload") == TEXT * 100

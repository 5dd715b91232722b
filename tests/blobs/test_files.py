"""Files of batches whose parts are in the object store."""

import pytest

from shared.batches import keys
from shared.batches.files import FileStore
from shared.batches.model import Status, StoredFile
from shared.batches.reading import InputGone, read_lines
from shared.batches.store import BatchStore, Line
from shared.errors import BodyLost
from shared.jobs.blobs import ListedBlobs
from shared.jobs.bodies import BodyPolicy
from shared.jobs.keys import BLOBS
from shared.store.commands import RedisCommands
from tests.batches.conftest import keep, made
from tests.blobs.conftest import Place
from tests.jobs.test_keys import assert_every_key_is_known
from worker.blob_sweep import BlobSweep
from worker.outage import OutageLog

LARGE, SMALL = b'{"line":1}\n' * 500, b'{"line":2}\n'


@pytest.fixture(params=["real-multiplexed"])
def commands_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def files(commands: RedisCommands, place: Place) -> FileStore:
    policy = BodyPolicy(blobs=place.open(), blob_min_bytes=1024)
    return FileStore(commands, max_owner_bytes=100_000, bodies=policy)


@pytest.fixture
def sweeper(commands: RedisCommands, place: Place) -> BlobSweep:
    return BlobSweep(ListedBlobs(commands, place.open()), OutageLog())


async def content(files: FileStore, file: StoredFile) -> bytes:
    return b"".join([piece async for piece in files.content(file)])


async def test_large_parts_are_objects_and_the_file_reads_as_before(
    files: FileStore, place: Place, commands: RedisCommands
) -> None:
    file = await keep(files, LARGE, SMALL)
    assert place.names() == {keys.blob(file.id, 0)}
    assert await commands.execute("STRLEN", keys.part(file.id, 0)) == 0
    assert await content(files, file) == LARGE + SMALL
    assert await files.read(file.id, 0, 11) == LARGE[11:]
    assert await files.read(file.id, 1, 11) == b""
    assert await files.read(file.id, 2) == b""
    lines = [line async for some in read_lines(files, file, max_bytes=100) for line in some]
    assert len(lines) == 501
    await assert_every_key_is_known(commands)


async def test_objects_of_a_deleted_file_are_deleted(
    files: FileStore, place: Place, commands: RedisCommands, sweeper: BlobSweep
) -> None:
    file = await keep(files, LARGE, LARGE, SMALL)
    await commands.execute("ZADD", BLOBS, 0, keys.blob(file.id, 0), 0, keys.blob(file.id, 1))
    await sweeper.sweep()
    assert len(place.names()) == 2, "the file names them"
    await files.delete(file.id)
    await sweeper.sweep()
    assert place.names() == set()
    assert not await commands.execute("EXISTS", BLOBS)


async def test_a_lost_object_fails_the_read_and_the_batch(files: FileStore, place: Place) -> None:
    file = await keep(files, LARGE)
    await place.open().delete(sorted(place.names()))
    with pytest.raises(BodyLost):
        await content(files, file)
    with pytest.raises(InputGone):
        _ = [line async for line in read_lines(files, file, max_bytes=100)]


async def test_a_batchs_outputs_are_moved_out_when_it_has_ended(
    files: FileStore, place: Place, commands: RedisCommands
) -> None:
    batches = BatchStore(commands)
    batch = await made(files, batches)
    turn = await batches.take()
    assert turn is not None
    await batches.collect(turn.batch, [Line(number, "output", LARGE) for number in range(2)])
    await batches.close(turn.batch, Status.COMPLETED)
    await files.move_out(batch.output_file)
    await files.move_out(batch.error_file)
    assert place.names() == {keys.blob(batch.output_file, 0)}
    output = await files.get(batch.output_file)
    assert output is not None
    assert output.size == 2 * len(LARGE)
    assert await content(files, output) == LARGE + LARGE
    await FileStore(commands).move_out(batch.output_file)
    assert await content(files, output) == LARGE + LARGE

"""Guarantees of the batch scripts: one turn at a time, one result per line, and keys that expire."""

import re

import pytest

from shared.batches import keys
from shared.batches.files import FileStore
from shared.batches.model import Status
from shared.batches.scripts import batch_scripts
from shared.batches.store import BatchStore, Line, TurnLost, is_written
from shared.errors import Conflict, NotFound, RequestTooLarge, StoreUnavailable
from shared.jobs import keys as job_keys
from shared.keyspace import ALL_KEYS
from shared.store.commands import RedisCommands
from tests.batches.conftest import keep, made

KINDS = {b"zset": "sorted set"}


async def test_a_turn_that_was_taken_over_writes_nothing(
    files: FileStore, batches: BatchStore, commands: RedisCommands
):
    batch = await made(files, batches)
    first = await batches.take()
    assert first is not None
    assert await batches.take() is None
    await commands.execute("ZADD", keys.OPEN, 0, batch.id)  # its lease ends
    second = await batches.take()
    assert second is not None
    line = Line(0, "output", b"{}\n")
    with pytest.raises(TurnLost):
        await batches.collect(first.batch, [line])
    with pytest.raises(TurnLost):
        await batches.end_turn(first.batch, 0)
    with pytest.raises(TurnLost):
        await batches.close(first.batch, Status.COMPLETED)
    assert await batches.collect(second.batch, [line]) == (1, 0)
    assert second.batch.tries == 2
    await batches.end_turn(second.batch, 0)
    found = await batches.get(batch.id)
    assert found is not None
    assert (found.tries, found.completed) == (0, 1)


async def test_a_line_is_written_once(files: FileStore, batches: BatchStore):
    await made(files, batches)
    turn = await batches.take()
    assert turn is not None
    lines = [Line(9, "output", b"nine\n", (3, 1, 2, 1)), Line(2, "error", b"two\n")]
    assert await batches.collect(turn.batch, lines) == (1, 1)
    assert await batches.collect(turn.batch, [*lines, Line(9, "error", b"again\n")]) == (1, 1)
    written = await batches.written(turn.batch)
    assert [number for number in range(100) if is_written(written, number)] == [2, 9]
    await batches.close(turn.batch, Status.COMPLETED)
    batch = await batches.get(turn.batch.id)
    assert batch is not None
    shape = batch.as_object()
    assert shape["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 5,
    }
    output = await files.get(shape["output_file_id"])
    assert output is not None
    assert [part async for part in files.content(output)] == [b"nine\n"]


async def test_a_large_output_is_kept_in_parts(files: FileStore, batches: BatchStore):
    await made(files, batches)
    turn = await batches.take()
    assert turn is not None
    texts = [bytes([65 + number]) * 700_000 for number in range(5)]
    for number, text in enumerate(texts):
        await batches.collect(turn.batch, [Line(number, "output", text)])
    await batches.close(turn.batch, Status.COMPLETED)
    batch = await batches.get(turn.batch.id)
    assert batch is not None
    output = await files.get(batch.output_file)
    assert output is not None
    assert (output.parts, output.size) == (3, 3_500_000)
    assert b"".join([part async for part in files.content(output)]) == b"".join(texts)


async def test_a_status_that_moved_meanwhile_is_not_overwritten(files: FileStore, batches: BatchStore):
    batch = await made(files, batches)
    turn = await batches.take()
    assert turn is not None
    await batches.cancel(batch.id)
    fields = ("status", "in_progress", "stamp", "in_progress_s")
    assert not await batches.advance(turn.batch, *fields, expected=Status.VALIDATING)
    await batches.close(turn.batch, Status.COMPLETED)
    found = await batches.get(batch.id)
    assert found is not None
    assert found.status is Status.CANCELLED


async def test_an_expired_batch_is_no_longer_open(files: FileStore, batches: BatchStore, commands: RedisCommands):
    batch = await made(files, batches)
    await commands.execute("DEL", keys.batch(batch.id))
    assert await batches.take() is None
    assert not await commands.execute("EXISTS", keys.OPEN)
    with pytest.raises(NotFound):
        await batches.cancel(batch.id)


async def test_a_batch_keeps_its_input_while_it_may_run(files: FileStore, batches: BatchStore, commands: RedisCommands):
    batch = await made(files, batches)
    for key in (keys.file(batch.input), keys.part(batch.input, 0)):
        assert await commands.execute("TTL", key) > 86_400
    with pytest.raises(Conflict):
        await files.delete(batch.input)
    with pytest.raises(NotFound):
        await made(files, batches, input=keys.mint_file_id())


async def test_an_owners_storage_is_limited(files: FileStore, commands: RedisCommands):
    first = await keep(files, b"x" * 600)
    with pytest.raises(RequestTooLarge):
        await keep(files, b"x" * 600)
    await keep(files, b"x" * 600, owner="b")
    await commands.execute("DEL", keys.file(first.id))  # it has expired
    await keep(files, b"x" * 600)


async def test_an_upload_that_took_too_long_is_no_file(files: FileStore):
    file_id = keys.mint_file_id()
    options = {"owner": "a", "filename": "f", "purpose": "batch", "size": 2, "parts": 2, "ttl_s": 3600}
    await files.write_part(file_id, 0, b"x")
    with pytest.raises(StoreUnavailable):
        await files.keep(file_id, **options)  # type: ignore[arg-type]
    assert await files.get(file_id) is None


async def test_lists_leave_out_what_has_expired(files: FileStore, batches: BatchStore, commands: RedisCommands):
    kept = [await keep(files, b"x") for _ in range(4)]
    await commands.execute("DEL", keys.file(kept[1].id))
    page = await files.page("a", limit=2, newest_first=False)
    assert page is not None
    assert ([file.id for file in page.files], page.has_more) == ([kept[0].id, kept[2].id], True)
    assert await files.page("a", after="nothing") is None
    assert await batches.page("a", after="nothing") is None
    empty = await files.page("nobody")
    assert empty is not None
    assert (empty.files, empty.has_more) == ((), False)


async def test_every_key_is_in_the_table_and_expires(files: FileStore, batches: BatchStore, commands: RedisCommands):
    batch = await made(files, batches)
    await made(files, batches, idempotency_key="a\r\n*:b", scope="s", webhook="w")
    for _ in range(2):
        turn = await batches.take()
        assert turn is not None
        await batches.collect(turn.batch, [Line(0, "output", b"{}\n"), Line(1, "error", b"{}\n")])
        if turn.batch.id != batch.id:
            await batches.close(turn.batch, Status.COMPLETED)
    patterns = {re.compile(re.sub(r"<\w+>", "[^:]+", key.pattern) + r"\Z"): key for key in ALL_KEYS}
    for name in await commands.execute("KEYS", "*"):
        found = [key for pattern, key in patterns.items() if pattern.match(name.decode())]
        assert found, name
        kind = await commands.execute("TYPE", name)
        key = next(key for key in found if key.kind == KINDS.get(kind, kind.decode()))
        assert key.permanent or await commands.execute("PTTL", name) > 0, name


def test_python_and_lua_build_the_same_names():
    prelude = batch_scripts()["prelude"].source
    assert f"'{keys.OPEN}'" in prelude
    assert f"'{job_keys.WEBHOOK_OUTBOX}'" in prelude
    for built, parts in (
        (keys.batch("ID"), "'finops:batch:' .. id"),
        (keys.done("ID"), "'finops:batch:' .. id .. ':done'"),
        (job_keys.group_ended("ID"), "'finops:group:' .. id .. ':ended'"),
        (keys.file("ID"), "'finops:file:' .. id"),
        (keys.owner_files("ID"), "'finops:owner:' .. owner_name(owner) .. ':files'"),
        (keys.owner_batches("ID"), "'finops:owner:' .. owner_name(owner) .. ':batches'"),
    ):
        assert f"return {parts} end" in prelude
        assert built == "".join(part.strip("'") if part.startswith("'") else "ID" for part in parts.split(" .. "))
    assert keys.owner_files("") == "finops:owner:-:files"
    assert f"= '{keys.EVERYONE}'" in prelude
    assert f"return '{keys.owner_batches(keys.EVERYONE)}'" in prelude


async def test_a_file_is_deleted_once(files: FileStore):
    file = await keep(files, b"x")
    await files.delete(file.id)
    with pytest.raises(NotFound):
        await files.delete(file.id)

"""Fixtures of files and batches, on every kind of server."""

import pytest

from shared.batches.files import FileStore
from shared.batches.keys import mint_file_id
from shared.batches.model import Batch, StoredFile
from shared.batches.store import BatchStore, NewBatch
from shared.store.commands import RedisCommands


@pytest.fixture
def files(commands: RedisCommands) -> FileStore:
    return FileStore(commands, max_owner_bytes=1000)


@pytest.fixture
def batches(commands: RedisCommands) -> BatchStore:
    return BatchStore(commands)


async def keep(files: FileStore, *parts: bytes, owner: str = "a", ttl_s: int = 3600) -> StoredFile:
    file_id = mint_file_id()
    for number, part in enumerate(parts):
        await files.write_part(file_id, number, part)
    return await files.keep(
        file_id,
        owner=owner,
        filename="in.jsonl",
        purpose="batch",
        size=sum(map(len, parts)),
        parts=len(parts),
        ttl_s=ttl_s,
    )


async def made(files: FileStore, batches: BatchStore, **more: object) -> Batch:
    file = await keep(files, b"{}\n")
    options = {"owner": "a", "endpoint": "/v1/chat/completions", "input": file.id, **more}
    return await batches.create(NewBatch(**options))  # type: ignore[arg-type]

"""Stored files: content in parts of about 1 MiB, a record, and lists by owner."""

import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from shared.batches import keys
from shared.batches.model import StoredFile
from shared.batches.scripts import scripts_on
from shared.errors import Conflict, NotFound, RequestTooLarge, StoreUnavailable
from shared.jobs.blobs import ListedBlobs
from shared.jobs.bodies import AS_THEY_ARE, BodyPolicy
from shared.store.commands import RedisCommands
from shared.store.encryption import MAGIC, is_sealed

PART_BYTES = 1024 * 1024
UPLOAD_TTL_S = 600
"""Lifetime of the parts of an unfinished upload."""


@dataclass(frozen=True, slots=True)
class FilePage:
    """A page of files; the cursor of the next page is the last file's id."""

    files: tuple[StoredFile, ...]
    has_more: bool


class FileStore:
    """Stores files.

    Args:
        commands: The store.
        max_owner_bytes: Most bytes of one owner's files.
        bodies: Which parts go to the object store, and what seals them.
    """

    def __init__(self, commands: RedisCommands, *, max_owner_bytes: int = 0, bodies: BodyPolicy = AS_THEY_ARE) -> None:
        self._scripts = scripts_on(commands)
        self._max_owner_bytes = max_owner_bytes
        self._blobs = ListedBlobs(commands, bodies.blobs)
        self._cipher = bodies.cipher
        self._blob_min_bytes = bodies.blob_min_bytes if bodies.blobs is not None else sys.maxsize

    async def write_part(self, file_id: str, number: int, content: bytes) -> None:
        """Store a part of an upload, for ``keep``.

        Raises:
            StoreUnavailable: No answer, or the store is full.
        """
        content = self._cipher.seal(content, keys.blob(file_id, number))
        # A part in the object store leaves an empty key, which lives and is counted as every part.
        if len(content) > self._blob_min_bytes and await self._blobs.put(keys.blob(file_id, number), content):
            content = b""
        await self._scripts.execute("SET", keys.part(file_id, number), content, "EX", UPLOAD_TTL_S, retry_safe=True)

    async def discard(self, file_id: str, parts: int) -> None:
        """Delete the parts of an abandoned upload.

        Raises:
            StoreUnavailable: No answer.
        """
        if parts:
            names = [keys.part(file_id, number) for number in range(parts)]
            await self._scripts.execute("DEL", *names, retry_safe=True)

    async def keep(
        self, file_id: str, *, owner: str, filename: str, purpose: str, size: int, parts: int, ttl_s: int
    ) -> StoredFile:
        """Make a file of the parts that were written.

        Raises:
            RequestTooLarge: The owner's storage limit is exceeded.
            StoreUnavailable: No answer, or the parts expired.
        """
        args = (file_id, owner, parts, ttl_s * 1000, size, self._max_owner_bytes)
        fields = ("filename", filename, "purpose", purpose)
        reply = await self._scripts.run("keep", [*args, *fields])
        if reply[0] == b"full":
            raise RequestTooLarge(
                f"Your files use {int(reply[1]) / PART_BYTES:.0f} MB; the limit is "
                f"{self._max_owner_bytes / PART_BYTES:g} MB (files.max_stored_mb_per_key) "
                "or 10,000 files. Delete some files first.",
                code="storage_full",
            )
        if reply[0] == b"lost":
            raise StoreUnavailable("The upload took too long and its parts expired.")
        return _file(file_id, reply[1])

    async def get(self, file_id: str) -> StoredFile | None:
        """Return a file, or None if it does not exist (any more); the caller checks its owner.

        Raises:
            StoreUnavailable: No answer.
        """
        flat = await self._scripts.execute("HGETALL", keys.file(file_id), retry_safe=True)
        return _file(file_id, flat) if flat else None

    async def read(self, file_id: str, part: int, offset: int = 0) -> bytes:
        """Read a part from an offset on; empty if it does not exist.

        Raises:
            BodyLost: It is in the object store, which does not have it.
            BodyUndecryptable: It is sealed with another key, or changed.
            StoreUnavailable: No answer.
        """
        whole = self._cipher.is_on or (offset and await self._begins_sealed(file_id, part))
        stored, start = await self._stored(file_id, part, 0 if whole else offset)
        return self._cipher.open_all(stored, keys.blob(file_id, part), keys.appended(file_id))[offset - start :]

    async def _begins_sealed(self, file_id: str, part: int) -> bool:
        head = await self._scripts.execute("GETRANGE", keys.part(file_id, part), 0, len(MAGIC) - 1, retry_safe=True)
        return is_sealed(head)

    async def _stored(self, file_id: str, part: int, offset: int) -> tuple[bytes, int]:
        """Return what is stored of a part, and from which offset on: an object is read whole."""
        key = keys.part(file_id, part)
        found: bytes = await self._scripts.execute("GETRANGE", key, offset, -1, retry_safe=True)
        if found or not await self._scripts.execute("EXISTS", key, retry_safe=True):
            return found, offset
        if await self._scripts.execute("STRLEN", key, retry_safe=True):
            return b"", offset  # the offset is its end
        return await self._blobs.get(keys.blob(file_id, part)), 0

    async def move_out(self, file_id: str) -> None:
        """Move the parts of a finished file that are large to the object store; what it does not take stays in Redis.

        Raises:
            StoreUnavailable: No answer.
        """
        file = await self.get(file_id) if self._blob_min_bytes < sys.maxsize else None
        for number in range(file.parts if file else 0):
            key = keys.part(file_id, number)
            content: bytes = await self._scripts.execute("GETRANGE", key, 0, -1, retry_safe=True)
            if len(content) > self._blob_min_bytes and await self._blobs.put(keys.blob(file_id, number), content):
                await self._scripts.run("move_out", (file_id, number, len(content)), retry_safe=True)

    async def content(self, file: StoredFile) -> AsyncIterator[bytes]:
        """Yield the content of a file, part by part.

        Raises:
            StoreUnavailable: No answer.
            NotFound: It was deleted meanwhile.
        """
        for number in range(file.parts):
            piece = await self.read(file.id, number)
            if not piece and file.size:
                raise no_such_file(file.id)
            yield piece

    async def delete(self, file_id: str) -> None:
        """Delete a file.

        Raises:
            NotFound: It does not exist.
            Conflict: A running batch uses it.
            StoreUnavailable: No answer.
        """
        answer = await self._scripts.run("delete", [file_id], retry_safe=True)
        if answer == b"used":
            raise Conflict(
                f"File {file_id} is the input of a batch that has not ended; cancel the batch first.",
                code="file_in_use",
                should_retry=False,
            )
        if answer == b"gone":
            raise no_such_file(file_id)

    async def page(
        self, owner: str, *, purpose: str = "", after: str = "", limit: int = 10_000, newest_first: bool = True
    ) -> FilePage | None:
        """Return a page of an owner's files; None if the ``after`` file does not exist.

        Raises:
            StoreUnavailable: No answer.
        """
        args = ("files", owner, after, limit, "1" if newest_first else "", purpose)
        reply = await self._scripts.run("list", args, retry_safe=True)
        if reply is None:
            return None
        return FilePage(tuple(_file(row[0].decode(), row[1]) for row in reply[0]), has_more=bool(reply[1]))


def no_such_file(file_id: str) -> NotFound:
    """Build the error for a file that is unknown, expired or another caller's."""
    return NotFound(f"No such File object: {file_id[:80]}", param="id", should_retry=False)


def _file(file_id: str, flat: Sequence[Any]) -> StoredFile:
    return StoredFile.from_fields(file_id, dict(zip(flat[::2], flat[1::2], strict=True)))

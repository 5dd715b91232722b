"""The bodies of jobs: compressed, in parts where they are large, or in the object store.

A body in the object store is written before the record that names it, and deleted after it. Its name is listed in Redis
before it is written (``keys.BLOBS``, by when to look at it again), so that what no record names is found without a
listing of the bucket.
"""

import asyncio
import logging
import uuid
from dataclasses import dataclass, replace
from typing import Self

from shared.blobs.blob_store import BlobStore, BlobWatch
from shared.errors import BodyLost
from shared.jobs import keys, records
from shared.jobs.blobs import ListedBlobs
from shared.jobs.model import Claim, Job, Outcome
from shared.jobs.scripts import EngineScripts
from shared.jobs.stored_body import BLOB, ZSTD, StoredBody, blob_name, compress, decompress, stored_as_is
from shared.settings.model import Settings
from shared.store.commands import RedisCommands

PART_BYTES = records.LARGE_BYTES
"""The largest piece of a body in one command; larger results have a key of their own, beside the record.

At 1 Gbit/s a part takes 2 ms; a body of 45 MB in one command held up all others of the process for 0.4 s, twice its
length if several callers polled it.
"""
logger = logging.getLogger("finops.bodies")


@dataclass(frozen=True, slots=True)
class BodyPolicy:
    """What becomes of bodies by their size; 0: nothing.

    Attributes:
        compress_min_bytes: From this size on they are compressed.
        blobs: The object store.
        blob_min_bytes: Larger ones go there.
    """

    compress_min_bytes: int = 0
    blobs: BlobStore | None = None
    blob_min_bytes: int = 0

    @classmethod
    def of(cls, settings: Settings, watch: BlobWatch | None = None) -> Self:
        """Return what the configuration says.

        Raises:
            BlobsMisconfigured: The object store's URL or options are invalid, or its library is missing.
        """
        blobs = settings.blobs
        return cls(
            compress_min_bytes=settings.jobs.compress_min_kb * 1024,
            blobs=BlobStore(blobs.url, blobs.plain_options(), watch) if blobs.url else None,
            blob_min_bytes=blobs.min_kb * 1024,
        )


AS_THEY_ARE = BodyPolicy()


class Bodies:
    """Stores and reads the bodies of jobs.

    Args:
        commands: The store.
        policy: What becomes of new ones; those stored under another policy are read all the same.
    """

    def __init__(self, commands: RedisCommands, policy: BodyPolicy = AS_THEY_ARE) -> None:
        self._scripts = EngineScripts(commands)
        self._policy = policy
        self._blobs = ListedBlobs(commands, policy.blobs)

    async def pack(self, prefix: str, body: bytes, *, name: str = "") -> StoredBody:
        """Return how to store a body; a large one is in the object store by then.

        One that the object store does not take is kept in Redis: an accepted body is never lost for it.

        Args:
            prefix: Whose it is: ``jobs/<id>``.
            body: The body.
            name: Its name below the prefix; empty: a new one.
        """
        policy = self._policy
        if policy.blobs is not None and len(body) > policy.blob_min_bytes:
            path = f"{prefix}/{name or uuid.uuid4().hex}"
            if await self._blobs.put(path, body):
                return StoredBody(b"", f"{BLOB}{path}", len(body))
        if not 0 < policy.compress_min_bytes <= len(body):
            return stored_as_is(body)
        if len(body) > PART_BYTES:  # 1 ms and more: not in the loop
            return await asyncio.to_thread(compress, body)
        return compress(body)

    async def pack_result(self, claim: Claim, outcome: Outcome) -> Outcome:
        """Return an outcome with its result as it will be stored; sent twice, it is the same."""
        if not outcome.result:
            return outcome
        name = f"result-{claim.token.replace(':', '.').replace('/', '.')}"
        return replace(outcome, result=b"", stored=await self.pack(f"jobs/{claim.id}", outcome.result, name=name))

    async def unpack(self, data: bytes, encoding: str) -> bytes:
        """Return a body.

        Args:
            data: What Redis has of it.
            encoding: ``StoredBody.encoding``.

        Raises:
            BodyLost: Its object does not exist, or its bytes are damaged.
            StoreUnavailable: The object store does not answer, or none is configured.
        """
        if not encoding:
            return data
        name = blob_name(encoding)
        if name:
            return await self._blobs.get(name)
        try:
            if encoding == ZSTD:
                return await asyncio.to_thread(decompress, data) if len(data) > PART_BYTES else decompress(data)
        except ValueError:
            logger.exception("a stored body is damaged")
        raise BodyLost

    async def with_payload(self, claim: Claim) -> Claim:
        """Return a claim with its request body, which is fetched here if it is in the object store.

        Raises:
            BodyLost, StoreUnavailable: See ``unpack``.
        """
        if not claim.payload_as:
            return claim
        return replace(claim, payload=await self.unpack(claim.payload, claim.payload_as), payload_as="")

    async def with_result(self, job: Job) -> Job | None:
        """Return the job with its result, wherever that is stored; None when the job is gone meanwhile.

        A job whose object is lost has ``result_lost`` set.

        Raises:
            StoreUnavailable: No answer.
        """
        result = job.result
        if job.result_size:
            result = await read_parts(self._scripts, keys.result(job.id)) or b""
            if len(result) != job.result_size:
                return None
        try:
            return replace(job, result=await self.unpack(result, job.result_as)) if result or job.result_as else job
        except BodyLost:
            return replace(job, result=b"", result_lost=True)

    async def payload(self, job_id: str) -> bytes | None:
        """Return a job's request body; None when it is not stored (any more).

        Raises:
            BodyLost, StoreUnavailable: See ``unpack``.
        """
        encoding = await self._scripts.execute("HGET", keys.job(job_id), "payload_as", retry_safe=True)
        stored = await read_parts(self._scripts, keys.payload(job_id))
        if encoding is None or (stored is None and not blob_name(encoding.decode())):
            return stored
        return await self.unpack(stored or b"", encoding.decode())


async def write_parts(scripts: EngineScripts, key: str, body: bytes) -> None:
    """Write a body to a key that expires soon, for a script to take; written again, it is the same.

    Raises:
        StoreUnavailable: No answer.
    """
    for start in range(0, len(body), PART_BYTES):
        await scripts.run("part", [key, start, body[start : start + PART_BYTES]], retry_safe=True)


async def read_parts(scripts: EngineScripts, key: str) -> bytes | None:
    """Read a body; None when it does not exist (any more).

    Raises:
        StoreUnavailable: No answer.
    """
    parts: list[bytes] = []
    while True:
        start = len(parts) * PART_BYTES
        part: bytes = await scripts.execute("GETRANGE", key, start, start + PART_BYTES - 1, retry_safe=True)
        parts.append(part)
        if len(part) < PART_BYTES:
            break
    return b"".join(parts) or None

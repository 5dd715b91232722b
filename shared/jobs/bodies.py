"""The bodies of jobs: compressed, sealed, in parts where they are large, or in the object store.

A body in the object store is written before the record that names it, and deleted after it. Its name is listed in Redis
before it is written (``keys.BLOBS``, by when to look at it again), so that what no record names is found without a
listing of the bucket.
"""

import asyncio
import base64
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import orjson

from shared.blobs.blob_store import BlobStore, BlobWatch
from shared.errors import BodyLost, BodyUndecryptable
from shared.jobs import keys, records
from shared.jobs.blobs import ListedBlobs
from shared.jobs.model import Claim, Job, NewJob, Outcome
from shared.jobs.scripts import EngineScripts
from shared.jobs.stored_body import BLOB, SEALED, ZSTD, StoredBody, blob_name, compress, decompress, stored_as_is
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.store.encryption import PLAIN, BodyCipher

PART_BYTES = records.LARGE_BYTES
"""The largest piece of a body in one command; larger results have a key of their own, beside the record.

At 1 Gbit/s a part takes 2 ms; a body of 45 MB in one command held up all others of the process for 0.4 s, twice its
length if several callers polled it.
"""
_ECHO = "echo"
logger = logging.getLogger("finops.bodies")


@dataclass(frozen=True, slots=True)
class BodyPolicy:
    """What becomes of bodies by their size; 0: nothing.

    Attributes:
        compress_min_bytes: From this size on they are compressed.
        blobs: The object store.
        blob_min_bytes: Larger ones go there.
        cipher: Seals them, wherever they are kept.
    """

    compress_min_bytes: int = 0
    blobs: BlobStore | None = None
    blob_min_bytes: int = 0
    cipher: BodyCipher = PLAIN

    @classmethod
    def of(cls, settings: Settings, watch: BlobWatch | None = None) -> Self:
        """Return what the configuration says.

        Raises:
            BlobsMisconfigured: The object store's URL or options are invalid, or its library is missing.
            EncryptionUnavailable: There is a key, and the library is missing.
        """
        blobs = settings.blobs
        return cls(
            compress_min_bytes=settings.jobs.compress_min_kb * 1024,
            blobs=BlobStore(blobs.url, blobs.plain_options(), watch) if blobs.url else None,
            blob_min_bytes=blobs.min_kb * 1024,
            cipher=cipher_of(settings),
        )


def cipher_of(settings: Settings) -> BodyCipher:
    """Return what seals bodies, as configured.

    Raises:
        EncryptionUnavailable: There is a key, and the library is missing.
    """
    keys = settings.store.keys()
    return BodyCipher(keys) if keys else PLAIN


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
        purpose = f"{prefix}/result" if name else f"{prefix}/payload"
        if policy.blobs is not None and len(body) > policy.blob_min_bytes:
            path = f"{prefix}/{name or uuid.uuid4().hex}"
            if await self._blobs.put(path, await _in_thread(policy.cipher.seal, body, purpose)):
                return StoredBody(b"", f"{BLOB}{path}", len(body))
        if len(body) > PART_BYTES:  # 1 ms and more: not in the loop
            return await asyncio.to_thread(self._packed, body, purpose)
        return self._packed(body, purpose)

    def _packed(self, body: bytes, purpose: str) -> StoredBody:
        """Return how a body is stored in Redis."""
        least, cipher = self._policy.compress_min_bytes, self._policy.cipher
        packed = compress(body) if 0 < least <= len(body) else stored_as_is(body)
        if not cipher.is_on or not body:
            return packed
        return StoredBody(cipher.seal(packed.data, purpose), SEALED + packed.encoding, packed.size)

    def result_in_redis(self, claim: Claim, outcome: Outcome) -> Outcome:
        """Return an outcome with its result as Redis keeps it, whatever its size."""
        if not outcome.result:
            return outcome
        return replace(outcome, result=b"", stored=self._packed(outcome.result, f"jobs/{claim.id}/result"))

    def seal_echo(self, new: NewJob) -> NewJob:
        """Return a job as it is stored: what a pending answer repeats of the request is sealed."""
        cipher, echo = self._policy.cipher, new.context.get(_ECHO)
        if not cipher.is_on or not echo:
            return new
        sealed = cipher.seal(orjson.dumps(echo), f"jobs/{new.id}/{_ECHO}")
        return replace(new, context={**new.context, _ECHO: base64.b64encode(sealed).decode()})

    def open_echo(self, job: Job) -> Job:
        """Return a job with its context as it was given; without what cannot be decrypted, which is a courtesy."""
        echo = job.context.get(_ECHO)
        if not isinstance(echo, str):
            return job
        try:
            opened = orjson.loads(self._policy.cipher.open(base64.b64decode(echo), f"jobs/{job.id}/{_ECHO}"))
        except BodyUndecryptable:
            opened = {}
        return replace(job, context={**job.context, _ECHO: opened})

    @property
    def are_sealed(self) -> bool:
        """Whether bodies are encrypted: only then need ``for_redis`` and ``seal_events`` be called."""
        return self._policy.cipher.is_on

    def seal_events(self, job_id: str, events: Sequence[tuple[str, bytes]]) -> Sequence[tuple[str, bytes]]:
        """Return the events of a run as they are to be stored."""
        cipher = self._policy.cipher
        if not cipher.is_on:
            return events
        return [(name, cipher.seal(data, f"jobs/{job_id}/events")) for name, data in events]

    def for_redis(self, claim: Claim, outcome: Outcome | None) -> Outcome | None:
        """Return an outcome whose result is sealed if results are, also where nobody has packed it."""
        if outcome is None or not self._policy.cipher.is_on or outcome.stored is not None:
            return outcome
        return self.result_in_redis(claim, outcome)

    async def pack_result(self, claim: Claim, outcome: Outcome) -> Outcome:
        """Return an outcome with its result as it will be stored; sent twice, it is the same."""
        if not outcome.result:
            return outcome
        name = f"result-{claim.token.replace(':', '.').replace('/', '.')}"
        return replace(outcome, result=b"", stored=await self.pack(f"jobs/{claim.id}", outcome.result, name=name))

    async def unpack(self, data: bytes, encoding: str, purpose: str) -> bytes:
        """Return a body.

        Args:
            data: What Redis has of it.
            encoding: ``StoredBody.encoding``.
            purpose: ``jobs/<id>/payload`` or ``jobs/<id>/result``.

        Raises:
            BodyLost: Its object does not exist, or its bytes are damaged.
            BodyUndecryptable: It is sealed with another key, or changed.
            StoreUnavailable: The object store does not answer, or none is configured.
        """
        if not encoding:
            return data
        name = blob_name(encoding)
        if name:
            return await _in_thread(self._policy.cipher.open, await self._blobs.get(name), purpose)
        return await _in_thread(self._unpacked, data, encoding, purpose)

    def _unpacked(self, data: bytes, encoding: str, purpose: str) -> bytes:
        if encoding.startswith(SEALED):
            data, encoding = self._policy.cipher.open(data, purpose), encoding.removeprefix(SEALED)
        try:
            if encoding == ZSTD:
                return decompress(data)
        except ValueError:
            logger.exception("a stored body is damaged")
        if encoding:
            raise BodyLost
        return data

    async def with_payload(self, claim: Claim) -> Claim:
        """Return a claim with its request body, which is fetched here if it is in the object store.

        Raises:
            BodyLost, BodyUndecryptable, StoreUnavailable: See ``unpack``.
        """
        if not claim.payload_as:
            return claim
        return replace(
            claim, payload=await self.unpack(claim.payload, claim.payload_as, _payload(claim.id)), payload_as=""
        )

    async def with_result(self, job: Job) -> Job | None:
        """Return the job with its result, wherever that is stored; None when the job is gone meanwhile.

        A job whose object is lost has ``result_lost`` set, one whose result cannot be decrypted ``result_sealed``.

        Raises:
            StoreUnavailable: No answer.
        """
        result = job.result
        if job.result_size:
            result = await read_parts(self._scripts, keys.result(job.id)) or b""
            if len(result) != job.result_size:
                return None
        try:
            if not result and not job.result_as:
                return job
            return replace(job, result=await self.unpack(result, job.result_as, f"jobs/{job.id}/result"))
        except BodyLost:
            return replace(job, result=b"", result_lost=True)
        except BodyUndecryptable as error:
            logger.error("the result of job %s cannot be decrypted: %s", job.id, error.message)  # noqa: TRY400
            return replace(job, result=b"", result_sealed=error)

    async def payload(self, job_id: str) -> bytes | None:
        """Return a job's request body; None when it is not stored (any more).

        Raises:
            BodyLost, BodyUndecryptable, StoreUnavailable: See ``unpack``.
        """
        encoding = await self._scripts.execute("HGET", keys.job(job_id), "payload_as", retry_safe=True)
        stored = await read_parts(self._scripts, keys.payload(job_id))
        if encoding is None or (stored is None and not blob_name(encoding.decode())):
            return stored
        return await self.unpack(stored or b"", encoding.decode(), _payload(job_id))


def _payload(job_id: str) -> str:
    return f"jobs/{job_id}/payload"


async def _in_thread(work: Callable[..., bytes], data: bytes, *args: str) -> bytes:
    """Do work on a body, outside the loop where it takes 1 ms and more."""
    return await asyncio.to_thread(work, data, *args) if len(data) > PART_BYTES else work(data, *args)


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

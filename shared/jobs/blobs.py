"""Objects that records name: listed in Redis before they are written, and deleted after no record names them."""

import logging
from collections.abc import Sequence

from shared.blobs.blob_store import BlobStore, BlobStoreError
from shared.errors import BodyLost, StoreUnavailable
from shared.jobs import keys
from shared.jobs.scripts import EngineScripts
from shared.store.commands import RedisCommands

ORPHAN_MS = 600_000
"""After it an object that no record names is deleted: as long as parts of a large body live."""

logger = logging.getLogger("finops.blobs")


class ListedBlobs:
    """The object store, with a list of its objects in Redis.

    Args:
        commands: The store.
        blobs: The object store; None: there is none (any more).
    """

    def __init__(self, commands: RedisCommands, blobs: BlobStore | None) -> None:
        self._scripts = EngineScripts(commands)
        self._blobs = blobs

    async def put(self, name: str, body: bytes) -> bool:
        """Write an object after its name is listed; False when the object store does not take it."""
        if self._blobs is None:
            return False
        try:
            await self._scripts.run("list_blob", [name, ORPHAN_MS], retry_safe=True)
            await self._blobs.put(name, body)
        except (BlobStoreError, StoreUnavailable) as error:
            logger.warning("a body stays in Redis, the object store does not take it: %s", error)
            return False
        return True

    async def get(self, name: str) -> bytes:
        """Return an object that a record names.

        Raises:
            BodyLost: It does not exist.
            StoreUnavailable: The object store does not answer, or none is configured.
        """
        if self._blobs is None:
            raise StoreUnavailable("The body is in an object store, and [blobs] url names none.")
        try:
            body = await self._blobs.get(name)
        except BlobStoreError as error:
            logger.warning("the object store does not give a body: %s", error)
            raise StoreUnavailable("The object store of large bodies cannot be reached.") from error
        if body is None:
            logger.error("an object that a record names does not exist", extra={"blob": name})
            raise BodyLost
        return body

    async def take_orphans(self, count: int, lease_ms: int) -> Sequence[str]:
        """Return objects that no record names and that nobody else deletes for the time of the lease.

        Raises:
            StoreUnavailable: No answer.
        """
        return [name.decode() for name in await self._scripts.run("due_blobs", [count, lease_ms], retry_safe=True)]

    async def delete(self, names: Sequence[str]) -> None:
        """Delete objects and take them off the list.

        Raises:
            BlobStoreError: The object store does not delete them.
            StoreUnavailable: No answer.
        """
        if self._blobs is not None and names:
            await self._blobs.delete(names)
            await self._scripts.execute("ZREM", keys.BLOBS, *names, retry_safe=True)

"""Deletes objects that no record names: of jobs and files that were deleted or have expired, and of failed writes."""

import asyncio
import logging

from redis.exceptions import RedisError

from shared.blobs.blob_store import BlobStoreError
from shared.errors import GatewayError
from shared.jobs.blobs import ListedBlobs
from worker.outage import OutageLog

AT_ONCE = 100
LEASE_MS = 60_000
"""For which one worker alone deletes what it took; a worker that is lost leaves them to the next."""
POLL_S = 1.0

logger = logging.getLogger("finops.blobs")


class BlobSweep:
    """Takes turns with the other workers at what is due.

    Args:
        blobs: The object store.
        outage: Logs outages of the store.
    """

    def __init__(self, blobs: ListedBlobs, outage: OutageLog) -> None:
        self._blobs = blobs
        self._outage = outage

    async def run(self) -> None:
        """Sweep until cancelled; outages are waited out."""
        while True:
            try:
                more = await self.sweep()
                self._outage.back()
            except BlobStoreError as error:
                logger.warning("the object store does not delete: %s", error)
                more = False
            except (GatewayError, RedisError) as error:
                self._outage.away(error)
                more = False
            await asyncio.sleep(0 if more else POLL_S)

    async def sweep(self) -> bool:
        """Delete some objects; tell whether there may be more.

        Raises:
            BlobStoreError: The object store does not delete; they are due again when the lease ends.
            StoreUnavailable: No answer.
        """
        names = await self._blobs.take_orphans(AT_ONCE, LEASE_MS)
        await self._blobs.delete(names)
        return len(names) == AT_ONCE

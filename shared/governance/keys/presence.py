"""Whether any virtual key was created at run time: followed in the background, so that no request waits for it."""

import asyncio
from contextlib import suppress

from shared.background import keep_running
from shared.errors import StoreUnavailable
from shared.governance.keys.cache import VirtualKeyCache

CHECK_S = 1.0  # other processes learn of the first key within two seconds


class KeyPresence:
    """Follow whether virtual keys exist in the store; revoked, expired and deleted ones count.

    Attributes:
        exists: The last answer; it stays while the store does not answer.
    """

    def __init__(self, ring: VirtualKeyCache) -> None:
        self._ring = ring
        self._checker: asyncio.Task[None] | None = None
        self.exists = False

    async def start(self) -> None:
        """Look now, then once a second."""
        await self.refresh()
        self._checker = keep_running("key-presence", self._check)

    async def refresh(self) -> None:
        """Look now."""
        with suppress(StoreUnavailable):
            self.exists = await self._ring.any()

    async def aclose(self) -> None:
        """Stop."""
        if self._checker is not None:
            self._checker.cancel()
            await asyncio.wait([self._checker])

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            await self.refresh()

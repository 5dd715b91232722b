"""Newer published prices that an administrator has given: stored once, and read by every process."""

import asyncio
import hashlib
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from shared import clock
from shared.errors import StoreUnavailable
from shared.governance import keyspace
from shared.governance.pricing.prices import PriceBook
from shared.governance.pricing.published import BUNDLED, PublishedPrices, read_published
from shared.store.commands import RedisCommands
from shared.store.errors import StoreConnectionError

CHECK_S: Final = 5.0
"""Between looks at the version: one command a process."""

log = logging.getLogger("finops.governance")


@dataclass(frozen=True, slots=True)
class PriceData:
    """Data that replaces the published prices of the package.

    Attributes:
        version: Digest of the data.
        source: Where it came from, as its giver says.
        stored_at: RFC 3339.
        data: JSON, in the format of ``genai-prices``; empty if only the rest was read.
    """

    version: str
    source: str
    stored_at: str
    data: bytes = b""

    @classmethod
    def of(cls, data: bytes, source: str) -> Self:
        """Name the version of new data."""
        version = hashlib.sha256(data).hexdigest()[:12]
        return cls(version, source, clock.rfc3339(clock.now()), data)

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Read the stored form.

        Raises:
            ValueError: The data cannot be unpacked.
        """
        data = fields.get(b"data")
        version, source, at = (fields.get(name, b"").decode() for name in (b"version", b"source", b"at"))
        try:
            return cls(version, source, at, zlib.decompress(data) if data else b"")
        except zlib.error as error:
            raise ValueError(f"The stored price data cannot be unpacked: {error}.") from None


class PriceStore:
    """Stores price data.

    Args:
        commands: The store.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands

    async def version(self) -> str:
        """Return the version of what is stored; empty: nothing.

        Raises:
            StoreUnavailable: No answer.
        """
        found = await self._execute("HGET", keyspace.PRICES, "version")
        return found.decode() if isinstance(found, bytes) else ""

    async def read(self, *, data: bool = True) -> PriceData | None:
        """Return what is stored; None: nothing, so that the package's prices apply.

        Args:
            data: Whether to read the data too.

        Raises:
            StoreUnavailable: No answer.
        """
        names = ("version", "source", "at", *(("data",) if data else ()))
        found = await self._execute("HMGET", keyspace.PRICES, *names)
        assert isinstance(found, list)  # noqa: S101 - what HMGET replies
        fields = {name.encode(): value for name, value in zip(names, found, strict=True) if value is not None}
        return PriceData.from_fields(fields) if b"version" in fields else None

    async def write(self, new: PriceData) -> None:
        """Replace what is stored.

        Raises:
            StoreUnavailable: No answer.
        """
        packed = await asyncio.to_thread(zlib.compress, new.data)
        fields = ("version", new.version, "source", new.source, "at", new.stored_at, "data", packed)
        await self._execute("HSET", keyspace.PRICES, "v", "1", *fields)

    async def clear(self) -> None:
        """Go back to the package's prices.

        Raises:
            StoreUnavailable: No answer.
        """
        await self._execute("DEL", keyspace.PRICES)

    async def _execute(self, *command: str | bytes) -> object:
        try:
            return await self._commands.execute(*command, retry_safe=True)
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: price data cannot be read or stored.") from error


class PriceRefresh:
    """Keeps a process's prices at what is stored.

    Args:
        store: The data.
        book: The process's prices.

    Attributes:
        store: As given.
    """

    def __init__(self, store: PriceStore, book: PriceBook) -> None:
        self.store = store
        self._book = book
        self._version = ""
        self._task: asyncio.Task[None] | None = None

    @property
    def published(self) -> PublishedPrices:
        """The published prices that the process uses now."""
        return self._book.published

    def start(self) -> None:
        """Look every ``CHECK_S``; needs a running event loop."""
        self._task = asyncio.create_task(self._run(), name="finops-prices")

    async def aclose(self) -> None:
        """Look no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def refresh(self) -> bool:
        """Use what is stored, if it has changed; whether it had.

        Raises:
            StoreUnavailable: No answer.
            ValueError: What is stored cannot be read.
        """
        version = await self.store.version()
        if version == self._version:
            return False
        stored = await self.store.read() if version else None
        published = BUNDLED if stored is None else await asyncio.to_thread(read_published, stored.data, stored.version)
        self._book.use(published)
        self._version = version
        log.info("published prices changed", extra={"version": version or "bundled"})
        return True

    async def _run(self) -> None:
        while True:
            try:
                await self.refresh()
            except StoreUnavailable:
                log.debug("price data could not be read")
            except ValueError:
                log.exception("stored price data cannot be used; prices stay as they are")
            await asyncio.sleep(CHECK_S)

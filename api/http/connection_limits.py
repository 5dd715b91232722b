"""Limits that the connections of one server share: their number, their unread bytes, and how long they may stall."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from shared.settings.model import ServerSettings

logger = logging.getLogger("finops.api")

KIBIBYTE = 1024
# A body up to this size is read even when the budget of bytes is used up, so that large bodies do not stop small calls.
SMALL_BODY_BYTES = 64 * KIBIBYTE
# Less than this in `body_stall_s` counts as no progress: a body that drips one byte a second is stalled.
MIN_PROGRESS_BYTES = KIBIBYTE
# Of an answer that the caller does not take, this much must leave within `write_stall_s`, or a twentieth of it.
MIN_DRAINED_BYTES = 64 * KIBIBYTE
MIN_DRAINED_SHARE = 20
SWEEP_S = 1.0
LOG_EVERY_S = 10.0


class WatchedConnection(Protocol):
    """A connection as the sweep sees it."""

    def check_progress(self, now: float) -> int:
        """Close the connection if it has stalled; return the bytes of answers that wait for the caller."""
        ...


class ConnectionLimits:
    """Limits of a server's connections, and the sweep that closes stalled ones.

    One timer serves all connections, as a timer for each would cost every request more than all its checks.

    Args:
        settings: ``[server]``.
        on_refused: Called with a short reason for every refused request or connection.

    Attributes:
        body_bytes: Bytes of request bodies that are held for running requests.
        unsent_bytes: Bytes of answers that callers had not taken at the last sweep.
    """

    def __init__(self, settings: ServerSettings, on_refused: Callable[[str], None] | None = None) -> None:
        self.apply(settings)
        self.body_bytes = 0
        self.unsent_bytes = 0
        self._on_refused = on_refused
        self._connections: set[WatchedConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._unlogged = 0
        self._logged_at = float("-inf")

    def apply(self, settings: ServerSettings) -> None:
        """Put limits in force; open connections keep those of their headers."""
        self.max_head_bytes = settings.max_header_kb * KIBIBYTE
        self.max_headers = settings.max_headers
        self.max_connections = settings.max_connections
        self.max_inflight_bytes = settings.max_inflight_mb * KIBIBYTE * KIBIBYTE
        self.header_timeout_s = settings.header_timeout_s
        self.body_stall_s = settings.body_stall_s
        self.write_stall_s = settings.write_stall_s
        self._every_s = min(SWEEP_S, self.header_timeout_s / 4, self.body_stall_s / 4, self.write_stall_s / 4)

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._connections)

    def add(self, connection: WatchedConnection, loop: asyncio.AbstractEventLoop) -> bool:
        """Watch a connection; False: there are too many, and this one is to be refused."""
        if len(self._connections) >= self.max_connections:
            return False
        self._connections.add(connection)
        if self._timer is None:
            self._timer = loop.call_later(self._every_s, self._sweep, loop)
        return True

    def remove(self, connection: WatchedConnection) -> None:
        """Forget a connection that has ended."""
        self._connections.discard(connection)
        if not self._connections and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def has_room(self, held: int, more: int) -> bool:
        """Whether a request that holds ``held`` bytes of its body may hold ``more``."""
        if held + more <= SMALL_BODY_BYTES:
            return True
        return self.body_bytes + self.unsent_bytes + more <= self.max_inflight_bytes

    def refused(self, reason: str) -> None:
        """Count a refusal; the log has one line for many, as whoever attacks would fill it otherwise."""
        if self._on_refused is not None:
            self._on_refused(reason)
        self._unlogged += 1
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= LOG_EVERY_S:
            logger.warning("refused on the connection: %s", reason, extra={"refused": self._unlogged})
            self._unlogged, self._logged_at = 0, now

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self.unsent_bytes = sum(connection.check_progress(now) for connection in tuple(self._connections))
        self._timer = loop.call_later(self._every_s, self._sweep, loop) if self._connections else None

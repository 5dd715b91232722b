"""State of one request and its answer: written by the connection, read by the caller's task."""

import asyncio
from enum import Enum

import httpx

from shared.providers.transport.origin import Timeouts

MAX_QUEUED_BYTES = 256 * 1024


class Phase(Enum):
    """What the caller's task waits for, which decides the timeout that applies."""

    WRITE = "write"
    HEAD = "first byte"
    BODY = "idle"


class Exchange:
    """State shared by a connection and the one task that waits on it.

    Attributes:
        head_done: The final head (no 1xx) is here; `status`, `reason` and `headers` are meant.
        complete: The whole body is here or was taken already.
        error: Why there will be nothing more; pieces that arrived before it are still to be read.
        received: A byte of an answer has come, so the request may not be sent again.
        stale: A used connection closed before any byte came: sending again is safe enough.
        sending: The body is still being produced, so the connection cannot serve another request.
        whole: The body is wanted in one piece, reading need not pause.
        paused: Reading is paused because the caller is slower than the upstream.
        phase_at, total_at: Deadlines in loop time; the first counts only while somebody waits.
    """

    __slots__ = (
        "complete",
        "error",
        "head_done",
        "head_only",
        "headers",
        "paused",
        "phase",
        "phase_at",
        "pieces",
        "queued",
        "reason",
        "received",
        "sending",
        "stale",
        "status",
        "timeouts",
        "total_at",
        "unsent",
        "waiter",
        "whole",
    )

    def __init__(self, timeouts: Timeouts, total_at: float, *, head_only: bool, sending: bool = False) -> None:
        self.timeouts = timeouts
        self.total_at = total_at
        self.phase_at = total_at
        self.phase = Phase.HEAD
        self.head_only = head_only
        self.sending = sending
        self.status = 0
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.queued = 0
        self.unsent = 0
        self.head_done = self.complete = self.received = False
        self.stale = self.whole = self.paused = False
        self.error: httpx.TransportError | None = None
        self.waiter: asyncio.Future[None] | None = None

    @property
    def settled(self) -> bool:
        """Nothing more will come."""
        return self.complete or self.error is not None

    def restart_head(self) -> None:
        """Forget an interim head: another one follows."""
        self.headers = []
        self.reason = b""

    def ends_at_close(self) -> bool:
        """Whether the end of the connection is the end of the body (RFC 9112, 6.3)."""
        framing = (b"content-length", b"transfer-encoding")
        return self.head_done and not any(name.lower() in framing for name, _ in self.headers)

    def drain(self) -> bytes:
        """Take all that is queued, joined: whoever reads late reads less often."""
        pieces = self.pieces
        self.pieces = []
        self.queued = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def wake(self) -> None:
        """Let the waiting task look again."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def fail(self, error: httpx.TransportError) -> None:
        """Nothing more will come, and this is why."""
        self.error = error
        self.wake()

    def expire(self, *, total: bool) -> httpx.TimeoutException:
        """Say which limit has run out."""
        if total:
            message = f"not finished within {self.timeouts.total_s:g} s"
            return httpx.ReadTimeout(message)
        if self.phase is Phase.WRITE:
            message = f"the upstream took none of the request for {self.timeouts.write_s:g} s"
            return httpx.WriteTimeout(message)
        if self.phase is Phase.HEAD:
            message = f"no response within {self.timeouts.first_byte_s:g} s"
            return httpx.ReadTimeout(message)
        message = f"the response fell silent for {self.timeouts.idle_s:g} s"
        return httpx.ReadTimeout(message)

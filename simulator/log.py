"""A bounded log of received requests with secrets masked, and a way to wait for its changes."""

import asyncio
import hashlib
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson

from simulator.form import Form
from simulator.model.json_schema import Json

ENTRIES_LIMIT = 10_000
KEPT_BODY_BYTES = 262_144
SECRET_HEADERS = frozenset(
    {b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"proxy-authorization", b"cookie"}
)
SECRET_PARAMETERS = frozenset({"key", "api_key", "api-key", "access_token"})


_SCHEME = re.compile(r"[A-Za-z0-9-]+")


def mask(secret: str) -> str:
    """Only the scheme and the last four characters of a secret, and of a short one nothing."""
    scheme, _, key = secret.partition(" ")
    if not _SCHEME.fullmatch(scheme) or not key or " " in key:
        scheme, key = "", secret
    return f"{scheme} ****{key[-4:] if len(key) > 8 else ''}".lstrip()


class Entry:
    """One received request; times are Unix seconds, `outcome` is None while it is open.

    Outcomes: `completed` (answered as the wire prescribes), `client_disconnected`, `faulted` (by script).
    `frames` counts the writes of a body before its last.
    """

    __slots__ = (
        "_body",
        "_headers",
        "_query",
        "_sha256",
        "finished_at",
        "form",
        "frames",
        "method",
        "number",
        "outcome",
        "path",
        "size",
        "started_at",
        "status",
    )

    def __init__(self, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        self.number = 0
        self.method = method
        self.path = path
        self.started_at = time.time()
        self.finished_at: float | None = None
        self.outcome: str | None = None
        self.status: int | None = None
        self.frames = 0
        self.size = 0
        self.form: dict[str, Any] | None = None
        self._query = query
        self._headers = headers
        self._body = b""
        self._sha256: str | None = None

    def keep_body(self, body: bytes, form: Form | None) -> None:
        """Remember a body: forms by their description, small JSON as it is, others by size and sha256."""
        self.size = len(body)
        if form is None and self.size <= KEPT_BODY_BYTES:
            self._body = body
            return
        self._sha256 = hashlib.sha256(body).hexdigest()
        self.form = form.describe() if form else None

    @property
    def raw(self) -> bytes:
        """Return the raw body, if it was stored."""
        return self._body

    @property
    def body(self) -> Json:
        """Return the parsed JSON body; None for forms and for large, empty or invalid bodies."""
        try:
            return orjson.loads(self._body) if self._body else None
        except orjson.JSONDecodeError:
            return None

    @property
    def sha256(self) -> str:
        """SHA-256 of the raw body, in hexadecimal."""
        return self._sha256 or hashlib.sha256(self._body).hexdigest()

    @property
    def headers(self) -> dict[str, str]:
        """Received headers with secrets masked; repeated ones are joined by a comma."""
        masked: dict[str, str] = {}
        for name, value in self._headers:
            text = value.decode("latin-1")
            text = mask(text) if name in SECRET_HEADERS else text
            key = name.decode("latin-1")
            masked[key] = f"{masked[key]}, {text}" if key in masked else text
        return masked

    @property
    def query(self) -> list[tuple[str, str]]:
        """Query parameters in their order, secrets masked."""
        pairs = parse_qsl(self._query.decode("latin-1"), keep_blank_values=True)
        return [(name, mask(value) if name in SECRET_PARAMETERS else value) for name, value in pairs]

    def show(self) -> dict[str, Any]:
        """Return the entry as `GET /sim/log` lists it."""
        return {
            "number": self.number,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": self.body,
            "form": self.form,
            "size": self.size,
            "sha256": self.sha256,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "outcome": self.outcome,
            "status": self.status,
            "frames": self.frames,
        }


class Log:
    """The newest 10,000 requests, and the number of open ones."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=ENTRIES_LIMIT)
        self._waiting: set[asyncio.Event] = set()
        self.open_count = 0
        self.total = 0

    @property
    def entries(self) -> list[Entry]:
        """Return a copy, the oldest first."""
        return list(self._entries)

    def open(self, entry: Entry) -> Entry:
        """Begin an entry and give it the next number."""
        self.total += 1
        self.open_count += 1
        entry.number = self.total
        self._entries.append(entry)
        self.changed()
        return entry

    def close(self, entry: Entry, outcome: str) -> None:
        """End an entry."""
        entry.finished_at = time.time()
        entry.outcome = outcome
        self.open_count -= 1
        self.changed()

    def clear(self) -> None:
        """Forget the entries; open requests stay counted."""
        self._entries.clear()

    def changed(self) -> None:
        """Wake whoever waits for the log to show something."""
        for event in self._waiting:
            event.set()

    async def wait_until(self, condition: Callable[["Log"], bool], timeout_s: float = 20.0) -> None:
        """Return as soon as the condition holds; it is asked again whenever something happens.

        Raises:
            TimeoutError: it did not hold in time.
        """
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            async with asyncio.timeout(timeout_s):
                while not condition(self):
                    event.clear()
                    await event.wait()
        finally:
            self._waiting.discard(event)

"""The ledger writer: one entry per outcome, written in batches off the request path, exactly once each."""

import asyncio
import logging
import re
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from shared import clock
from shared.governance.keys.caller import Caller
from shared.governance.keyspace import BOOKS, ENTRY_VERSION
from shared.governance.limits.guard import governance_scripts
from shared.governance.limits.runs import Run
from shared.governance.pricing.prices import UNPRICED, Cost
from shared.governance.pricing.usage import Usage
from shared.settings.model import LedgerSettings
from shared.store.commands import Argument, RedisCommands
from shared.store.errors import StoreConnectionError
from shared.store.probe import is_writable

MAX_BATCH = 200
MAX_WAITING = 100_000
MAX_CONTENT = 32 * 1024
CLOSE_S = 5.0

# Credentials never get into the ledger, whatever the configuration says.
_SECRETS = (
    r"\b(?:sk|pk|rk|whsec|xai|gsk|ghp|xox[abp])[-_][A-Za-z0-9_\-]{12,}"
    r"|\bAIza[A-Za-z0-9_\-]{20,}|\bAKIA[A-Z0-9]{12,}|(?i:bearer)\s+[A-Za-z0-9._\-]{16,}"
)
# The roll-ups' group joins its parts with these.
_CONTROLS = dict.fromkeys(range(32), "")

_NAMES = ("key", "name", "team", "customer", "type", "surface", "asked", "provider", "provider_key", "model")
_NOTHING_USED = Usage()
_RARE = Usage._fields.index("cached") + 1  # the units after it
_NOTHING_RARE = _NOTHING_USED[_RARE:]
_FIELDS = (
    "input", "output", "cached", "cost", "list", "cache", "saved", "saved_batch", "saved_tier", "saved_cache",
    "estimated", "latency_ms", "first_ms", "attempts", "fallbacks", "code", "request_id", "job", "content",
)  # fmt: skip

logger = logging.getLogger("finops.governance")


@dataclass(slots=True, kw_only=True)
class CallOutcome:
    """Outcome of one call or job: the input of a ledger entry.

    Attributes:
        request_type: ``RequestType.name``.
        surface: The format that the caller spoke.
        asked: The model as the caller requested it.
        provider: The one that answered, or the last one tried.
        provider_key: Name of the provider's credential, never its value.
        model: The model that answered, as the provider calls it.
        estimated: Whether the usage is an estimate, because the provider reported none.
        status: HTTP status that the caller saw.
        code: Error code, empty for success.
        first_ms: Until the first bytes of a stream; 0: none.
        fallbacks: Models that were tried before and failed.
        scopes: Meters of the provider and model that answered; None: no such limit exists.
        content: Request and answer, if that is configured.
        cache: ``hit``: a stored answer served it; empty: its provider did.
        saved: What it would have cost without the cache, micro-USD at list prices.
        run: The run that it belongs to; None: none.
        lane: Lane on which a job was answered; empty: it was submitted without patience.
        on_time: Whether a job was answered before its patience ended; None: it had none.
    """

    caller: Caller
    request_type: str
    surface: str = ""
    asked: str = ""
    provider: str = ""
    provider_key: str = ""
    model: str = ""
    usage: Usage = _NOTHING_USED
    cost: Cost = UNPRICED
    estimated: bool = False
    status: int = 200
    code: str = ""
    latency_ms: int = 0
    first_ms: int = 0
    attempts: int = 0
    fallbacks: int = 0
    request_id: str = ""
    job_id: str = ""
    dimensions: Mapping[str, str] = field(default_factory=dict)
    scopes: tuple[str, ...] | None = None
    content: Mapping[str, Any] | None = None
    cache: str = ""
    saved: int = 0
    run: Run | None = None
    lane: str = ""
    on_time: bool | None = None


def who(caller: Caller, dimensions: Mapping[str, str] | None = None, run: Run | None = None) -> dict[str, Any]:
    """The fields of an entry that name its owner and run; a job carries them from submit on."""
    named = (("key", caller.key_id), ("name", caller.name), ("team", caller.team), ("customer", caller.customer))
    fields: dict[str, Any] = {name: _clean(value) for name, value in named if value}
    _add_tags(fields, caller, dimensions, run)
    return fields


def _add_tags(fields: dict[str, Any], caller: Caller, dimensions: Mapping[str, str] | None, run: Run | None) -> None:
    """Add the fields of a call's run and dimensions."""
    if run is not None:
        fields["run"] = _clean(run.id)
    if caller.dimensions or dimensions:
        of_call = dimensions.items() if dimensions else ()
        fields["dims"] = {_clean(name): _clean(value) for name, value in (*caller.dimensions, *of_call)}


@lru_cache(maxsize=1024)
def _names(*names: str) -> bytes:
    """Encode the begin of an entry: the fields of ``_NAMES``, of which most calls of a caller have the same."""
    fields = {field: _clean(name) for field, name in zip(_NAMES, names, strict=True) if name}
    return orjson.dumps({"v": ENTRY_VERSION, **fields})[:-1] + b","


def entry_of(outcome: CallOutcome, at_ms: int | None = None) -> bytes:
    """The entry of an outcome, JSON; empty fields are left out."""
    usage, cost, caller = outcome.usage, outcome.cost, outcome.caller
    names = _names(
        caller.key_id, caller.name, caller.team, caller.customer, outcome.request_type, outcome.surface, outcome.asked,
        outcome.provider, outcome.provider_key, outcome.model,
    )  # fmt: skip
    entry: dict[str, Any] = {"at": int(time.time() * 1000) if at_ms is None else at_ms}
    _add_tags(entry, caller, outcome.dimensions, outcome.run)
    values = (
        usage.input,
        usage.output,
        usage.cached,
        cost.micro_usd,
        cost.list_micro_usd or outcome.saved,
        outcome.cache,
        outcome.saved,
        cost.saved_batch,
        cost.saved_tier,
        cost.saved_cache or outcome.saved,
        outcome.estimated,
        outcome.latency_ms,
        outcome.first_ms,
        outcome.attempts,
        outcome.fallbacks,
        _clean(outcome.code),
        _clean(outcome.request_id),
        outcome.job_id,
        outcome.content,
    )
    # Two thirds of the fields are empty: a dict of all, and another of what stays, would take 2 us more.
    for name, value in zip(_FIELDS, values, strict=True):
        if value:
            entry[name] = value  # noqa: PERF403 - without a second dictionary
    if usage[_RARE:] != _NOTHING_RARE:
        entry |= {name: value for name, value in _rarely_used(usage).items() if value}
    if outcome.lane:
        entry |= _of_lane(outcome)
    if outcome.scopes is not None:
        # An empty list would be an object to the scripts.
        entry["scopes"] = outcome.scopes or ("",)
    entry["status"] = outcome.status
    # What failed before any answer cost nothing, for certain; only what was used without a known price is unpriced.
    entry["priced"] = cost.priced or (outcome.status >= 400 and usage.empty)
    return names + orjson.dumps(entry)[1:]


def hit_entry(
    owner: dict[str, Any],
    fields: Mapping[str, Any],
    saved: int,
    scopes: tuple[str, ...] | None,
    at_ms: int | None = None,
) -> bytes:
    """The entry of a call that a stored answer served, JSON: what ``entry_of`` returns, in half of its time.

    Args:
        owner: ``who`` made the call.
        fields: ``type``, ``surface``, ``asked``, ``provider``, ``model``, ``request_id`` and ``latency_ms``.
        saved: What it would have cost without the cache, micro-USD at list prices.
        scopes: ``CallOutcome.scopes``.
        at_ms: When, Unix milliseconds; None: now.
    """
    at = int(time.time() * 1000) if at_ms is None else at_ms
    entry = {"v": ENTRY_VERSION, "at": at, **owner, **fields, "cache": "hit", "status": 200, "priced": True}
    for name in ("asked", "model", "request_id"):
        entry[name] = _clean(entry[name])
    if saved:
        entry["list"] = entry["saved"] = entry["saved_cache"] = saved
    if scopes is not None:
        entry["scopes"] = scopes or ("",)
    return orjson.dumps(entry)


def _of_lane(outcome: CallOutcome) -> dict[str, Any]:
    """The fields of a job that was submitted with patience."""
    if outcome.on_time is None:
        return {"lane": outcome.lane}
    return {"lane": outcome.lane, "on_time" if outcome.on_time else "late": 1}


def _rarely_used(usage: Usage) -> dict[str, int]:
    """The fields of units that most calls use nothing of."""
    return {
        "cache_write": usage.cache_write + usage.cache_write_1h,
        "cache_write_1h": usage.cache_write_1h,
        "reasoning": usage.reasoning,
        "images": usage.images,
        "characters": usage.characters,
        "audio_ms": usage.milliseconds,
        "web_searches": usage.web_searches,
        "file_searches": usage.file_searches,
        "code_sessions": usage.code_sessions,
    }


class Redaction:
    """Remove from texts what must not be stored.

    Args:
        patterns: Regular expressions, in addition to those for credentials, which always apply.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._pattern = re.compile("|".join(f"(?:{pattern})" for pattern in (_SECRETS, *patterns)))

    def text(self, text: str) -> str:
        """The text with every match replaced, and cut to what an entry may hold."""
        return self._pattern.sub("[redacted]", text[:MAX_CONTENT])

    def body(self, body: bytes) -> str:
        """A body as text, redacted; bytes that are none are not kept."""
        try:
            return self.text(body[: MAX_CONTENT * 4].decode())
        except UnicodeDecodeError:
            return f"[{len(body)} bytes]"


class _Line(NamedTuple):
    reservation: str
    state: str
    entry: bytes


class Ledger:
    """Write outcomes to the ledger. Those that arrive while a batch is being sent leave together in the next.

    A batch that was not answered is sent again until it is; the store recognises one that it has booked.

    Args:
        commands: The store.
        settings: Retention.
    """

    def __init__(self, commands: RedisCommands, settings: LedgerSettings | None = None) -> None:
        self._commands = commands
        self._scripts = governance_scripts()
        self._settings = settings or LedgerSettings()
        self._writer = uuid.uuid4().hex[:16]
        self._batch = 0
        self._waiting: deque[_Line] = deque()
        self._task: asyncio.Task[None] | None = None
        self._configured = False
        self.dropped = 0

    def start(self) -> None:
        """Send the retention settings to the store, soon: the scripts that book jobs read them there."""
        self._wake()

    def book(self, entry: bytes, reservation: str = "") -> None:
        """Book an outcome and settle its reservation to what it cost, soon; returns at once."""
        self._put(_Line(reservation, "settled", entry))

    def release(self, reservation: str, entry: bytes = b"") -> None:
        """Release a reservation that cost nothing; with an entry, book that too."""
        self._put(_Line(reservation, "released", entry))

    def settle_also(self, reservation: str, entry: bytes) -> None:
        """Settle another reservation of an outcome that is booked separately."""
        self._put(_Line(reservation, "also", entry))

    async def flush(self) -> None:
        """Wait until everything is booked."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def aclose(self) -> None:
        """Book what is waiting, if the store answers within ``CLOSE_S``."""
        task = self._task
        if task is None or task.done():
            return
        _, late = await asyncio.wait([task], timeout=CLOSE_S if self._waiting else 0)
        if late:
            task.cancel()
            await asyncio.wait([task])
            if self._waiting:
                logger.error(
                    "ledger entries were lost: the store is unavailable", extra={"entries": len(self._waiting)}
                )

    def _put(self, line: _Line) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            if self.dropped % 1000 == 1:
                logger.error("ledger entries are dropped: the store is unavailable", extra={"entries": self.dropped})
            return
        self._waiting.append(line)
        self._wake()

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write(), name="finops-ledger")

    async def _write(self) -> None:
        await self._retry(self._configure, 0)
        while self._waiting:
            lines = [self._waiting[at] for at in range(min(MAX_BATCH, len(self._waiting)))]
            await self._book(lines)
            for _ in lines:
                self._waiting.popleft()

    async def _book(self, lines: Sequence[_Line]) -> None:
        self._batch += 1
        args: list[Argument] = [self._writer, self._batch, ""]
        for line in lines:
            args += line
        booked = await self._retry(lambda: self._commands.script(self._scripts["settle"], (), args), len(lines))
        if not booked and len(lines) > 1:  # the others are not at fault
            for line in lines:
                await self._book([line])

    async def _retry(self, send: Callable[[], Awaitable[object]], entries: int) -> bool:
        """Send until answered; False when the store refuses what was sent, but takes other writes."""
        failures = 0
        while True:
            try:
                await send()
            except Exception as error:
                if not isinstance(error, StoreConnectionError) and await is_writable(self._commands):
                    logger.exception("the store rejected ledger entries", extra={"entries": entries})
                    return False
                if failures == 0:
                    logger.warning(
                        "ledger entries are waiting for the store: %s", error, extra={"entries": len(self._waiting)}
                    )
                await asyncio.sleep(clock.back_off_s(failures))
                failures += 1
            else:
                return True

    async def _configure(self) -> None:
        if self._configured:
            return
        settings = self._settings
        thresholds = ",".join(str(round(part * 100)) for part in settings.thresholds)
        await self._commands.execute(
            "HSET", BOOKS, "max_calls", settings.max_calls, "calls_days", settings.calls_days,
            "hours_days", settings.hours_days, "days_days", settings.days_days,
            "groups_of_key", settings.max_groups_per_key, "thresholds", thresholds,
            retry_safe=True,
        )  # fmt: skip
        self._configured = True


def _clean(text: str) -> str:
    """Sanitise a name from a caller or provider: no control characters, at most 200 characters."""
    return text if text.isprintable() and len(text) <= 200 else text[:200].translate(_CONTROLS)

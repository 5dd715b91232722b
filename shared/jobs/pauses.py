"""Pauses of the queue: waiting jobs that no claim takes until they are resumed or their time is over."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shared.errors import InvalidRequest, NotFound
from shared.jobs import keys
from shared.jobs.labels import DEFAULT_PROVIDER, team_line
from shared.jobs.model import Job, Priority, State
from shared.jobs.scripts import EngineScripts
from shared.store.commands import RedisCommands

KINDS = ("all", "key", "team", "provider", "model", "priority")
MAX_PAUSES = 100
MAX_NAME = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A pause. ``until_ms`` is None for one that lasts until it is resumed."""

    scope: str
    reason: str
    until_ms: int | None = None
    created_ms: int = 0

    @property
    def kind(self) -> str:
        """``all``, ``key``, ``team``, ``provider``, ``model`` or ``priority``."""
        return self.scope.partition(":")[0]

    @property
    def name(self) -> str:
        """What of this kind is paused; a pattern for ``model``."""
        return self.scope.partition(":")[2]

    def as_json(self) -> bytes:
        """Return what is stored, with what ``pauses.lua`` compares with jobs."""
        fields: dict[str, Any] = {
            "kind": self.kind,
            "name": self.name,
            "reason": self.reason,
            "until_ms": self.until_ms,
            "created_ms": self.created_ms,
            "default_provider": DEFAULT_PROVIDER,
        }
        if self.kind == "team":
            fields["line"] = f"\n{team_line(self.name)}\n"
        if self.kind == "model":
            fields["parts"] = self.name.lower().split("*")
        return orjson.dumps(fields)

    def holds_for(self, job: Job) -> bool:
        """Tell whether it keeps a waiting job from being claimed; the same rule as in ``pauses.lua``."""
        model = (job.model if "/" in job.model else f"{DEFAULT_PROVIDER}/{job.model}").lower()
        match self.kind:
            case "all":
                return True
            case "key":
                return job.owner == self.name
            case "priority":
                return job.priority == self.name
            case "team":
                return f"\n{team_line(self.name)}\n" in job.labels
            case "provider":
                return model.partition("/")[0] == self.name.lower()
            case _:
                parts = self.name.lower().split("*")
                return _matches(parts, model) or _matches(parts, model.partition("/")[2])


def _matches(parts: Sequence[str], text: str) -> bool:
    """Compare with a pattern, cut at its asterisks; linear, whatever the pattern."""
    if len(parts) == 1:
        return text == parts[0]
    if not text.startswith(parts[0]):
        return False
    at = len(parts[0])
    for part in parts[1:-1]:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(text) - len(parts[-1]) >= at and text.endswith(parts[-1])


def check_scope(scope: str) -> str:
    """Return a scope that is valid.

    Raises:
        InvalidRequest: It is not.
    """
    kind, colon, name = scope.partition(":")
    if scope == "all" or (kind in KINDS[1:] and colon and 0 < len(name) <= MAX_NAME and name.isprintable()):
        if kind == "priority" and name not in tuple(Priority):
            raise InvalidRequest("The priority of a pause must be high, normal or low.", param="scope")
        return scope
    raise InvalidRequest(
        "A pause has one of the scopes all, key:<id>, team:<name>, provider:<name>, model:<pattern> and "
        f"priority:<name>, percent-encoded in the path; not {scope[:60]!r}.",
        param="scope",
    )


def read_pauses(flat: Iterable[bytes], now_ms: float) -> tuple[Pause, ...]:
    """Read the stored pauses that are in force, by scope."""
    values = list(flat)
    pauses = (_read(scope.decode(), raw) for scope, raw in zip(values[::2], values[1::2], strict=True))
    return tuple(sorted((p for p in pauses if p.until_ms is None or p.until_ms > now_ms), key=lambda p: p.scope))


def _read(scope: str, raw: bytes) -> Pause:
    stored: Mapping[str, Any] = orjson.loads(raw)
    return Pause(
        scope=scope, reason=stored["reason"], until_ms=stored["until_ms"], created_ms=int(stored["created_ms"])
    )


def pauses_of(job: Job, pauses: Iterable[Pause]) -> tuple[Pause, ...]:
    """Return the pauses that hold for a job; none for one that does not wait."""
    if job.state not in (State.QUEUED, State.DEFERRED):
        return ()
    return tuple(pause for pause in pauses if pause.holds_for(job))


class PauseStore:
    """The pauses in the store.

    Args:
        commands: The store.
    """

    def __init__(self, commands: RedisCommands) -> None:
        self._scripts = EngineScripts(commands)

    async def put(self, pause: Pause) -> None:
        """Begin or change a pause; when this returns, no claim takes its jobs.

        Raises:
            InvalidRequest: There are too many.
            StoreUnavailable: No answer.
        """
        if await self._scripts.run("pause", [pause.scope, pause.as_json(), MAX_PAUSES], retry_safe=True) < 0:
            raise InvalidRequest(f"There are {MAX_PAUSES} pauses already, which is the limit; resume some first.")

    async def delete(self, scope: str) -> None:
        """End a pause.

        Raises:
            NotFound: There is none of this scope.
            StoreUnavailable: No answer.
        """
        if not await self._scripts.run("pause", [scope, "", 0]):
            raise NotFound(f"Nothing is paused under the scope {scope[:300]!r}.")

    async def list(self) -> tuple[Pause, ...]:
        """Return the pauses in force.

        Raises:
            StoreUnavailable: No answer.
        """
        flat = await self._scripts.execute("HGETALL", keys.PAUSES, retry_safe=True)
        return read_pauses(flat, time.time() * 1000)

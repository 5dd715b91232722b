"""Cooldowns of keys that a provider has refused: how long each is skipped. Pure: the caller passes the time."""

from dataclasses import dataclass
from typing import NamedTuple

from shared.errors import GatewayError

FIRST_COOL_DOWN_S = 1.0
LONGEST_COOL_DOWN_S = 60.0
# A wrong or unpaid key is not fixed within seconds.
REFUSED_COOL_DOWN_S = 300.0
FORBIDDEN_COOL_DOWN_S = 60.0
MAX_KEPT = 4096

# A 429 that waiting does not fix: the account's money is spent. Source: https://platform.openai.com/docs/guides/error-codes
SPENT_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


class HealthScope(NamedTuple):
    """Subject of a cooldown or a circuit: a key, for one model or (empty) for all."""

    key: str
    model: str


@dataclass(frozen=True, slots=True)
class Cooldown:
    """Cooldown of one key.

    Attributes:
        until: On the clock of whoever asks.
        stated: Whether the provider stated the delay; a guess is not worth waiting for.
        status: The HTTP status of the refusal.
        times: Refusals in a row.
    """

    until: float
    stated: bool
    status: int
    times: int = 1


class Cooldowns:
    """The cooldowns of one provider's keys."""

    __slots__ = ("_active",)

    def __init__(self) -> None:
        self._active: dict[HealthScope, Cooldown] = {}

    def __bool__(self) -> bool:
        return bool(self._active)

    def add(self, key: str, model: str, error: GatewayError, now: float) -> tuple[HealthScope, Cooldown]:
        """Note a refusal.

        Rate limits and permissions are of a model; a wrong key and an empty account are of the key.
        """
        of_model = error.status in {403, 429} and error.code not in SPENT_CODES
        scope = HealthScope(key, model if of_model else "")
        before = self._active.get(scope)
        times = before.times + 1 if before else 1
        stated = error.status == 429 and error.retry_after_s is not None
        length_s = error.retry_after_s if stated and error.retry_after_s is not None else _length_s(error, times)
        found = Cooldown(now + length_s, stated, error.status, times)
        self.put(scope, found, now)
        return scope, found

    def put(self, scope: HealthScope, found: Cooldown, now: float) -> None:
        """Store a cooldown, of this process or another one."""
        if len(self._active) >= MAX_KEPT:
            self._active = {each: cooldown for each, cooldown in self._active.items() if cooldown.until > now}
            if len(self._active) >= MAX_KEPT:
                self._active.clear()  # more models than anyone has: somebody makes names up
        self._active[scope] = found

    def served(self, key: str, model: str) -> list[HealthScope]:
        """End the cooldowns of a key that answered; return their scopes."""
        scopes = (HealthScope(key, model), HealthScope(key, ""))
        return [scope for scope in scopes if self._active.pop(scope, None) is not None]

    def drop(self, scope: HealthScope) -> None:
        """Forget a cooldown, because the key answered another process."""
        self._active.pop(scope, None)

    def of(self, key: str, model: str, now: float) -> Cooldown | None:
        """The key's current cooldown, the longer of two; an expired one is kept for a while, to grow from."""
        longest: Cooldown | None = None
        for scope in (HealthScope(key, model), HealthScope(key, "")):
            cooldown = self._active.get(scope)
            if cooldown is None:
                continue
            if cooldown.until <= now:
                if cooldown.until + LONGEST_COOL_DOWN_S <= now:
                    del self._active[scope]
            elif longest is None or cooldown.until > longest.until:
                longest = cooldown
        return longest

    def all(self, now: float) -> dict[HealthScope, Cooldown]:
        """Every current cooldown."""
        return {scope: cooldown for scope, cooldown in self._active.items() if cooldown.until > now}


def _length_s(error: GatewayError, times: int) -> float:
    if error.status == 403:
        return FORBIDDEN_COOL_DOWN_S
    if error.status in {401, 402} or error.code in SPENT_CODES:
        return REFUSED_COOL_DOWN_S
    return min(LONGEST_COOL_DOWN_S, FIRST_COOL_DOWN_S * 2.0 ** min(times - 1, 16))

"""Keys that a provider has refused for now: how long each is left alone. Pure: told the time."""

from dataclasses import dataclass
from typing import NamedTuple

from shared.errors import GatewayError

FIRST_COOL_DOWN_S = 1.0
LONGEST_COOL_DOWN_S = 60.0
# Nobody mends a wrong or unpaid key within seconds.
REFUSED_COOL_DOWN_S = 300.0
FORBIDDEN_COOL_DOWN_S = 60.0
MAX_KEPT = 4096

# A 429 that no waiting mends: the account's money is spent. Source: https://platform.openai.com/docs/guides/error-codes
SPENT_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


class HealthScope(NamedTuple):
    """What cools: a key, for one model or (empty) for all."""

    key: str
    model: str


@dataclass(frozen=True, slots=True)
class Cooldown:
    """One key's rest.

    Attributes:
        until: On the clock of whoever asks.
        told: Whether the provider itself said how long; a guess is not worth waiting for.
        status: What it answered.
        times: Refusals in a row.
    """

    until: float
    told: bool
    status: int
    times: int = 1


class Cooldowns:
    """The resting keys of one provider."""

    __slots__ = ("_resting",)

    def __init__(self) -> None:
        self._resting: dict[HealthScope, Cooldown] = {}

    def __bool__(self) -> bool:
        return bool(self._resting)

    def rest(self, key: str, model: str, error: GatewayError, now: float) -> tuple[HealthScope, Cooldown]:
        """Note a refusal.

        Rate limits and permissions are of a model; a wrong key and an empty account are of the key.
        """
        for_model = error.status in {403, 429} and error.code not in SPENT_CODES
        place = HealthScope(key, model if for_model else "")
        before = self._resting.get(place)
        times = before.times + 1 if before else 1
        told = error.status == 429 and error.retry_after_s is not None
        length_s = error.retry_after_s if told and error.retry_after_s is not None else _length_s(error, times)
        found = Cooldown(now + length_s, told, error.status, times)
        self.put(place, found, now)
        return place, found

    def put(self, place: HealthScope, found: Cooldown, now: float) -> None:
        """Keep a cool-down, found here or by another process."""
        if len(self._resting) >= MAX_KEPT:
            self._resting = {each: rest for each, rest in self._resting.items() if rest.until > now}
            if len(self._resting) >= MAX_KEPT:
                self._resting.clear()  # more models than anyone has: somebody makes names up
        self._resting[place] = found

    def served(self, key: str, model: str) -> list[HealthScope]:
        """A key answered: its rests are over; gives those that there were."""
        places = (HealthScope(key, model), HealthScope(key, ""))
        return [place for place in places if self._resting.pop(place, None) is not None]

    def drop(self, place: HealthScope) -> None:
        """Forget a cool-down, because another process saw the key serve."""
        self._resting.pop(place, None)

    def of(self, key: str, model: str, now: float) -> Cooldown | None:
        """The key's present rest, the longer one of two; one that is over is kept a while, to grow from."""
        longest: Cooldown | None = None
        for place in (HealthScope(key, model), HealthScope(key, "")):
            rest = self._resting.get(place)
            if rest is None:
                continue
            if rest.until <= now:
                if rest.until + LONGEST_COOL_DOWN_S <= now:
                    del self._resting[place]
            elif longest is None or rest.until > longest.until:
                longest = rest
        return longest

    def all(self, now: float) -> dict[HealthScope, Cooldown]:
        """Every present rest."""
        return {place: rest for place, rest in self._resting.items() if rest.until > now}


def _length_s(error: GatewayError, times: int) -> float:
    if error.status == 403:
        return FORBIDDEN_COOL_DOWN_S
    if error.status in {401, 402} or error.code in SPENT_CODES:
        return REFUSED_COOL_DOWN_S
    return min(LONGEST_COOL_DOWN_S, FIRST_COOL_DOWN_S * 2.0 ** min(times - 1, 16))

"""How often a semantic match would have been right, and from which similarity on it may be served. Pure.

Answers that would have been served are compared with those that came. Served is from the lowest similarity on, of
which the 95 % upper confidence bound of wrong answers among those served is at most what is allowed (Clopper-Pearson,
exact: with no disagreement at all, 1 % takes 299 comparisons). A bound on all requests would let one served answer in
nine be wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, log, log1p

CONFIDENCE = 0.95
STEPS = 100
"""Of similarity between 0 and 1, each counted by itself."""
_BISECTIONS = 40


@dataclass(frozen=True, slots=True)
class Evidence:
    """Comparisons of one family: of the answers of one model in one scope, found with one embedding.

    Attributes:
        seen: Comparisons by similarity in hundredths.
        wrong: Those in which the answers disagreed.
    """

    seen: Mapping[int, int] = field(default_factory=dict)
    wrong: Mapping[int, int] = field(default_factory=dict)

    def counts(self, lowest: int) -> tuple[int, int]:
        """Return how many comparisons there are from a similarity on, and how many of them disagreed."""
        seen = sum(count for step, count in self.seen.items() if step >= lowest)
        return seen, sum(count for step, count in self.wrong.items() if step >= lowest)

    def serves_from(self, lowest: int, most_wrong: float, fewest: int) -> int | None:
        """Return the similarity from which on answers may be served, in hundredths; None: none may.

        Args:
            lowest: The lowest that is allowed.
            most_wrong: The largest allowed share of wrong answers among those served.
            fewest: Comparisons without which nothing is served.
        """
        for step in sorted(step for step in self.seen if step >= lowest):
            seen, wrong = self.counts(step)
            if seen < fewest:
                return None
            if is_bounded(seen, wrong, most_wrong):
                return step
        return None


def step_of(similarity: float) -> int:
    """Return a similarity in hundredths, rounded down."""
    return max(0, min(STEPS, int(similarity * STEPS + 1e-9)))


def read_evidence(fields: Mapping[str, str]) -> Evidence:
    """Read what the store holds of a family; what is not a count is left out."""
    found: dict[str, dict[int, int]] = {"seen": {}, "wrong": {}}
    for name, value in fields.items():
        kind, _, step = name.partition(":")
        if kind in found and step.isdecimal() and value.isdecimal() and int(step) <= STEPS:
            found[kind][int(step)] = int(value)
    return Evidence(found["seen"], found["wrong"])


def is_bounded(seen: int, wrong: int, most_wrong: float) -> bool:
    """Whether the share of wrong answers is at most ``most_wrong``, with 95 % confidence."""
    if wrong >= seen * most_wrong:
        return False
    return _chance_of_at_most(wrong, seen, most_wrong) <= 1 - CONFIDENCE


def upper_bound(seen: int, wrong: int) -> float:
    """Return the 95 % upper confidence bound of the share of wrong answers, 0 to 1; 1 without comparisons."""
    if wrong >= seen:
        return 1.0
    low, high = wrong / seen, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if _chance_of_at_most(wrong, seen, middle) <= 1 - CONFIDENCE else (middle, high)
    return high


def _chance_of_at_most(wrong: int, seen: int, share: float) -> float:
    """Return the probability of at most so many wrong ones among those seen, if each is wrong with that probability."""
    if share >= 1:
        return 0.0
    term = seen * log1p(-share)
    ratio = log(share) - log1p(-share)
    chance = exp(term)
    for count in range(1, wrong + 1):
        term += log((seen - count + 1) / count) + ratio
        chance += exp(term)
    return chance

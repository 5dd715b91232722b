"""Choose one of several usable keys: at random by weight, or the same one within a session. Pure functions."""

import random
from collections.abc import Sequence
from hashlib import blake2b

from shared.providers.base import ProviderKey

_SPAN = float(1 << 64)
_NEXT_TO_NONE = 1e-9  # the weight of a key with weight 0: it serves when no other can


def choose_key(keys: Sequence[ProviderKey], session: str = "", *, chance: float | None = None) -> ProviderKey | None:
    """One of the keys; None where there is none.

    Args:
        keys: To choose from.
        session: Calls of one session stay with one key as long as it is among them, so that the provider's prompt
            cache finds them again.
        chance: In [0, 1), for a call without a session; default: random.
    """
    if len(keys) < 2:
        return keys[0] if keys else None
    if session:
        return max(keys, key=lambda key: draw(key.name, key.weight or _NEXT_TO_NONE, session))
    total = sum(key.weight for key in keys)
    point = (random.random() if chance is None else chance) * total  # noqa: S311 - spreads load, guards nothing
    for key in keys:
        point -= key.weight
        if point < 0:
            return key
    return keys[-1]


def draw(name: str, weight: float, session: str) -> float:
    """Draw a lot for a candidate; the highest lot wins, in proportion to the weights.

    Without a session it is drawn at random (weighted sampling by Efraimidis and Spirakis). Within one it is always the
    same: rendezvous hashing, where a removed candidate moves only its own sessions.
    Sources: https://doi.org/10.1016/j.ipl.2005.11.003, https://datatracker.ietf.org/doc/draft-ietf-bess-weighted-hrw/
    """
    if not session:
        return float(random.random() ** (1 / weight))  # noqa: S311 - spreads load, guards nothing
    digest = blake2b(f"{name}\0{session}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return float(((int.from_bytes(digest, "big") + 0.5) / _SPAN) ** (1 / weight))

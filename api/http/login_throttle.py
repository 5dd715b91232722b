"""Throttles guesses of keys, per client address."""

import ipaddress
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from shared.errors import TooManyAttempts

BURST = 10
REFILL_S = 6.0  # ten guesses a minute
# Virtual keys: many callers with old keys may share an address, and 256 random bits are not found by guessing.
KEY_BURST = 100
KEY_REFILL_S = 0.6
REMEMBERED = 4096
_SAME = 16

logger = logging.getLogger("finops.api")


@dataclass(slots=True)
class _Address:
    left: float
    since: float
    wrong: deque[bytes] = field(default_factory=lambda: deque(maxlen=_SAME))


class LoginThrottle:
    """Counts wrong keys per client address, in this process.

    A wrong key costs a token of its address; the same wrong key again costs none (a machine with an old key): it
    reveals nothing. Without tokens, wrong keys are answered with 429 until tokens have returned. A right key is never
    refused, so that nobody can lock its owner out: callers check the key first, and report wrong ones alone.

    Args:
        clock: Monotonic seconds.
        burst: Tokens of an address.
        refill_s: Seconds in which one token returns.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, burst: int = BURST, refill_s: float = REFILL_S
    ) -> None:
        self._clock = clock
        self._burst = burst
        self._refill_s = refill_s
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def allows(self, address: str, fingerprint: bytes) -> bool:
        """Whether one more key may be tried; False: it is known to be wrong, or the address has no tokens left."""
        found = self._addresses.get(_network(address))
        if found is None:
            return True
        self._refill(found)
        return fingerprint not in found.wrong and found.left >= 1

    def wrong(self, address: str, fingerprint: bytes) -> None:
        """Record that a key was wrong.

        Args:
            address: The client's.
            fingerprint: Identifies the key, from ``Authenticator.fingerprint_of``; empty: none was sent.

        Raises:
            TooManyAttempts: The address has no tokens left.
        """
        if not fingerprint:
            return
        network = _network(address)
        found = self._addresses.setdefault(network, _Address(self._burst, self._clock()))
        self._addresses.move_to_end(network)
        if len(self._addresses) > REMEMBERED:
            self._addresses.popitem(last=False)
        if fingerprint in found.wrong:
            return
        self._refill(found)
        if found.left < 1:
            wait_s = (1 - found.left) * self._refill_s
            raise TooManyAttempts(
                "Too many wrong keys came from this address; wait and try again.", retry_after_s=wait_s
            )
        found.left -= 1
        found.wrong.append(fingerprint)
        if found.left < 1:
            logger.warning("Too many wrong keys from one address", extra={"address": network})

    def _refill(self, found: _Address) -> None:
        now = self._clock()
        found.left = min(float(self._burst), found.left + (now - found.since) / self._refill_s)
        found.since = now


@lru_cache(maxsize=REMEMBERED)
def _network(address: str) -> str:
    """The address to count under; for IPv6 its /64, as one client usually holds all of it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))

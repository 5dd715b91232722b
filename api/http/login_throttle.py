"""Throttles guesses of the admin key, per client address."""

import ipaddress
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.errors import TooManyAttempts

BURST = 10
REFILL_S = 6.0  # ten guesses a minute
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

    A wrong key costs a token of its address. A right key costs none, nor does the same wrong key again (a machine with
    an old key): it reveals nothing. Without tokens no key from the address is checked, so that further guesses reveal
    nothing; tokens return one by one, so that others behind the same address wait for seconds only.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def allow(self, address: str, fingerprint: bytes) -> bool:
        """Whether a key should be checked; False: it is known to be wrong.

        Args:
            address: The client's.
            fingerprint: Identifies the key, from ``Authenticator.fingerprint_of``.

        Raises:
            TooManyAttempts: The address has no tokens left.
        """
        found = self._addresses.get(_network(address))
        if found is None:
            return True
        if fingerprint in found.wrong:
            return False
        self._refill(found)
        if found.left < 1:
            wait_s = (1 - found.left) * REFILL_S
            raise TooManyAttempts(
                "Too many wrong admin keys came from this address; wait and try again.", retry_after_s=wait_s
            )
        return True

    def wrong(self, address: str, fingerprint: bytes) -> None:
        """Record that a key was wrong."""
        network = _network(address)
        found = self._addresses.setdefault(network, _Address(BURST, self._clock()))
        self._addresses.move_to_end(network)
        if len(self._addresses) > REMEMBERED:
            self._addresses.popitem(last=False)
        self._refill(found)
        found.left = max(0.0, found.left - 1)
        found.wrong.append(fingerprint)
        if found.left < 1:
            logger.warning("Too many wrong admin keys from one address", extra={"address": network})

    def _refill(self, found: _Address) -> None:
        now = self._clock()
        found.left = min(float(BURST), found.left + (now - found.since) / REFILL_S)
        found.since = now


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

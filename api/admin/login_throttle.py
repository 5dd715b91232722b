"""Slows down whoever guesses the admin key."""

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

    A guess costs a token of the address, a right key costs none, and the same wrong key again (a machine with an old
    key) costs none either: it learns nothing. Without a token left nobody's key is looked at, so that guessing on
    brings nothing; as tokens come back one by one, whoever shares the address with a guesser waits for seconds.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def allow(self, address: str, document: bytes) -> bool:
        """Whether what is shown is to be looked at; False: it is known to be wrong.

        Args:
            address: The client's.
            shown: Tells one key from another, as ``Authenticator.fingerprint_of``.

        Raises:
            TooManyAttempts: Not now.
        """
        found = self._addresses.get(_network(address))
        if found is None:
            return True
        if document in found.wrong:
            return False
        self._refill(found)
        if found.left < 1:
            wait_s = (1 - found.left) * REFILL_S
            raise TooManyAttempts("Too many wrong admin keys came from this address.", retry_after_s=wait_s)
        return True

    def wrong(self, address: str, document: bytes) -> None:
        """What was shown is wrong."""
        network = _network(address)
        found = self._addresses.setdefault(network, _Address(BURST, self._clock()))
        self._addresses.move_to_end(network)
        if len(self._addresses) > REMEMBERED:
            self._addresses.popitem(last=False)
        self._refill(found)
        found.left = max(0.0, found.left - 1)
        found.wrong.append(document)
        if found.left < 1:
            logger.warning("too many wrong admin keys from one address", extra={"address": network})

    def _refill(self, found: _Address) -> None:
        now = self._clock()
        found.left = min(float(BURST), found.left + (now - found.since) / REFILL_S)
        found.since = now


def _network(address: str) -> str:
    """Of an IPv6 address its /64: whoever has one address has them all."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))

"""Limits the synchronous calls that one virtual key has open at once in this process."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from shared.errors import ConcurrencyLimited
from shared.governance.keys.caller import Caller

RETRY_AFTER_S = 1.0
_UNLIMITED = nullcontext()


class CallSlots:
    """Counts open calls per virtual key; keys without ``max_concurrent_calls`` are not counted.

    Each API process counts for itself, as it does for providers' ``concurrency``: the limit keeps one key from taking
    all places there, and costs no round trip to the store.
    """

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def hold(self, caller: Caller) -> AbstractContextManager[None]:
        """Return a context in which one call of the caller is open.

        Raises:
            ConcurrencyLimited: On entering it: the key has as many calls open as it may.
        """
        return self._hold(caller.key_id, caller.max_concurrent_calls) if caller.max_concurrent_calls else _UNLIMITED

    @contextmanager
    def _hold(self, key_id: str, most: int) -> Iterator[None]:
        open_now = self._open.get(key_id, 0)
        if open_now >= most:
            raise ConcurrencyLimited(
                f"The virtual key has {open_now} calls open, the most that it may (max_concurrent_calls). Wait for one "
                "to end, or submit a job.",
                retry_after_s=RETRY_AFTER_S,
            )
        self._open[key_id] = open_now + 1
        try:
            yield
        finally:
            left = self._open[key_id] - 1
            if left:
                self._open[key_id] = left
            else:
                del self._open[key_id]

"""A child notices that its supervisor is gone, however it went: the pipe that both hold then ends.

The supervisor keeps the only writing end and never writes. Works for kill -9 too, and on every Unix.
"""

import os
import signal
import threading
from collections.abc import MutableMapping

VARIABLE = "FINOPS_LIFELINE"


def hold_lifeline(environ: MutableMapping[str, str] = os.environ) -> threading.Thread | None:
    """Watch the lifeline that the environment names, if it names one; the variable is taken out.

    When it ends, this process gets SIGTERM, so that it stops as it always does, and after the grace that the
    variable also says it ends in any case.

    Returns:
        The watching thread; None without a lifeline.
    """
    said = environ.pop(VARIABLE, "")
    if not said:
        return None
    descriptor, _, grace_s = said.partition(":")
    os.set_inheritable(int(descriptor), False)
    watcher = threading.Thread(target=_watch, args=(int(descriptor), float(grace_s)), name="lifeline", daemon=True)
    watcher.start()
    return watcher


def _watch(descriptor: int, grace_s: float) -> None:
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(grace_s)
    os._exit(1)  # the orderly way did not end: the store is gone, say, and an outcome waits for it


class Lifeline:
    """The supervisor's end."""

    def __init__(self) -> None:
        self.reading_end, self._writing_end = os.pipe()

    def variable(self, grace_s: float) -> dict[str, str]:
        """What a child's environment must hold."""
        return {VARIABLE: f"{self.reading_end}:{grace_s:g}"}

    def close(self) -> None:
        """Let go; children that still run then stop."""
        os.close(self.reading_end)
        os.close(self._writing_end)

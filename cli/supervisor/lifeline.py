"""A pipe by which a child notices that its supervisor has ended, however it ended.

The supervisor keeps the only writing end and never writes: when it ends, readers see the end of the pipe. This works
for kill -9 too, and on every Unix.
"""

import os
import signal
import threading
from collections.abc import MutableMapping

VARIABLE = "FINOPS_LIFELINE"


def hold_lifeline(environ: MutableMapping[str, str] = os.environ) -> threading.Thread | None:
    """Watch the lifeline that the environment names, if any; the variable is removed.

    When the lifeline ends, this process gets SIGTERM, so that it stops in the usual way; after the grace period, which
    the variable gives too, it exits in any case.

    Returns:
        The watching thread; None without a lifeline.
    """
    value = environ.pop(VARIABLE, "")
    if not value:
        return None
    descriptor, _, grace_s = value.partition(":")
    os.set_inheritable(int(descriptor), False)
    watcher = threading.Thread(target=_watch, args=(int(descriptor), float(grace_s)), name="lifeline", daemon=True)
    watcher.start()
    return watcher


def _watch(descriptor: int, grace_s: float) -> None:
    while os.read(descriptor, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(grace_s)
    os._exit(1)  # the orderly stop hangs: the store is gone, for example, and an outcome waits for it


class Lifeline:
    """The supervisor's end of the pipe."""

    def __init__(self) -> None:
        self.reading_end, self._writing_end = os.pipe()

    def variable(self, grace_s: float) -> dict[str, str]:
        """Return the environment variable that a child needs."""
        return {VARIABLE: f"{self.reading_end}:{grace_s:g}"}

    def close(self) -> None:
        """Close the pipe; children that still run stop."""
        os.close(self.reading_end)
        os.close(self._writing_end)

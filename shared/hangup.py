"""What SIGHUP means to a process: read the configuration again, or stop where a closed terminal sent it."""

import asyncio
import os
import signal
from collections.abc import Callable

TERMINAL = "/dev/tty"


def on_hangup(reload: Callable[[], None], stop: Callable[[], None]) -> None:
    """Handle SIGHUP in the running event loop, unless it is ignored, as `nohup` has it.

    Args:
        reload: Called when a person or a service manager sent it.
        stop: Called when the terminal that the process had was closed.
    """
    had_terminal = _has_terminal()

    def handle() -> None:
        (stop if had_terminal and not _has_terminal() else reload)()

    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, handle)


def _has_terminal() -> bool:
    try:
        os.close(os.open(TERMINAL, os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True

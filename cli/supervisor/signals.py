"""A clean exit for processes that uvicorn serves: it raises the signal again once it has stopped."""

import signal
import sys
from types import FrameType


def end_on_signals() -> None:
    """Make SIGTERM and SIGINT end the process with exit code 0, unless something else handles them."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)

"""Whether the caller of a call still waits for its answer."""

from typing import Protocol

LONGEST_READ_S = 60.0
"""How long an answer, or the rest of a stream, is read without its caller."""


class CallerPresence(Protocol):
    """Tells a call that its caller has left, and whoever watches the caller that the call is to go on without it.

    Attributes:
        reads_on: Whether the call has reserved its cost and sent its request: its answer says what it cost, so that it
            is waited for without its caller.
        left: Whether the caller has left meanwhile; no further request is sent then.
    """

    reads_on: bool
    left: bool

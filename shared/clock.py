"""Current time, RFC 3339 text and back-off delays: the product's one notation for each.

Used as ``clock.now()``, because ``now`` is what callers name the moment they hold.
"""

import math
from datetime import UTC, datetime
from typing import Literal

# Delays before a retry of a store that does not answer, in seconds; the last one repeats. A restart of Redis
# takes a second or two, so retries have to be dense at first and may not grow beyond what a caller waits.
BACK_OFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)

Precision = Literal["seconds", "milliseconds"]


def now() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime | float, precision: Precision = "seconds") -> str:
    """Format a moment in UTC, as ``2026-11-22T20:43:30Z`` or ``2026-11-22T20:43:30.125Z``.

    Args:
        moment: An aware time, or Unix seconds.
        precision: The last unit that is written; smaller ones are cut off.
    """
    utc = moment.astimezone(UTC) if isinstance(moment, datetime) else datetime.fromtimestamp(moment, UTC)
    return f"{utc.replace(tzinfo=None).isoformat(timespec=precision)}Z"


def rfc3339_ms(unix_ms: int) -> str:
    """Format Unix milliseconds, as jobs and ledger entries keep them: ``2026-11-22T20:43:30.125Z``."""
    return rfc3339(unix_ms / 1000, "milliseconds")


def parse_rfc3339(text: str) -> datetime:
    """Read a time in RFC 3339; without an offset it is taken as UTC.

    Raises:
        ValueError: The text is not a time.
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def span(seconds: float) -> str:
    """Write a time span for people, in its two largest units: ``3 h 26 min``, ``45 s``.

    Args:
        seconds: 0 or more; a part of a second counts as a whole one.
    """
    rest = math.ceil(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def back_off_s(failures: int) -> float:
    """Return the delay before the next attempt, in seconds.

    Args:
        failures: Failed attempts before this one; 0 after the first.
    """
    return BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]

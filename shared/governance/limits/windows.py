"""Windows of time over which money, calls and tokens are counted; pure.

``1m``, ``1h``, ``1d``, ``1w`` and ``1M`` are those of the calendar, in UTC, weeks from Monday. ``rolling:1d`` is the
last 24 hours at any moment (a rolling month has 30 days), counted in sixtieths: it is at most a sixtieth too long
and never too short. The scripts (``meters.lua``) reckon the same by the store's clock; a test holds one against the
other.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SLICES = 60
UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000, "M": 30 * 86_400_000}
_NAMES = {"m": "minute", "h": "hour", "d": "day", "w": "week", "M": "month"}


@dataclass(frozen=True, slots=True)
class Window:
    """A kind of window.

    Attributes:
        unit: ``m``, ``h``, ``d``, ``w`` or ``M``.
        rolling: How many units back from now; 0: the calendar's.
    """

    unit: str
    rolling: int = 0

    @property
    def name(self) -> str:
        """As configured."""
        return f"rolling:{self.rolling}{self.unit}" if self.rolling else f"1{self.unit}"

    @property
    def description(self) -> str:
        """The window in messages: ``this day (UTC)``, ``the last 2 days``."""
        if not self.rolling:
            return f"this {_NAMES[self.unit]} (UTC)"
        return f"the last {self.rolling} {_NAMES[self.unit]}{'s' if self.rolling > 1 else ''}"

    @property
    def slice_ms(self) -> int:
        """Length of one slice of a rolling window."""
        return UNIT_MS[self.unit] * self.rolling // SLICES

    def start_ms(self, now_ms: int) -> int:
        """Start of the window around ``now_ms``, or of the slice of a rolling one."""
        if self.rolling:
            return now_ms - now_ms % self.slice_ms
        if self.unit == "M":
            now = datetime.fromtimestamp(now_ms / 1000, UTC)
            return _ms(now.replace(day=1, hour=0, minute=0, second=0, microsecond=0))
        length = UNIT_MS[self.unit]
        shift = 3 * UNIT_MS["d"] if self.unit == "w" else 0  # the epoch was a Thursday
        return now_ms - (now_ms + shift) % length

    def end_ms(self, now_ms: int) -> int:
        """End of the window around ``now_ms``; of a rolling one, when usage of now is no longer counted."""
        start = self.start_ms(now_ms)
        if self.rolling:
            return start + self.slice_ms * (SLICES + 1)
        if self.unit == "M":
            later = datetime.fromtimestamp(start / 1000, UTC) + timedelta(days=32)
            return _ms(later.replace(day=1))
        return start + UNIT_MS[self.unit]


def parse_window(text: str) -> Window:
    """Read a window's name.

    Raises:
        ValueError: The text is not a window.
    """
    kind, colon, rest = text.partition(":")
    if colon and kind == "rolling" and rest[-1:] in UNIT_MS and rest[:-1].isdecimal() and 0 < int(rest[:-1]) < 1000:
        return Window(rest[-1], int(rest[:-1]))
    if not colon and len(text) == 2 and text[0] == "1" and text[1] in UNIT_MS:
        return Window(text[1])
    raise ValueError(f"{text!r} is not a window. Use 1m, 1h, 1d, 1w, 1M, or rolling:<number><unit>")


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)

"""The times of a schedule: cron expressions in a time zone, and intervals; pure, but for the time zones' files."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from shared.errors import InvalidRequest

CatchUp = Literal["skip", "last"]

MAX_CRON_CHARS = 100
CRON_FIELDS = 5
# A firing counts as missed once it is later than half its interval: a restart of the workers must not lose a daily
# job, and jobs of every second must not pile up.
LEAST_GRACE_MS = 5_000
MOST_GRACE_MS = 60_000
MAX_COUNTED = 1_000
# How far back the last firing before now is looked for, step by step: each holds about 60 firings at most.
_LOOK_BACK_MS = (3_600_000, 86_400_000, 32 * 86_400_000, 366 * 86_400_000)
_ZONE = re.compile(r"[A-Za-z0-9_+\-]{1,30}(/[A-Za-z0-9_+\-]{1,30}){0,2}")
# Aliases whose meaning differs between machines or counts leap seconds.
_NO_ZONES = ("posix", "right/", "localtime", "Factory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a schedule fires: by ``cron`` in ``timezone``, or every ``every_s`` from ``anchor_ms`` on.

    Attributes:
        cron: Five fields; empty with ``every_s``.
        every_s: Seconds between firings; 0 with ``cron``.
        timezone: IANA name.
        anchor_ms: Unix milliseconds; only of intervals.
    """

    cron: str = ""
    every_s: float = 0.0
    timezone: str = "UTC"
    anchor_ms: int = 0

    def next_ms(self, after_ms: int) -> int | None:
        """Return the first firing after a moment, in Unix milliseconds; None if there is none within 50 years.

        Daylight saving follows Debian's cron: a firing at a certain time that the change skips comes right after it,
        and one in the hour that comes twice fires once; firings by ``*`` follow the elapsed time.
        """
        if not self.cron:
            every_ms = round(self.every_s * 1000)
            return self.anchor_ms + ((after_ms - self.anchor_ms) // every_ms + 1) * every_ms
        for moment in _moments(self.cron, self.timezone, after_ms):
            # Firings that a change of the clock moves to the same moment are one firing; times of the hour that comes
            # twice are those of its first pass.
            if moment > after_ms:
                return moment
        return None


class Plan(NamedTuple):
    """What a turn at a schedule has to do.

    Attributes:
        fire_ms: The firing to run now; None: none.
        missed: Firings that are skipped for being late, counted up to ``MAX_COUNTED``.
        next_ms: The firing after these; None: there is none.
    """

    fire_ms: int | None
    missed: int
    next_ms: int | None


def plan(timing: Timing, due_ms: int, now_ms: int, catch_up: CatchUp) -> Plan:
    """Decide which of the due firings runs now; every firing that is not late runs, one a turn.

    Args:
        timing: The times of the schedule.
        due_ms: Its first firing that was not looked at yet.
        now_ms: The current time.
        catch_up: ``skip``: missed firings never run; ``last``: the last missed one runs, if no later one is due.
    """
    after = timing.next_ms(due_ms)
    if due_ms > now_ms:
        return Plan(None, 0, due_ms)
    punctual_ms = now_ms - _grace_ms(due_ms, after)
    if due_ms >= punctual_ms:
        return Plan(due_ms, 0, after)
    first = timing.next_ms(punctual_ms - 1)
    if first is not None and first <= now_ms:
        return Plan(first, _count(timing, due_ms, first), timing.next_ms(first))
    missed = _count(timing, due_ms, now_ms + 1)
    if catch_up == "skip":
        return Plan(None, missed, first)
    return Plan(_last_ms(timing, due_ms, now_ms), missed - 1, first)


def check_cron(cron: str, timezone: str) -> None:
    """Check a cron expression and a time zone.

    Raises:
        InvalidRequest: One of them is not valid; ``param`` names it.
    """
    check_zone(timezone)
    fields = len(cron.split())
    if fields != CRON_FIELDS or len(cron) > MAX_CRON_CHARS or not cron.isascii():
        raise InvalidRequest(
            "cron must have five fields (minute, hour, day of month, month, day of week) in at most "
            f"{MAX_CRON_CHARS} characters, for example '30 6 * * MON-FRI'.",
            param="cron",
        )
    try:
        CronSim(cron, datetime.now(UTC))
    except CronSimError as error:
        raise InvalidRequest(f"cron is not valid: {error}, in {cron!r}.", param="cron") from None


def check_zone(timezone: str) -> None:
    """Check the name of a time zone.

    Raises:
        InvalidRequest: There is no such zone.
    """
    try:
        _zone(timezone)
    except (ValueError, KeyError, OSError):
        raise InvalidRequest(
            f"timezone must be a name of the IANA database, for example Europe/Berlin, not {timezone[:60]!r}.",
            param="timezone",
        ) from None


def _zone(name: str) -> ZoneInfo:
    if not _ZONE.fullmatch(name) or name.startswith(_NO_ZONES):
        raise ValueError(name)
    return ZoneInfo(name)


def _moments(cron: str, timezone: str, after_ms: int) -> Iterator[int]:
    zone = UTC if timezone == "UTC" else _zone(timezone)
    for moment in CronSim(cron, datetime.fromtimestamp(after_ms // 1000, zone)):
        yield round(moment.timestamp() * 1000)


def _grace_ms(due_ms: int, after: int | None) -> int:
    if after is None:
        return MOST_GRACE_MS
    return min(MOST_GRACE_MS, max(LEAST_GRACE_MS, (after - due_ms) // 2))


def _count(timing: Timing, from_ms: int, before_ms: int) -> int:
    """Count firings from one moment, itself included, to before another."""
    if not timing.cron:
        return 1 + (before_ms - 1 - from_ms) // round(timing.every_s * 1000)
    count, at = 0, from_ms
    while at < before_ms and count < MAX_COUNTED:
        count += 1
        following = timing.next_ms(at)
        if following is None:
            break
        at = following
    return count


def _last_ms(timing: Timing, due_ms: int, now_ms: int) -> int:
    """Return the last firing that is not after now, ``due_ms`` at least."""
    if not timing.cron:
        every_ms = round(timing.every_s * 1000)
        return due_ms + (now_ms - due_ms) // every_ms * every_ms
    for back_ms in _LOOK_BACK_MS:
        last, at = 0, timing.next_ms(max(due_ms - 1, now_ms - back_ms))
        while at is not None and at <= now_ms:
            last, at = at, timing.next_ms(at)
        if last:
            return last
    return due_ms

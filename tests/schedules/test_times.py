"""The times of schedules: cron and intervals, daylight saving, leap days, and what is missed."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from shared.errors import InvalidRequest
from shared.schedules.times import MAX_COUNTED, CatchUp, Plan, Timing, check_cron, check_zone, plan

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


HOURLY = Timing(cron="0 * * * *")
NEVER = Timing(cron="0 0 */30 2 MON#5")  # the 1st is no fifth Monday


def ms(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def times(timing: Timing, after: str, count: int) -> list[str]:
    """The next firings, as local times with their offset from UTC."""
    zone, at, found = ZoneInfo(timing.timezone), ms(after, timing.timezone), []
    for _ in range(count):
        following = timing.next_ms(at)
        assert following is not None
        assert following > at
        at = following
        found.append(datetime.fromtimestamp(at / 1000, zone).isoformat(timespec="minutes"))
    return found


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("30 6 * * MON-FRI", "UTC", "2026-11-27T07:00", ["2026-11-30T06:30+00:00", "2026-12-01T06:30+00:00"]),
        ("0 9 * * *", "Asia/Kolkata", "2026-11-27T09:00", ["2026-11-28T09:00+05:30", "2026-11-29T09:00+05:30"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00", ["2028-02-29T00:00+00:00", "2032-02-29T00:00+00:00"]),
        ("0 0 29 2 *", "UTC", "2096-03-01T00:00", ["2104-02-29T00:00+00:00", "2108-02-29T00:00+00:00"]),
        ("0 0 L * *", "UTC", "2028-02-01T00:00", ["2028-02-29T00:00+00:00", "2028-03-31T00:00+00:00"]),
        ("0 0 * * 7", "UTC", "2026-11-27T00:00", ["2026-11-29T00:00+00:00", "2026-12-06T00:00+00:00"]),
        # Clocks go from 02:00 to 03:00: what the change skips comes right after it, once.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]),
        ("0,30 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00", ["2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"]),
        ("*/30 * * * *", "Europe/Berlin", "2026-03-29T01:00", ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00"]),
        # Clocks go from 03:00 back to 02:00: a certain time fires once, a repeated one follows the elapsed time.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-25T01:45",
            [
                "2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00", "2026-10-25T02:30+01:00",
                "2026-10-25T03:00+01:00",
            ],
        ),
        ("0 12 * * *", "America/New_York", "2026-03-07T12:00", ["2026-03-08T12:00-04:00"]),
    ],
)  # fmt: skip
def test_cron_fires_at_local_times(cron: str, zone: str, after: str, expected: list[str]) -> None:
    check_cron(cron, zone)
    assert times(Timing(cron=cron, timezone=zone), after, len(expected)) == expected


def test_a_time_in_the_second_pass_of_the_doubled_hour_fires_the_next_day() -> None:
    second_pass = ms("2026-10-25T01:10", "UTC")  # 02:10 in Berlin, for the second time
    following = Timing(cron="30 2 * * *", timezone="Europe/Berlin").next_ms(second_pass)
    assert following == ms("2026-10-26T02:30", "Europe/Berlin")


def test_intervals_keep_their_grid_whenever_they_are_looked_at() -> None:
    timing = Timing(every_s=1.5, anchor_ms=1_000)
    assert [timing.next_ms(at) for at in (1_000, 2_499, 2_500, 3_999, 4_100)] == [2_500, 2_500, 4_000, 4_000, 5_500]


def test_a_date_that_never_comes_has_no_firing() -> None:
    assert Timing(cron="0 0 * 2 MON#5").next_ms(ms("2044-03-01T00:00")) == ms("2072-02-29T00:00")
    assert NEVER.next_ms(ms("2026-01-01T00:00")) is None


@pytest.mark.parametrize(
    "cron",
    ["", "* * * *", "* * * * * *", "60 * * * *", "* * 0 * *", "0 0 30 2 *", "@daily", "a b c d e", "*/0 * * * *",
     "* * * * 1#9", f"{'0,' * 60}0 * * * *"],
)  # fmt: skip
def test_bad_cron_expressions_are_refused(cron: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_cron(cron, "UTC")
    assert refused.value.param == "cron"


@pytest.mark.parametrize(
    "zone", ["Mars/Base", "../../etc/passwd", "/etc/passwd", "", "right/UTC", "localtime", "Europe", "a\0b", "x" * 200]
)
def test_bad_time_zones_are_refused(zone: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_zone(zone)
    assert refused.value.param == "timezone"


SECONDLY = Timing(every_s=1, anchor_ms=0)
AT = ms("2026-11-27T10:00")


@pytest.mark.parametrize(
    ("timing", "due_ms", "now_ms", "catch_up", "expected"),
    [
        (HOURLY, AT, AT - 1, "skip", Plan(None, 0, AT)),
        (HOURLY, AT, AT, "skip", Plan(AT, 0, AT + HOUR_MS)),
        (HOURLY, AT, AT + 60_000, "skip", Plan(AT, 0, AT + HOUR_MS)),
        (HOURLY, AT, AT + 60_001, "skip", Plan(None, 1, AT + HOUR_MS)),
        (HOURLY, AT, AT + 60_001, "last", Plan(AT, 0, AT + HOUR_MS)),
        (HOURLY, AT, AT + 3 * HOUR_MS + 61_000, "skip", Plan(None, 4, AT + 4 * HOUR_MS)),
        (HOURLY, AT, AT + 3 * HOUR_MS + 61_000, "last", Plan(AT + 3 * HOUR_MS, 3, AT + 4 * HOUR_MS)),
        (HOURLY, AT, AT + 3 * HOUR_MS + 1, "skip", Plan(AT + 3 * HOUR_MS, 3, AT + 4 * HOUR_MS)),
        (Timing(cron="0 0 * * *"), ms("2026-11-27T00:00"), ms("2026-12-01T06:00"), "last",
         Plan(ms("2026-12-01T00:00"), 4, ms("2026-12-02T00:00"))),
        (Timing(cron="0 0 29 2 *"), ms("2028-02-29T00:00"), ms("2029-06-01T00:00"), "last",
         Plan(ms("2028-02-29T00:00"), 0, ms("2032-02-29T00:00"))),
        (NEVER, AT, AT + 60_000, "skip", Plan(AT, 0, None)),
        (NEVER, AT, AT + 60_001, "skip", Plan(None, 1, None)),
        (SECONDLY, AT, AT + 3_000, "skip", Plan(AT, 0, AT + 1_000)),
        (SECONDLY, AT, AT + DAY_MS, "skip", Plan(AT + DAY_MS - 5_000, 86_395, AT + DAY_MS - 4_000)),
        (Timing(every_s=600, anchor_ms=0), AT, AT + 1_500_000, "last", Plan(AT + 1_200_000, 2, AT + 1_800_000)),
        (Timing(cron="* * * * *"), AT, AT + 30 * DAY_MS, "skip",
         Plan(AT + 30 * DAY_MS, MAX_COUNTED, AT + 30 * DAY_MS + 60_000)),
    ],
)  # fmt: skip
def test_late_firings_are_run_or_skipped(
    timing: Timing, due_ms: int, now_ms: int, catch_up: CatchUp, expected: Plan
) -> None:
    assert plan(timing, due_ms, now_ms, catch_up) == expected

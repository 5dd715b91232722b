"""Time as text and as delays."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared import clock

MOMENT = datetime(2026, 11, 22, 20, 23, 30, 125_999, tzinfo=UTC)


def test_now_is_aware_and_in_utc() -> None:
    assert clock.now().utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("moment", "precision", "text"),
    [
        (MOMENT, "seconds", "2026-11-22T20:23:30Z"),
        (MOMENT, "milliseconds", "2026-11-22T20:23:30.125Z"),
        (MOMENT.astimezone(timezone(timedelta(hours=2))), "seconds", "2026-11-22T20:23:30Z"),
        (0, "milliseconds", "1970-01-01T00:00:00.000Z"),
        (1_795_379_010.999, "seconds", "2026-11-22T20:23:30Z"),
    ],
)
def test_moments_are_written_in_rfc_3339_utc(moment: datetime | float, precision: clock.Precision, text: str) -> None:
    assert clock.rfc3339(moment, precision) == text


@pytest.mark.parametrize(
    ("unix_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_379_010_125, "2026-11-22T20:23:30.125Z"),
        (999, "1970-01-01T00:00:00.999Z"),
    ],
)
def test_unix_milliseconds_are_written_in_full(unix_ms: int, text: str) -> None:
    assert clock.rfc3339_ms(unix_ms) == text


@pytest.mark.parametrize("text", ["2026-11-22T20:23:30Z", "2026-11-22T22:23:30+02:00", "2026-11-22T20:23:30"])
def test_times_with_and_without_an_offset_are_read_as_utc(text: str) -> None:
    assert clock.rfc3339(clock.parse_rfc3339(text)) == "2026-11-22T20:23:30Z"


def test_text_that_is_not_a_time_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid isoformat"):
        clock.parse_rfc3339("tomorrow")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.2, "1 s"), (59, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (3600, "1 h"), (12_364, "3 h 26 min"),
        (3601, "1 h"), (86_400 + 3600, "1 d 1 h"), (30 * 86_400, "30 d"),
    ],
)  # fmt: skip
def test_spans_are_written_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert clock.span(seconds) == text


def test_delays_grow_to_a_limit_and_stay_there() -> None:
    assert [clock.back_off_s(failures) for failures in (0, 1, 4, 5, 1000)] == [0.05, 0.1, 1.0, 1.0, 1.0]

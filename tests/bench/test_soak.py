"""What a soak reports of its samples: figures by the minute, and growth behind the time in which caches fill."""

import pytest

from bench.soak import FIGURES, Sample, rows, slope_an_hour


def samples(minutes: int) -> list[Sample]:
    """One each five seconds: the API grows by 30 MiB in the first minute, then by 1 MiB a minute; the rest is flat."""
    found = []
    for at_s in range(0, minutes * 60 + 1, 5):
        api = 70 + min(at_s, 60) / 2 + max(0, at_s - 60) / 60
        found.append(Sample(float(at_s), (api, 60.0, 10.0), (20, 20), 2.0, 100))
    return found


def test_growth_is_fitted_behind_the_first_third() -> None:
    assert slope_an_hour(samples(3), FIGURES["API, MiB"]) == pytest.approx(60)
    assert slope_an_hour(samples(3), FIGURES["store, MiB"]) == pytest.approx(0)


def test_each_figure_is_shown_at_the_start_each_minute_and_at_the_end() -> None:
    api, *others = rows(samples(3))
    assert api == ["API, MiB", "70.0", "100", "101", "102", "102", "+60.0"]
    assert [row[-1] for row in others] == ["+0.0"] * 6

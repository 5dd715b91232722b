from math import inf

from shared.providers.health import latency
from shared.providers.health.latency import Latencies


def test_the_average_follows_what_is_measured() -> None:
    times = Latencies()
    times.add("m", 1.0, 0)
    times.add("m", 2.0, 1)
    assert times.expected_s("m", 1) == 1.3


def test_an_untried_model_is_tried_by_one_call() -> None:
    times = Latencies()
    assert times.expected_s("m", 0) == 0
    times.chosen("m", 0)
    assert times.expected_s("m", 1) == inf
    assert times.expected_s("m", 61) == 0


def test_an_old_measurement_gives_another_chance_to_one_call() -> None:
    times = Latencies()
    times.add("m", 9.0, 0)
    assert times.expected_s("m", 61) == 0
    times.chosen("m", 61)
    assert times.expected_s("m", 62) == 9
    times.add("m", 1.0, 63)
    assert times.expected_s("m", 63) == 1


def test_made_up_models_do_not_fill_the_memory(monkeypatch) -> None:
    monkeypatch.setattr(latency, "MAX_MODELS", 2)
    times = Latencies()
    for number in range(5):
        times.add(f"m{number}", 1.0, 0)
        times.chosen(f"m{number}", 0)
    assert len(times._known) <= 2
    assert len(times._tried) <= 2
